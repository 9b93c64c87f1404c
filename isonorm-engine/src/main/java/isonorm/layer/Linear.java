package isonorm.layer;

import java.util.Optional;

/** {@code y = W x + b} for each row x, W being (out, in). */
record Linear(Tensor weight, Optional<Tensor> bias) {

    Tensor forward(Tensor x) {
        Tensor y = x.product(weight);
        return bias.isPresent() ? y.plus(bias.get()) : y;
    }
}
