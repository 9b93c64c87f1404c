package isonorm.cli.commands;

import isonorm.kernel.Kernels;
import isonorm.kernel.Type;
import isonorm.tensor.Products;
import java.util.Optional;

/** Why everything that computes is many times slower in this process than it could be; apart from the commands, which do not all compute. */
final class Slowness {

    private Slowness() {}

    /** The reason with its remedy; nothing where all is well. */
    static Optional<String> here() {
        if (!Kernels.vectorized()) {
            return Optional.of(Kernels.reason());
        }
        return Products.choices().stream().filter(choice -> choice.type() == Type.F32 && !Products.byLibrary())
                .findFirst().map(choice -> "products by " + choice.provider() + ": " + choice.reason());
    }
}
