package isonorm.layer;

import isonorm.architecture.Activation;
import isonorm.architecture.Mlp;
import isonorm.kernel.Exponentials;
import isonorm.kernel.Type;
import isonorm.model.Compute;
import isonorm.weights.Scratch;
import java.util.Optional;
import java.util.function.DoubleUnaryOperator;

/**
 * {@code down(activation(up(x)))}, or {@code down(activation(gate(x)) * up(x))} where there is a gate; what down reads is normalized where
 * there is an inner norm.
 */
record MlpLayer(Mlp mlp, Optional<Linear> gate, Linear up, Optional<NormLayer> innerNorm, Linear down, Compute compute) {

    /** {@code (1 + tanh(u)) / 2 = sigmoid(2u)}, with {@code u = sqrt(2 / pi) (x + 0.044715 x³)} in GELU's approximation. */
    private static final double GELU_SCALE = 2 * Math.sqrt(2 / Math.PI);

    Tensor forward(Tensor x) {
        Tensor inner = up.forward(x).to(Type.wide(compute));
        Tensor hidden = gate.isPresent() ? gated(gate.get().forward(x).to(Type.wide(compute)), inner) : activate(mlp.activation(), inner);
        return down.forward(innerNorm.isPresent() ? innerNorm.get().forward(hidden) : hidden.to(Type.of(compute)));
    }

    private Tensor gated(Tensor gate, Tensor up) {
        if (mlp.clamp().isEmpty()) {
            return activate(mlp.activation(), gate).times(up);
        }
        Mlp.Clamp clamp = mlp.clamp().get();
        double limit = clamp.limit();
        return activate(mlp.activation(), each(gate, value -> Math.min(value, limit)))
                .times(each(up, value -> Math.clamp(value, -limit, limit) + clamp.added()));
    }

    private static Tensor each(Tensor x, DoubleUnaryOperator change) {
        return x.map((_, row, y) -> {
            for (int i = 0; i < x.width(); i++) {
                y[i] = change.applyAsDouble(row[i]);
            }
        });
    }

    static Tensor activate(Activation activation, Tensor x) {
        int n = x.width();
        Function function = switch (activation) {
            case GELU -> MlpLayer::gelu;
            case GELU_TANH -> MlpLayer::geluTanh;
            case QUICK_GELU -> MlpLayer::quickGelu;
            case SILU -> MlpLayer::silu;
            case RELU -> MlpLayer::relu;
            case RELU_SQUARED -> MlpLayer::reluSquared;
            case TANH -> Exponentials::tanh;
        };
        return x.map((_, row, y) -> function.apply(row, y, n));
    }

    /** {@code y = function(x)} for n values. */
    private interface Function {
        void apply(double[] x, double[] y, int n);
    }

    private static void gelu(double[] x, double[] y, int n) {
        Exponentials.distribution(x, y, n);
        for (int i = 0; i < n; i++) {
            y[i] *= x[i];
        }
    }

    private static void geluTanh(double[] x, double[] y, int n) {
        for (int i = 0; i < n; i++) {
            y[i] = -GELU_SCALE * (x[i] + 0.044715 * x[i] * x[i] * x[i]);
        }
        timesSigmoidOfMinus(x, y, n);
    }

    private static void quickGelu(double[] x, double[] y, int n) {
        for (int i = 0; i < n; i++) {
            y[i] = -1.702 * x[i];
        }
        timesSigmoidOfMinus(x, y, n);
    }

    private static void silu(double[] x, double[] y, int n) {
        for (int i = 0; i < n; i++) {
            y[i] = -x[i];
        }
        timesSigmoidOfMinus(x, y, n);
    }

    private static void relu(double[] x, double[] y, int n) {
        for (int i = 0; i < n; i++) {
            y[i] = Math.max(x[i], 0);
        }
    }

    private static void reluSquared(double[] x, double[] y, int n) {
        for (int i = 0; i < n; i++) {
            y[i] = Math.max(x[i], 0) * Math.max(x[i], 0);
        }
    }

    /** {@code y = x sigmoid(-y)} for n values. */
    private static void timesSigmoidOfMinus(double[] x, double[] y, int n) {
        try (Scratch scratch = Scratch.borrow(n)) {
            double[] e = scratch.values();
            Exponentials.exp(y, e, n);
            for (int i = 0; i < n; i++) {
                y[i] = x[i] / (1 + e[i]);
            }
        }
    }
}
