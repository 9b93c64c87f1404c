package isonorm.architecture;

/** A second stack of a model, beside the main one: it has an embedding, blocks and a residual stream of its own. */
public sealed interface Companion {

    /** What the second stack is, by itself. */
    Architecture architecture();

    /** Under which name its parameters are known. */
    Stack stack();

    /** What reports call the stack that it stands beside. */
    String mainTitle();

    /** The same relation to another architecture. */
    Companion with(Architecture other);

    /**
     * An encoder, whose output the cross-attention of every block of the main stack reads.
     *
     * @param sharesTable whether its token table is the main stack's, so that it has none of its own
     */
    record Encoder(Architecture architecture, boolean sharesTable) implements Companion {
        @Override
        public Stack stack() {
            return Stack.ENCODER;
        }

        @Override
        public String mainTitle() {
            return "decoder";
        }

        @Override
        public Encoder with(Architecture other) {
            return new Encoder(other, sharesTable);
        }
    }

    /**
     * A tower that reads images, beside one that reads texts. Both pool a vector, x of an image and y of a text, and the model gives
     * {@code exp(scale) (x / |x|) . (y / |y|) + bias} of each image with each text (CLIP, arXiv 2103.00020; SigLIP, arXiv 2303.15343).
     *
     * @param bias whether there is a bias
     */
    record ImageTower(Architecture architecture, boolean bias) implements Companion {
        @Override
        public Stack stack() {
            return Stack.IMAGE;
        }

        @Override
        public String mainTitle() {
            return "text tower";
        }

        @Override
        public ImageTower with(Architecture other) {
            return new ImageTower(other, bias);
        }
    }
}
