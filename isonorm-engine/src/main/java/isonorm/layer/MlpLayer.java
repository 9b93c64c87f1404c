package isonorm.layer;

import static isonorm.tensor.Ops.cast;
import static isonorm.tensor.Ops.times;

import isonorm.architecture.Activation;
import isonorm.tensor.Compute;
import java.io.IOException;
import java.util.Optional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;

/**
 * {@code down(activation(up(x)))}, or {@code down(activation(gate(x)) * up(x))} where there is a gate; what down reads is normalized where
 * there is an inner norm.
 */
record MlpLayer(Activation activation, Optional<Linear> gate, Linear up, Optional<NormLayer> innerNorm, Linear down, Compute compute) {

    Tensor forward(Tensor x) throws IOException {
        Tensor inner = wide(up.forward(x));
        Tensor hidden = gate.isPresent()
                ? activate(activation, wide(gate.get().forward(x))).mul(inner)
                : activate(activation, inner);
        return down.forward(innerNorm.isPresent() ? innerNorm.get().forward(hidden) : cast(hidden, compute));
    }

    private Tensor wide(Tensor x) {
        return cast(x, compute.statistics());
    }

    static Tensor activate(Activation activation, Tensor x) {
        return switch (activation) {
            case GELU -> torch.gelu(x);
            case GELU_TANH -> torch.gelu(x, "tanh");
            case QUICK_GELU -> x.mul(times(x, 1.702).sigmoid());
            case RELU -> x.relu();
            case RELU_SQUARED -> x.relu().square();
            case SILU -> torch.silu(x);
            case TANH -> x.tanh();
        };
    }
}
