package isonorm.weights;

import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.UnaryOperator;

/**
 * Where the rows of one role's matrix lie in a family's files. The rows of all pieces, one piece after the other, are the
 * rows of the matrix; so separate query, key and value tensors and every way of fusing them are lists of pieces.
 *
 * @param transposed whether the tensors hold linear weights as (in, out), as GPT-2 does
 * @param offset what is added to a stored value to give the value itself: 1 where gains are stored minus one
 * @param shape the shape of the tensor in the file, where it is not the matrix's own (convolutions, a class token with leading
 *     dimensions of 1, a number without dimensions); empty otherwise
 */
public record Source(List<Piece> pieces, boolean transposed, double offset, Optional<List<Long>> shape) {

    /**
     * Some rows of one tensor, which is {@code matrices} of one size, one behind the other: of number {@code matrix} the rows {@code from},
     * {@code from + step}, ...
     */
    public record Piece(String tensor, int matrix, int matrices, int from, int step, int count) {

        /** Rows {@code from} to {@code from + count - 1} of one tensor. */
        public Piece(String tensor, int from, int count) {
            this(tensor, 0, 1, from, 1, count);
        }

        /** Values that no file holds, because they are zero. */
        public static Piece zeros(int count) {
            return new Piece("", 0, count);
        }

        /** Whether these are {@link #zeros}. */
        public boolean isZero() {
            return tensor.isEmpty();
        }

        /** The same rows of a tensor of another name. */
        public Piece inTensor(String other) {
            return isZero() ? this : new Piece(other, matrix, matrices, from, step, count);
        }
    }

    public Source {
        pieces = List.copyOf(pieces);
        shape = shape.map(List::copyOf);
        if (pieces.isEmpty()) {
            throw new IllegalArgumentException("a source needs a piece");
        }
    }

    /** A whole tensor of {@code rows} rows that is the matrix as it stands. */
    public static Source whole(String tensor, int rows) {
        return new Source(List.of(new Piece(tensor, 0, rows)), false, 0, Optional.empty());
    }

    /** The names of the tensors, each once, in order. */
    public List<String> tensors() {
        Set<String> names = new LinkedHashSet<>();
        pieces.stream().filter(piece -> !piece.isZero()).forEach(piece -> names.add(piece.tensor()));
        return List.copyOf(names);
    }

    /** How many rows of the matrix lie in {@code tensor}. */
    public int rowsIn(String tensor) {
        return pieces.stream().filter(piece -> piece.tensor().equals(tensor)).mapToInt(Piece::count).sum();
    }

    /** The shape {@code tensor} has in the file, for a matrix of {@code columns} columns; a vector's is its length alone. */
    public List<Long> shapeOf(String tensor, int columns, boolean vector) {
        if (shape.isPresent()) {
            return shape.get();
        }
        long rows = rowsIn(tensor);
        if (vector) {
            return List.of(rows);
        }
        return transposed ? List.of((long) columns, rows) : List.of(rows, (long) columns);
    }

    /** The same rows stored as (in, out). */
    public Source asTransposed() {
        return new Source(pieces, true, offset, shape);
    }

    /** The same rows with {@code added} to every stored value. */
    public Source withOffset(double added) {
        return new Source(pieces, transposed, added, shape);
    }

    /** The same rows in a tensor of another shape. */
    public Source withShape(Long... dimensions) {
        return new Source(pieces, transposed, offset, Optional.of(List.of(dimensions)));
    }

    /** The same rows in tensors of other names. */
    public Source renamed(UnaryOperator<String> name) {
        return new Source(pieces.stream().map(piece -> piece.inTensor(name.apply(piece.tensor))).toList(), transposed, offset, shape);
    }

    /** In words: the tensors and what is special about them. */
    public String inWords() {
        List<String> notes = new ArrayList<>();
        if (transposed) {
            notes.add("stored (in, out)");
        }
        if (pieces.size() > tensors().size()) {
            notes.add("rows reordered to query, key, value");
        }
        if (offset != 0) {
            notes.add("stored minus " + (offset == 1 ? "one" : offset));
        }
        return "read " + String.join(" + ", tensors()) + (notes.isEmpty() ? "" : " (" + String.join(", ", notes) + ")");
    }
}
