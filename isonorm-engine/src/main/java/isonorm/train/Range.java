package isonorm.train;

import java.math.BigDecimal;

/**
 * The numbers that a key of a configuration can have.
 *
 * @param key what errors call it
 * @param least the smallest
 * @param below what all of them are below; infinity where there is no such bound
 * @param whole whether it has whole numbers only
 */
record Range(String key, double least, double below, boolean whole) {

    static final Range SEED = whole("seed", 0);
    static final Range THREADS = whole("threads", 0);
    static final Range TIMEOUT = whole("group.timeout", 1);
    static final Range WIDTH = whole("model.width", 1);
    static final Range BLOCKS = new Range("model.blocks", 1, 100_000, true); // each is an object, before there is any memory to ask for
    static final Range HEADS = whole("model.heads", 1);
    static final Range HIDDEN = whole("model.hidden", 1);
    static final Range DEVIATION = real("init.deviation", 0, Double.POSITIVE_INFINITY);
    static final Range VALIDATION = real("data.validation", 0, 1);
    static final Range IMAGE = whole("image", 1);
    static final Range MIXUP = real("mixup", 0, 5);
    static final Range LABEL_SMOOTHING = real("label-smoothing", 0, 1);
    static final Range BATCH = whole("batch", 1);
    static final Range SEQUENCE = whole("sequence", 1);
    static final Range ACCUMULATE = whole("accumulate", 1);
    static final Range STEPS = whole("steps", 1);
    static final Range RATE = real("lr", 0, Double.POSITIVE_INFINITY);
    static final Range WARMUP = real("warmup", 0, Double.POSITIVE_INFINITY);
    static final Range FLOOR = real("floor", 0, Double.POSITIVE_INFINITY);
    static final Range BETA1 = real("beta1", 0, 1);
    static final Range BETA2 = real("beta2", 0, 1);
    static final Range EPSILON = real("epsilon", 0, Double.POSITIVE_INFINITY);
    static final Range DECAY = real("decay", 0, Double.POSITIVE_INFINITY);
    static final Range MUON_MOMENTUM = real("muon.momentum", 0, 1);
    static final Range MUON_REST = real("muon.rest", 0, Double.POSITIVE_INFINITY);
    static final Range TRANSFER_WIDTH = whole("transfer.width", 1);
    static final Range TRANSFER_BLOCKS = whole("transfer.blocks", 1);
    static final Range TABLES = real("init.embedding", 0, Double.POSITIVE_INFINITY);
    static final Range ALPHA = real("init.alpha", 0, Double.POSITIVE_INFINITY);
    static final Range CLIP = real("clip", 0, Double.POSITIVE_INFINITY);
    static final Range LOSS_SCALE = real("loss-scale", Double.MIN_NORMAL, Double.POSITIVE_INFINITY);
    static final Range LOSS_SCALE_EVERY = whole("loss-scale.every", 1);
    static final Range DROPOUT = real("dropout", 0, 1);
    static final Range ATTENTION_DROPOUT = real("dropout.attention", 0, 1);
    static final Range STOCHASTIC_DEPTH = real("stochastic-depth", 0, 1);
    static final Range LOG = whole("log.every", 1);
    static final Range DEPTH = whole("depth.every", 0);
    static final Range EVALUATION = whole("eval.every", 0);
    static final Range EVALUATION_BATCHES = whole("eval.batches", 1);
    static final Range CHECKPOINT = whole("checkpoint.every", 0);
    static final Range KEEP = whole("checkpoint.keep", 1);
    static final Range ABOVE = real("stop.above", 0, Double.POSITIVE_INFINITY);
    static final Range PATIENCE = whole("stop.patience", 0);

    private static Range whole(String key, long least) {
        return new Range(key, least, Double.POSITIVE_INFINITY, true);
    }

    private static Range real(String key, double least, double below) {
        return new Range(key, least, below, false);
    }

    /** Refuses a number outside. */
    void require(double value) {
        if (!(value >= least && value < below)) {
            throw refused(whole ? Long.toString((long) value) : Double.toString(value));
        }
    }

    /** The whole number that a text is. */
    long parseWhole(String text) {
        try {
            long value = new BigDecimal(text.replace("_", "")).longValueExact(); // 1e3 too
            if (value >= least) {
                return value;
            }
        } catch (ArithmeticException | NumberFormatException e) {
            // said below
        }
        throw refused(text);
    }

    /** The same, the largest int where it is larger. */
    int parseInt(String text) {
        return (int) Math.min(Integer.MAX_VALUE, parseWhole(text));
    }

    /** The number that a text is. */
    double parseReal(String text) {
        try {
            double value = Double.parseDouble(text);
            if (value >= least && value < below) {
                return value;
            }
        } catch (NumberFormatException e) {
            // said below
        }
        throw refused(text);
    }

    private IllegalArgumentException refused(String got) {
        return new IllegalArgumentException(key + (whole ? " must be a whole number of " + (long) least + (below == Double.POSITIVE_INFINITY ? " or more" : " to below " + (long) below)
                : " must be a number from " + least + (below == Double.POSITIVE_INFINITY ? " on" : " to below " + below)) + ", got " + got);
    }
}
