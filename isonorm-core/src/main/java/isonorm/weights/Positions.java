package isonorm.weights;

import isonorm.architecture.Embedding;
import isonorm.architecture.Part;
import isonorm.architecture.Role;
import java.io.IOException;
import java.util.OptionalInt;

/**
 * Which positions of a learned table were never trained, as those behind the windows that a model was trained on are not: its rows there are
 * what they began as, zeros or draws of which each has nothing in common with the next, whereas rows that were trained lie close to their neighbours.
 *
 * <p>What a model computes at such positions is an artefact of its beginning. Positions that are not learned (rotary, ALiBi) tell nothing.
 */
public final class Positions {

    /** Fewer rows than these are no evidence. */
    private static final int FEWEST = 8;

    /** How far rows of independent draws are from a right angle: so many standard deviations, 1 / sqrt(width) each, are none. */
    private static final double ALONE = 5;

    /** The mean cosine of neighbours from which rows count as trained. */
    private static final double CLOSE = 0.3;

    private Positions() {}

    /** The first position that was never trained; none if all were, or where it cannot be told. */
    public static OptionalInt untrainedFrom(Model model) throws IOException {
        return model.architecture().embedding() instanceof Embedding.Tokens tokens && tokens.positions() >= 2 * FEWEST
                ? untrainedFrom(model.weight(Role.of(Part.POSITION_EMBEDDING, Role.Field.WEIGHT)), tokens.positionOffset())
                : OptionalInt.empty();
    }

    private static OptionalInt untrainedFrom(Matrix table, int offset) throws IOException {
        double[] cosines = cosines(table);
        double limit = ALONE / Math.sqrt(table.columns());
        int first = cosines.length;
        while (first > offset && Math.abs(cosines[first - 1]) < limit) {
            first--;
        }
        // Cosine i is of rows i and i + 1, so the row behind the last two that are close is the first that is alone.
        int untrained = first + 1;
        int rows = table.rows();
        if (rows - untrained < FEWEST || untrained - offset < FEWEST) {
            return OptionalInt.empty();
        }
        double before = mean(cosines, offset, first);
        double behind = mean(cosines, untrained, cosines.length);
        boolean alone = Math.abs(behind) < ALONE / Math.sqrt((double) table.columns() * (cosines.length - untrained));
        return before > CLOSE && alone ? OptionalInt.of(untrained - offset) : OptionalInt.empty();
    }

    /** Of each row and the next; 0 where one is zero. */
    private static double[] cosines(Matrix table) throws IOException {
        int width = table.columns();
        double[] cosines = new double[table.rows() - 1];
        double[] last = new double[width];
        double[] row = new double[width];
        table.prepare();
        try {
            for (int r = 0; r < table.rows(); r++) {
                table.read(new Matrix.Tile(r, 1, 0, width), row);
                if (r > 0) {
                    double norms = Math.sqrt(product(row, row) * product(last, last));
                    cosines[r - 1] = norms == 0 ? 0 : product(row, last) / norms;
                }
                double[] free = last;
                last = row;
                row = free;
            }
        } finally {
            table.release();
        }
        return cosines;
    }

    private static double product(double[] a, double[] b) {
        double sum = 0;
        for (int i = 0; i < a.length; i++) {
            sum += a[i] * b[i];
        }
        return sum;
    }

    private static double mean(double[] values, int from, int to) {
        double sum = 0;
        for (int i = from; i < to; i++) {
            sum += values[i] / (to - from);
        }
        return sum;
    }
}
