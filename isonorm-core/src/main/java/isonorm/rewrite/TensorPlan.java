package isonorm.rewrite;

import static java.util.Objects.requireNonNull;

import isonorm.architecture.Architecture;
import isonorm.architecture.Parameter;
import isonorm.architecture.Role;
import isonorm.checkpoint.Dtype;
import isonorm.checkpoint.TensorInfo;
import isonorm.weights.Matrix;
import isonorm.weights.Quantized;
import isonorm.weights.Source;
import isonorm.weights.Source.Piece;
import isonorm.weights.StoredCodes;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * One tensor of a file to be written, and the rows of matrices it is made of.
 *
 * @param transposed whether it is stored (in, out)
 * @param offset what is taken off every value before it is stored
 */
public record TensorPlan(TensorInfo info, boolean vector, boolean transposed, double offset, List<Part> parts) {

    /** Rows of a matrix from {@code from} on, which are that piece of the tensor; values of vectors. */
    public record Part(Matrix matrix, int from, Piece piece) {

        int count() {
            return piece.count();
        }
    }

    /** The same values under another name. */
    public TensorPlan named(String name) {
        return new TensorPlan(new TensorInfo(name, info.dtype(), info.shape()), vector, transposed, offset, parts);
    }

    /** A tensor without values. */
    public static TensorPlan empty(TensorInfo info) {
        return new TensorPlan(info, true, false, 0, List.of());
    }

    /** A tensor that holds a matrix as it stands, or, where {@code vector}, its values. */
    public static TensorPlan whole(TensorInfo info, boolean vector, Matrix matrix) {
        int rows = vector ? matrix.columns() : matrix.rows();
        return new TensorPlan(info, vector, false, 0, List.of(new Part(matrix, 0, new Piece(info.name(), 0, rows))));
    }

    /** The tensors of codes and scales, where it holds a matrix in few bits as it stands; else itself. */
    public List<TensorPlan> inFewBits() {
        if (vector || parts.isEmpty() || !(parts.getFirst().matrix() instanceof Quantized quantized)) {
            return List.of(this);
        }
        String name = info.name().substring(0, info.name().lastIndexOf('.'));
        Matrix codes = quantized.storedCodes();
        Matrix scales = quantized.storedScales();
        Dtype dtype = quantized.quantization().bits() == 8 ? Dtype.I8 : Dtype.U8;
        return List.of(whole(new TensorInfo(StoredCodes.codes(name), dtype, shape(codes)), false, codes),
                whole(new TensorInfo(StoredCodes.scales(name), Dtype.F16, shape(scales)), false, scales));
    }

    private static List<Long> shape(Matrix matrix) {
        return List.of((long) matrix.rows(), (long) matrix.columns());
    }

    /** Whether the tensor's rows are rows of matrices, which can be written slab after slab. */
    boolean inRows() {
        return !vector && !transposed;
    }

    /** Row {@code row} of a part in the tensor, where all matrices' rows are counted. */
    long rowOf(Part part, int row) {
        Piece piece = part.piece();
        return (long) rows() / piece.matrices() * piece.matrix() + piece.from() + (long) row * piece.step();
    }

    /** How many columns the matrices have; 1 for vectors. */
    int columns() {
        return vector ? 1 : parts.getFirst().matrix().columns();
    }

    /** How many rows the tensor has; values for vectors. */
    int rows() {
        return parts.stream().mapToInt(Part::count).sum();
    }

    /** The type of each parameter in the file. */
    @FunctionalInterface
    public interface Types {
        Dtype of(Parameter parameter);
    }

    /** Every tensor of a checkpoint, in the order of a forward pass. */
    public static List<TensorPlan> all(Architecture architecture, Map<Role, Matrix> weights, Map<Role, Source> sources, Types types) {
        Map<String, List<Part>> parts = new LinkedHashMap<>();
        Map<String, Parameter> owners = new LinkedHashMap<>();
        for (Parameter parameter : architecture.parameters()) {
            Source source = sources.get(parameter.role());
            Matrix matrix = requireNonNull(weights.get(parameter.role()));
            if (source == null) {
                continue; // it is computed, and no file holds it
            }
            int at = 0;
            for (Piece piece : source.pieces()) {
                if (piece.isZero()) {
                    at += piece.count();
                    continue;
                }
                owners.putIfAbsent(piece.tensor(), parameter);
                parts.computeIfAbsent(piece.tensor(), _ -> new ArrayList<>())
                        .add(new Part(matrix, at, piece));
                at += piece.count();
            }
        }
        List<TensorPlan> plans = new ArrayList<>();
        owners.forEach((name, parameter) -> {
            Source source = requireNonNull(sources.get(parameter.role()));
            List<Long> shape = source.shapeOf(name, parameter.columns(), parameter.isVector());
            plans.add(new TensorPlan(new TensorInfo(name, types.of(parameter), shape), parameter.isVector(), source.transposed(),
                    source.offset(), List.copyOf(parts.get(name))));
        });
        return plans;
    }
}
