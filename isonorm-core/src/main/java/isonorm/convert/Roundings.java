package isonorm.convert;

import isonorm.architecture.Parameter;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Dtype;
import isonorm.convert.Conversion.Deviation;
import isonorm.model.Progress;
import isonorm.weights.Matrix;
import isonorm.weights.Matrix.Tile;
import isonorm.weights.Model;
import isonorm.weights.Numbers;
import isonorm.weights.Scratch;
import isonorm.weights.Slabs;
import isonorm.weights.Source;
import isonorm.weights.Stored;
import java.io.IOException;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Reads a checkpoint back and holds each of its values to the rounding of what it should be. */
final class Roundings {

    /**
     * How far the middle between two roundings can be missed, as a part of the largest value near by: a sum of float64 in another order,
     * on another machine, differs by 1e-16 a term, and then what lies in the middle may be rounded to the other side.
     */
    private static final double MIDDLE = 1e-12;

    private final LoadedModel written;
    private final Dtype coarsest;
    private final Map<String, Count> counts = new LinkedHashMap<>();

    private Roundings(LoadedModel written) throws CheckpointException {
        this.written = written;
        this.coarsest = Model.of(written.model()).coarsest();
    }

    /**
     * The tensors of {@code written} that hold something else than the roundings of {@code model}'s values, in the order of a forward pass.
     *
     * @param model with the parameters of what was written
     */
    static List<Deviation> deviations(Model model, LoadedModel written, Progress progress) throws IOException {
        Roundings roundings = new Roundings(written);
        List<Parameter> parameters = Model.of(written.model()).architecture().parameters();
        long total = parameters.stream().mapToLong(Parameter::elements).sum();
        long done = 0;
        for (Parameter parameter : parameters) {
            progress.step("reading back", done, total);
            if (Model.of(written.model()).weight(parameter.role()) instanceof Stored stored) { // and not computed
                roundings.compare(model.weight(parameter.role()), stored);
            }
            done += parameter.elements();
        }
        progress.step("reading back", done, total);
        return roundings.counts.entrySet().stream().filter(entry -> entry.getValue().different > 0)
                .map(entry -> entry.getValue().deviation(entry.getKey())).toList();
    }

    private void compare(Matrix matrix, Stored stored) throws IOException {
        matrix.prepare();
        try {
            stored.prepare();
            try {
                int at = 0;
                for (Source.Piece piece : stored.source().pieces()) {
                    if (!piece.isZero()) {
                        compare(matrix, stored, piece, at);
                    }
                    at += piece.count();
                }
            } finally {
                stored.release();
            }
        } finally {
            matrix.release();
        }
    }

    /** The rows of one piece, which are rows {@code at} on of the matrix; values of a vector. */
    private void compare(Matrix matrix, Stored stored, Source.Piece piece, int at) throws IOException {
        Count count = counts.computeIfAbsent(piece.tensor(), _ -> new Count());
        Dtype dtype = written.checkpoint().info(piece.tensor()).dtype();
        double offset = stored.source().offset();
        if (stored.isVector()) {
            compare(matrix, stored, new Tile(0, 1, at, piece.count()), dtype, offset, count);
            return;
        }
        Slabs.forEachTile(at, piece.count(), matrix.columns(), matrix.shape(), tile -> compare(matrix, stored, tile, dtype, offset, count));
    }

    private void compare(Matrix matrix, Stored stored, Tile tile, Dtype dtype, double offset, Count count) throws IOException {
        int size = tile.size();
        try (Scratch should = Scratch.borrow(size); Scratch rounded = Scratch.borrow(size); Scratch is = Scratch.borrow(size)) {
            double[] values = should.values();
            matrix.read(tile, values);
            stored.read(tile, is.values());
            for (int i = 0; offset != 0 && i < size; i++) {
                values[i] -= offset;
                is.values()[i] -= offset;
            }
            Numbers.round(values, size, dtype, rounded.values());
            if (Arrays.equals(rounded.values(), 0, size, is.values(), 0, size)) {
                count.add(size, 0, 0, 0);
            } else {
                differ(values, rounded.values(), is.values(), size, count);
            }
        }
    }

    private void differ(double[] should, double[] rounded, double[] is, int size, Count count) {
        double largest = 0;
        for (int i = 0; i < size; i++) {
            largest = Math.max(largest, Math.abs(should[i]));
        }
        long different = 0;
        double squares = 0;
        double rounding = 0;
        for (int i = 0; i < size; i++) {
            double off = Math.abs(is[i] - should[i]);
            different += off <= Math.abs(rounded[i] - should[i]) + MIDDLE * largest ? 0 : 1;
            squares += off * off;
            double half = Numbers.halfUnit(should[i], coarsest);
            rounding += half * half / 3; // the mean square of what is anywhere within half a unit
        }
        count.add(size, different, squares, rounding);
    }

    /** What the tiles of one tensor add up to; squares are of tiles with differences alone. */
    private static final class Count {
        private long values;
        private long different;
        private double squares;
        private double rounding;

        synchronized void add(long some, long others, double ofDifferences, double ofRoundings) {
            values += some;
            different += others;
            squares += ofDifferences;
            rounding += ofRoundings;
        }

        Deviation deviation(String tensor) {
            return new Deviation(tensor, values, different, Math.sqrt(squares / rounding));
        }
    }
}
