package isonorm.train;

import isonorm.architecture.Architecture;
import isonorm.architecture.Attention;
import isonorm.architecture.BranchScale;
import isonorm.architecture.Part;
import isonorm.backpropagation.Parameters;
import isonorm.kernel.Rows;
import isonorm.tensor.Team;
import isonorm.train.BlockStrategy.Initialization;
import isonorm.weights.Seed;
import java.util.List;
import java.util.SplittableRandom;
import java.util.function.IntFunction;

/**
 * What weights are before the first step: matrices and tables normally distributed, gains and scales of heads 1, biases, gates and SkipInit's
 * numbers 0, DyT's alpha 0.5 where nothing else is said (arXiv 2503.10622), LayerScale 1e-4 (arXiv 2103.17239).
 *
 * <p>A stream of d - 1 values begins as that of a centred model of d, compressed (arXiv 2305.14858): what enters it or is written to it has
 * its mean over d values taken out, and a reader has a d-th column subtracted from all others. Drawn without that, the value that is left
 * out, minus the sum of the others, would be as large as all of them together.
 *
 * @param initialization how the matrices of block l begin, l being counted from 0
 * @param values the standard deviation of matrices and tables, and DyT's alphas
 * @param hidden what the deviation of blocks' matrices is multiplied with, but for initializations that know a matrix's shape
 */
record Beginning(IntFunction<Initialization> initialization, TrainingRun.Initial values, double hidden, long seed) {

    /** Matrices and tables of one deviation. */
    Beginning(IntFunction<Initialization> initialization, double deviation, long seed) {
        this(initialization, TrainingRun.Initial.of(deviation), 1, seed);
    }

    /** What a model of a strategy begins with whose size is its own. */
    static Beginning of(Strategy strategy, Architecture architecture, double deviation, long seed) {
        List<BlockStrategy> blocks = strategy.blocks(architecture.blocks().size());
        return new Beginning(l -> blocks.get(l).initialization(), deviation, seed);
    }

    /** What a new model begins with. */
    static Beginning of(TrainingRun.Start.New model, Strategy strategy, Architecture architecture, long seed) {
        List<BlockStrategy> blocks = strategy.blocks(architecture.blocks().size());
        double hidden = model.transfer().map(base -> CompleteP.of(base, architecture).deviation()).orElse(1.0);
        return new Beginning(l -> blocks.get(l).initialization(), model.initial(), hidden, seed);
    }

    void fill(Parameters parameters, Architecture architecture, Team team) {
        List<Parameters.Entry> all = List.copyOf(parameters.all());
        team.each(all.size(), number -> fill(all.get(number), architecture));
        parameters.refresh(team);
    }

    void fill(Parameters.Entry entry, Architecture architecture) {
        Rows weights = entry.stored(entry.weights());
        switch (entry.role().field()) {
            case WEIGHT -> {
                switch (entry.role().part()) {
                    case ATTENTION_STREAM_GATE, MLP_STREAM_GATE -> set(weights, 0);
                    case ATTENTION_SCALE, MLP_SCALE -> set(weights, architecture.blocks().get(entry.role().block()).scale() == BranchScale.NUMBER ? 0 : 1e-4);
                    case ATTENTION_HEAD_SCALE -> set(weights, 1);
                    default -> draw(entry, weights, architecture);
                }
            }
            case GAIN -> set(weights, 1);
            case ALPHA -> set(weights, entry.role().part() == Part.ATTENTION_NORM ? values.attentionAlpha() : values.alpha());
            default -> set(weights, 0);
        }
    }

    private static void set(Rows rows, double value) {
        for (int r = 0; r < rows.rows(); r++) {
            for (int c = 0; c < rows.columns(); c++) {
                rows.set(r, c, value);
            }
        }
    }

    private void draw(Parameters.Entry entry, Rows weights, Architecture architecture) {
        SplittableRandom random = Seed.of(seed).at("weights").at(entry.role().path()).random();
        for (int r = 0; r < weights.rows(); r++) {
            double spread = spread(entry, r, weights, architecture);
            for (int c = 0; c < weights.columns(); c++) {
                weights.set(r, c, spread * random.nextGaussian());
            }
        }
        if (architecture.streamWidth() < architecture.width()) {
            compress(entry, weights, architecture, random);
        }
    }

    private void compress(Parameters.Entry entry, Rows weights, Architecture architecture, SplittableRandom random) {
        int rows = weights.rows();
        int columns = weights.columns();
        switch (architecture.use(entry.role().part())) {
            case TABLE, VECTOR -> {
                for (int r = 0; r < rows; r++) {
                    double sum = spread(entry, r, weights, architecture) * random.nextGaussian();
                    for (int c = 0; c < columns; c++) {
                        sum += weights.get(r, c);
                    }
                    subtract(weights, r, 1, 0, columns, sum / (columns + 1));
                }
            }
            case WRITER -> {
                for (int c = 0; c < columns; c++) {
                    double sum = spread(entry, rows - 1, weights, architecture) * random.nextGaussian();
                    for (int r = 0; r < rows; r++) {
                        sum += weights.get(r, c);
                    }
                    subtract(weights, 0, rows, c, 1, sum / (rows + 1));
                }
            }
            case READER -> {
                for (int r = 0; r < rows && columns == architecture.streamWidth(); r++) {
                    subtract(weights, r, 1, 0, columns, spread(entry, r, weights, architecture) * random.nextGaussian());
                }
            }
            case NONE -> {}
        }
    }

    private static void subtract(Rows rows, int first, int count, int column, int columns, double value) {
        for (int r = first; r < first + count; r++) {
            for (int c = column; c < column + columns; c++) {
                rows.set(r, c, rows.get(r, c) - value);
            }
        }
    }

    private double spread(Parameters.Entry entry, int row, Rows weights, Architecture architecture) {
        int L = architecture.blocks().size();
        int l = entry.role().block() + 1;
        if (l == 0) {
            boolean table = architecture.use(entry.role().part()) == Part.Use.TABLE;
            return table ? values.embedding().orElse(values.deviation()) : values.deviation(); // what is outside the blocks
        }
        double deviation = hidden * values.deviation();
        boolean writes = architecture.use(entry.role().part()) == Part.Use.WRITER;
        return switch (initialization.apply(l - 1)) {
            case NORMAL -> deviation;
            case SCALED -> writes ? deviation / Math.sqrt(2.0 * L) : deviation;
            case DEPTH_SCALED -> writes ? deviation / Math.sqrt(2.0 * l) : deviation;
            case DEEPNORM -> xavier(entry, row, weights, architecture) * (scaled(entry, row, architecture) ? Math.pow(8.0 * L, -0.25) : 1);
            case MAGNETO -> xavier(entry, row, weights, architecture) * (scaled(entry, row, architecture) ? Math.sqrt(Math.log(2.0 * L)) : 1);
            case OLMO -> 1 / Math.sqrt((writes ? 2.0 * l : 1) * weights.columns());
        };
    }

    /** Query, key and value are drawn as three matrices. */
    private static double xavier(Parameters.Entry entry, int row, Rows weights, Architecture architecture) {
        int outputs = weights.rows();
        switch (entry.role().part()) {
            case QUERY_KEY_VALUE -> {
                Attention attention = attention(entry, architecture);
                int queries = attention.heads().count() * attention.heads().width();
                outputs = row < queries ? queries : attention.heads().keyValue() * attention.heads().width();
            }
            default -> {}
        }
        return Math.sqrt(2.0 / (outputs + weights.columns()));
    }

    private static Attention attention(Parameters.Entry entry, Architecture architecture) {
        return architecture.blocks().get(entry.role().block()).mixer().attention();
    }

    private static boolean scaled(Parameters.Entry entry, int row, Architecture architecture) {
        return switch (entry.role().part()) {
            case ATTENTION_OUTPUT, MLP_DOWN, MLP_UP, MLP_GATE -> true;
            case QUERY_KEY_VALUE -> {
                Attention attention = attention(entry, architecture);
                yield row >= (attention.heads().count() + attention.heads().keyValue()) * attention.heads().width();
            }
            default -> false;
        };
    }
}
