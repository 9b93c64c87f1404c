package isonorm.weights;

import java.util.Arrays;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.stream.Collectors;

/**
 * Which basis the residual stream is carried in: {@code h Q}, Q having orthonormal columns. What it is made of, so that it can be made again.
 *
 * @param seed of what is drawn by chance
 * @param width how many columns Q has; as many as rows where it is not said
 * @param pad how many values the stream has then, zeros behind those; none more where it is not said
 * @param heads whether the values of each head of attention are rotated too
 * @param extent how far one basis reaches
 */
public record Rotation(Kind kind, long seed, OptionalInt width, OptionalInt pad, boolean heads, Extent extent) {

    public Rotation(Kind kind, long seed, OptionalInt width, OptionalInt pad, boolean heads) {
        this(kind, seed, width, pad, heads, Extent.MODEL);
    }

    public Rotation(Kind kind, long seed, OptionalInt width) {
        this(kind, seed, width, OptionalInt.empty(), false);
    }

    /** How far one basis reaches. */
    public enum Extent {
        /** One is enough for the whole model, whose blocks stay what they are. */
        MODEL("one"),
        /** Each sub-layer reads the stream in a basis of its own, and a product stands on each skip (SliceGPT, arXiv 2401.15024). */
        SUB_LAYER("per-block");

        private final String label;

        Extent(String label) {
            this.label = label;
        }

        /** The word used in files and on the command line. */
        public String label() {
            return label;
        }

        /** The extent with this label. */
        public static Optional<Extent> named(String label) {
            return Arrays.stream(values()).filter(extent -> extent.label.equals(label)).findFirst();
        }

        /** All labels. */
        public static String labels() {
            return Arrays.stream(values()).map(Extent::label).collect(Collectors.joining(", "));
        }
    }

    /** How Q is found. */
    public enum Kind {
        /** Evenly distributed over all rotations: normally distributed numbers, made orthonormal. */
        RANDOM("random"),
        /** A Hadamard matrix whose rows have random signs, of entries that all are as large: applied by a fast transform (QuaRot, arXiv 2404.00456). */
        HADAMARD("hadamard"),
        /** The principal components of what the norms of the stream gave for some data, the largest first (SliceGPT, arXiv 2401.15024). */
        PRINCIPAL("principal");

        private final String label;

        Kind(String label) {
            this.label = label;
        }

        /** The word used in files and on the command line. */
        public String label() {
            return label;
        }

        /** The kind with this label. */
        public static Optional<Kind> named(String label) {
            return Arrays.stream(values()).filter(kind -> kind.label.equals(label)).findFirst();
        }

        /** All labels. */
        public static String labels() {
            return Arrays.stream(values()).map(Kind::label).collect(Collectors.joining(", "));
        }
    }

    public Rotation {
        if (width.isPresent() && width.getAsInt() < 1) {
            throw new IllegalArgumentException("a rotated stream carries 1 value or more, got a width of " + width.getAsInt());
        }
        if (pad.isPresent() && pad.getAsInt() < width.orElse(1)) {
            throw new IllegalArgumentException("a stream of " + width.orElse(1) + " values is padded to as many or more, got " + pad.getAsInt());
        }
    }

    /** How many values are carried of a stream of this width. */
    public int width(int stream) {
        return width.orElse(stream);
    }

    /** How many values it has, zeros included. */
    public int carried(int stream) {
        return pad.orElse(width(stream));
    }

    /** The same for a stream of this width, which is said. */
    public Rotation of(int stream) {
        return new Rotation(kind, seed, OptionalInt.of(width(stream)), pad, heads, extent);
    }

    /** The basis of a head's values, a Hadamard matrix where one is known and evenly distributed otherwise. */
    public Rotation ofHeads(int head) {
        return new Rotation(Hadamard.find(head).isPresent() ? Kind.HADAMARD : Kind.RANDOM, Seed.of(seed).at("heads").number(0), OptionalInt.empty());
    }

    /** Why there is no basis of this kind for a stream of this width; empty where there is one. */
    public Optional<String> obstacle(int stream) {
        int k = width(stream);
        return kind == Kind.HADAMARD && Hadamard.find(k).isEmpty()
                ? Optional.of("no Hadamard matrix of " + k + " rows is known here, which are those of 1, 2, q + 1 (q a prime, 3 more than a multiple of 4)"
                        + " and 2 (q + 1) (q a prime, 1 more) rows, times a power of two; ask for random")
                : Optional.empty();
    }

    @Override
    public String toString() {
        return kind.label + (kind == Kind.PRINCIPAL ? "" : ", seed " + seed) + (pad.isPresent() ? ", padded to " + pad.getAsInt() : "") + (heads ? ", heads too" : "")
                + (extent == Extent.SUB_LAYER ? ", a basis for each sub-layer" : "");
    }
}
