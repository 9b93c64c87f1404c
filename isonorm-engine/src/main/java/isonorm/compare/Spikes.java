package isonorm.compare;

import isonorm.train.Metrics;
import java.util.List;
import java.util.function.ToDoubleFunction;

/**
 * How often a run's loss and gradient spiked: the share of its lines that lie 7 standard deviations or more away from the mean of the 1000 lines before, in
 * percent, as OLMo 2's spike score has it (arXiv 2501.00656). The first lines, of which there are too few to tell, are not judged.
 *
 * @param loss of the windows' mean losses
 * @param gradient of their largest gradient norms
 */
public record Spikes(double loss, double gradient) {

    private static final int BEFORE = 1000;
    private static final int FEWEST = 10;
    private static final double DEVIATIONS = 7;

    static Spikes of(List<Metrics.Line> lines) {
        return new Spikes(score(lines, Metrics.Line::loss), score(lines, Metrics.Line::gradientNorm));
    }

    private static double score(List<Metrics.Line> lines, ToDoubleFunction<Metrics.Line> value) {
        double[] values = lines.stream().mapToDouble(value).filter(Double::isFinite).toArray();
        int spikes = 0;
        for (int i = FEWEST; i < values.length; i++) {
            int first = Math.max(0, i - BEFORE);
            double mean = 0;
            for (int j = first; j < i; j++) {
                mean += values[j] / (i - first);
            }
            double squares = 0;
            for (int j = first; j < i; j++) {
                squares += (values[j] - mean) * (values[j] - mean) / (i - first);
            }
            spikes += Math.abs(values[i] - mean) >= DEVIATIONS * Math.sqrt(squares) && squares > 0 ? 1 : 0;
        }
        return values.length == 0 ? Double.NaN : 100.0 * spikes / values.length;
    }
}
