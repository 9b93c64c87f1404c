package isonorm.layer;

import java.util.Optional;
import java.util.function.Consumer;

/** {@code y = W x + b} for each row x, W being (out, in). */
record Linear(Tensor weight, Optional<Tensor> bias, Consumer<Tensor> listener) {

    Linear(Tensor weight, Optional<Tensor> bias) {
        this(weight, bias, _ -> {});
    }

    Tensor forward(Tensor x) {
        listener.accept(x);
        Tensor y = x.product(weight);
        return bias.isPresent() ? y.plus(bias.get()) : y;
    }
}
