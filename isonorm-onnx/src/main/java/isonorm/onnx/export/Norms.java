package isonorm.onnx.export;

import isonorm.architecture.Norm;
import isonorm.architecture.NormKind;
import isonorm.architecture.Role;
import isonorm.architecture.Role.Field;
import isonorm.onnx.graph.Attribute;
import isonorm.onnx.graph.ElementType;
import isonorm.onnx.graph.Tensor;
import java.io.IOException;
import java.util.Arrays;
import java.util.List;
import java.util.Map;

/**
 * Norms over the last dimension. LayerNorm and RMSNorm are operators, the second since version 23, with an Add for its bias; a CRMSNorm is
 * {@code x / sqrt((sum(x^2) + sum(x)^2) / (n + 1) + epsilon)} of plain ones.
 */
record Norms(Operators graph, Weights weights) {

    /**
     * One with a gain for each value.
     *
     * @param width how many values it reads
     */
    String of(String x, Norm norm, Role gain, int width) throws IOException {
        return of(x, norm, gain, width, width);
    }

    /** One of each of several heads, (..., heads, width), with a gain vector a head. */
    String ofHeads(String x, Norm norm, Role gain, int heads, int width) throws IOException {
        return of(x, norm, gain, width, heads, width);
    }

    private String of(String x, Norm norm, Role gain, int width, long... affine) throws IOException {
        boolean one = affine.length == 1;
        boolean within = one && !norm.kind().readsCompressed();
        String scale = norm.affine().hasGain() && within ? weights.shaped(gain, affine) : "";
        String y = switch (norm.kind()) {
            case LAYER -> {
                String factors = scale.isEmpty() ? ones(width) : scale;
                if (within && norm.affine().hasBias()) {
                    yield graph.apply("LayerNormalization", attributes(norm), x, factors, weights.shaped(gain.field(Field.BIAS), affine));
                }
                yield graph.apply("LayerNormalization", attributes(norm), x, factors);
            }
            case RMS -> graph.apply("RMSNormalization", attributes(norm), x, scale.isEmpty() ? ones(width) : scale);
            case CRMS -> compressed(x, norm, width);
            case DYNAMIC_TANH -> {
                String tanh = graph.apply("Tanh", graph.times(x, weights.number(gain.field(Field.ALPHA))));
                yield scale.isEmpty() ? tanh : graph.multiply(tanh, scale);
            }
        };
        if (norm.affine().hasGain() && scale.isEmpty()) {
            String all = norm.kind().readsCompressed() ? expanded(y) : y;
            y = graph.multiply(all, weights.shaped(gain, affine));
        }
        boolean added = norm.kind() == NormKind.LAYER && within;
        return norm.affine().hasBias() && !added ? graph.add(y, weights.shaped(gain.field(Field.BIAS), affine)) : y;
    }

    private static Map<String, Attribute> attributes(Norm norm) {
        return Map.of("axis", Attribute.of(-1), "epsilon", Attribute.of(norm.epsilon()));
    }

    private String ones(int width) {
        double[] ones = new double[width];
        Arrays.fill(ones, 1);
        return graph.constant(Tensor.of("ones/" + width, graph.real(), List.of((long) width), ones));
    }

    /** Of n values that stand for n + 1; sums are of float32 at least. */
    private String compressed(String x, Norm norm, int width) {
        boolean half = graph.real() == ElementType.FLOAT16;
        ElementType wide = ElementType.FLOAT;
        String read = half ? graph.cast(x, wide) : x;
        String sum = graph.sum(read);
        String squares = graph.reduced("ReduceSumSquare", read, -1, true);
        String mean = graph.multiply(graph.add(squares, graph.multiply(sum, sum)), graph.number(wide, 1.0 / width));
        String root = graph.apply("Sqrt", graph.add(mean, graph.number(wide, norm.epsilon())));
        String y = graph.divide(read, root);
        return half ? graph.cast(y, graph.real()) : y;
    }

    /** All n + 1 values of a vector that sums to zero, of its first n. */
    String expanded(String x) {
        return graph.concat(-1, x, graph.apply("Neg", graph.sum(x)));
    }

    /** Without its mean. */
    String recentred(String x) {
        return graph.subtract(x, graph.mean(x));
    }
}
