package isonorm.train;

import isonorm.kernel.Type;
import isonorm.text.BeginningToken;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.stream.Collectors;

/**
 * All that a run is told. A {@link Configuration} is its text form, from which its defaults come as well: {@link #in} is what
 * {@code isonorm train} does without arguments. A value that makes no sense is refused in one line, which names its key in that text.
 *
 * @param folder where the run writes; a run begins only with one
 * @param seed of weights, data and dropout
 * @param threads 0 for one a processor
 * @param timeout seconds that a step of several ranks waits for one of them
 */
public record TrainingRun(Optional<Path> folder, long seed, int threads, int timeout, Start start, Reading reading, Learning learning, Watching watching) {

    /** What is trained. */
    public sealed interface Start {

        /**
         * A new model.
         *
         * @param preset one of {@link TrainingRun#presets}
         * @param width in place of the preset's
         * @param blocks in place of the preset's
         * @param heads in place of the preset's
         * @param hidden the MLP's width in place of the preset's
         * @param strategy where and how it normalizes
         * @param initial what weights are at first
         * @param transfer the base whose hyperparameters are those of this size too; empty where they are this model's own
         */
        record New(String preset, OptionalInt width, OptionalInt blocks, OptionalInt heads, OptionalInt hidden, Strategy strategy, Initial initial,
                Optional<Transfer> transfer) implements Start {

            public New {
                Presets.require(preset);
                width.ifPresent(Range.WIDTH::require);
                blocks.ifPresent(Range.BLOCKS::require);
                heads.ifPresent(Range.HEADS::require);
                hidden.ifPresent(Range.HIDDEN::require);
            }

            /** How many blocks it has. */
            public int depth() {
                return blocks.orElse(Presets.blocks(preset));
            }
        }

        /**
         * The model of a checkpoint.
         *
         * @param folder where it is
         * @param strategy where and how it normalizes from then on; empty, as pre-ln is, where it stays what it is
         * @param running what a step computes with
         */
        record Checkpoint(Path folder, Optional<Strategy> strategy, Strategy.Running running) implements Start {

            public Checkpoint {
                if (strategy.filter(Strategy::hasBlocksOfTheirOwn).isPresent()) {
                    throw new IllegalArgumentException("some blocks have a strategy of their own in new models alone; name one for all blocks of " + folder);
                }
                strategy = strategy.map(each -> each.withRunning(Strategy.Running.PLAIN)).filter(each -> !each.equals(Strategy.named("pre-ln")));
            }
        }
    }

    /**
     * What weights are at first, where a strategy does not say.
     *
     * @param deviation the standard deviation of matrices and tables
     * @param embedding that of tables, where it is another
     * @param attentionAlpha DyT's alpha before attention
     * @param alpha DyT's alpha elsewhere
     */
    public record Initial(double deviation, OptionalDouble embedding, double attentionAlpha, double alpha) {

        public Initial {
            Range.DEVIATION.require(deviation);
            embedding.ifPresent(Range.TABLES::require);
            Range.ALPHA.require(attentionAlpha);
            Range.ALPHA.require(alpha);
        }

        /** Of one deviation, and alphas of one half. */
        public static Initial of(double deviation) {
            return new Initial(deviation, OptionalDouble.empty(), 0.5, 0.5);
        }
    }

    /**
     * The size of a model whose learning rate, weight decay, epsilon and initial deviation are given: for another size they follow from it (CompleteP, arXiv
     * 2505.01618).
     */
    public record Transfer(int width, int blocks) {

        public Transfer {
            Range.TRANSFER_WIDTH.require(width);
            Range.TRANSFER_BLOCKS.require(blocks);
        }
    }

    /**
     * What is learned from, and how much of it at once.
     *
     * @param data a folder that {@code isonorm data build} made, a file of prompts and completions, lines of JSON, or a folder with a folder of
     *     images for each class; the embedded plays of Shakespeare where there is none
     * @param validation the share of completions or images that is not learned from
     * @param beginning what stands in front of a prompt whose completion is learned
     * @param image pixels of an image's side
     * @param batch sequences or images a batch
     * @param sequence tokens a sequence
     * @param accumulate batches a step
     * @param augmentation what is done to images that are learned from, and to their labels
     */
    public record Reading(Optional<Path> data, double validation, BeginningToken beginning, int image, int batch, int sequence, int accumulate, Augmentation augmentation) {

        public Reading {
            Range.VALIDATION.require(validation);
            Range.IMAGE.require(image);
            Range.BATCH.require(batch);
            Range.SEQUENCE.require(sequence);
            Range.ACCUMULATE.require(accumulate);
        }
    }

    /** Which part of an image is learned from. */
    public enum Crop {
        /** The square in its middle. */
        MIDDLE,
        /** A part by chance, another one in each epoch, made square: torchvision's RandomResizedCrop. */
        RANDOM
    }

    /**
     * What is done to images that are learned from, and to their labels.
     *
     * @param mixup the alpha of mixup (arXiv 1710.09412): each image of a batch is mixed with another in shares drawn from Beta(alpha, alpha), once a batch; 0 for none
     * @param smoothing the part of each label that is spread over all classes
     */
    public record Augmentation(Crop crop, double mixup, double smoothing) {

        /** The middle of each image, and its class. */
        public static final Augmentation NONE = new Augmentation(Crop.MIDDLE, 0, 0);

        public Augmentation {
            Range.MIXUP.require(mixup);
            Range.LABEL_SMOOTHING.require(smoothing);
        }
    }

    /** The types that weights are kept in and that is computed with. */
    public enum Precision {
        /** All of it in float32. */
        F32("f32", Type.F32, Type.F32),
        /** Float32 weights, computing in bfloat16. */
        BF16("bf16", Type.F32, Type.BF16),
        /** Float32 weights, computing in float16 with a loss scale (arXiv 1710.03740). */
        F16("f16", Type.F32, Type.F16),
        /** All of it in bfloat16. */
        BF16_PURE("bf16-pure", Type.BF16, Type.BF16),
        /** All of it in float64. */
        F64("f64", Type.F64, Type.F64);

        private final String label;
        private final Type type;
        private final Type compute;

        Precision(String label, Type type, Type compute) {
            this.label = label;
            this.type = type;
            this.compute = compute;
        }

        /** The word in a configuration. */
        public String label() {
            return label;
        }

        /** Of weights and of what the optimizer remembers. */
        Type type() {
            return type;
        }

        /** Of what is computed. */
        Type compute() {
            return compute;
        }

        /** The one of a word, which may be what other programs call it. */
        static Precision named(String word) {
            String label = switch (word.toLowerCase(Locale.ROOT)) {
                case "fp16", "float16" -> F16.label;
                case "bfloat16" -> BF16.label;
                case "fp32", "float32" -> F32.label;
                case "fp64", "float64" -> F64.label;
                default -> word;
            };
            return Arrays.stream(values()).filter(one -> one.label.equals(label)).findFirst().orElseThrow(() -> new IllegalArgumentException(
                    "dtype must be " + Arrays.stream(values()).limit(values().length - 1).map(Precision::label).collect(Collectors.joining(", "))
                            + " or " + F64.label + ", got " + word));
        }
    }

    /**
     * What is dropped by chance.
     *
     * @param stream the probability with which a value that enters the stream is dropped
     * @param attention that of a weight of attention
     * @param lastBlock that of the last block's branches as a whole, less before (stochastic depth)
     */
    public record Dropout(double stream, double attention, double lastBlock) {

        public Dropout {
            Range.DROPOUT.require(stream);
            Range.ATTENTION_DROPOUT.require(attention);
            Range.STOCHASTIC_DEPTH.require(lastBlock);
        }
    }

    /**
     * How weights change.
     *
     * @param steps how many
     * @param rate the highest learning rate
     * @param course how the rate goes down
     * @param warmup steps of warm-up, or below 1 a share of all
     * @param floor the share of the rate that is left at the end
     * @param fromZero whether the first step has the rate of a step 0
     * @param freeze the ends of the names of parameters that are not learned
     * @param optimizer how weights follow their gradients
     * @param clip the largest norm of the gradient; 0 for none
     * @param precision the types of weights and of what is computed
     * @param lossScale with float16: what the loss is multiplied with, at first
     * @param lossScaleEvery steps without an overflow after which it is doubled
     * @param recompute whether what blocks compute is computed again for the backward pass, not kept (activation checkpointing)
     * @param dropout what is dropped by chance
     */
    public record Learning(
            long steps, double rate, Schedule.Course course, double warmup, double floor, boolean fromZero, List<String> freeze, OptimizerRule optimizer, double clip, Precision precision,
            double lossScale, long lossScaleEvery, boolean recompute, Dropout dropout) {

        public Learning {
            freeze = List.copyOf(freeze);
            Range.STEPS.require(steps);
            Range.RATE.require(rate);
            Range.WARMUP.require(warmup);
            Range.FLOOR.require(floor);
            Range.CLIP.require(clip);
            Range.LOSS_SCALE.require(lossScale);
            Range.LOSS_SCALE_EVERY.require(lossScaleEvery);
        }

        /** The rate of each step. */
        public Schedule schedule() {
            return new Schedule(course, rate, steps, warmup < 1 ? Math.round(warmup * steps) : (long) warmup, floor, fromZero);
        }
    }

    /**
     * What is measured and kept, and when a run ends early.
     *
     * @param logEvery steps a line of the metrics
     * @param depthEvery steps between measurements of the blocks; 0 for none
     * @param evaluationEvery steps between evaluations; 0 for none
     * @param evaluationBatches batches an evaluation
     * @param checkpointEvery steps between checkpoints; 0 for one at the end
     * @param checkpointsKept how many checkpoints stay
     * @param stopAbove ends a run whose loss lies so far above the lowest mean; 0 for never
     * @param patience ends a run after so many evaluations without a lower loss; 0 for never
     */
    public record Watching(
            long logEvery, long depthEvery, long evaluationEvery, int evaluationBatches, long checkpointEvery, int checkpointsKept, double
            stopAbove, long patience) {

        public Watching {
            Range.LOG.require(logEvery);
            Range.DEPTH.require(depthEvery);
            Range.EVALUATION.require(evaluationEvery);
            Range.EVALUATION_BATCHES.require(evaluationBatches);
            Range.CHECKPOINT.require(checkpointEvery);
            Range.KEEP.require(checkpointsKept);
            Range.ABOVE.require(stopAbove);
            Range.PATIENCE.require(patience);
        }
    }

    public TrainingRun {
        Range.SEED.require(seed);
        Range.THREADS.require(threads);
        Range.TIMEOUT.require(timeout);
    }

    /** The names of the shapes that a new model can have. */
    public static List<String> presets() {
        return Presets.names();
    }

    /** What is trained where nothing else is said, in a folder. */
    public static TrainingRun in(Path folder) {
        return Configuration.of(Map.of()).run().withFolder(folder);
    }

    public TrainingRun withFolder(Path other) {
        return new TrainingRun(Optional.of(other), seed, threads, timeout, start, reading, learning, watching);
    }

    public TrainingRun withSeed(long other) {
        return new TrainingRun(folder, other, threads, timeout, start, reading, learning, watching);
    }

    public TrainingRun withThreads(int other) {
        return new TrainingRun(folder, seed, other, timeout, start, reading, learning, watching);
    }

    /** The same with another time that a step of several ranks waits for one of them, in seconds. */
    public TrainingRun withTimeout(int seconds) {
        return new TrainingRun(folder, seed, threads, seconds, start, reading, learning, watching);
    }

    /** The same, training something else. */
    public TrainingRun withStart(Start other) {
        return new TrainingRun(folder, seed, threads, timeout, other, reading, learning, watching);
    }

    /** The same with a new model of another preset, in its size. */
    public TrainingRun withPreset(String preset) {
        Start.New model = model("a preset");
        return withStart(new Start.New(preset, OptionalInt.empty(), OptionalInt.empty(), OptionalInt.empty(), OptionalInt.empty(), model.strategy,
                model.initial, model.transfer));
    }

    /** The same with a new model of another size, the width of its MLP growing with its width. */
    public TrainingRun withSize(int width, int blocks, int heads) {
        Start.New model = model("a size");
        return withStart(new Start.New(model.preset, OptionalInt.of(width), OptionalInt.of(blocks), OptionalInt.of(heads), OptionalInt.empty(),
                model.strategy, model.initial, model.transfer));
    }

    /** The same with a new model of another strategy. */
    public TrainingRun withStrategy(Strategy strategy) {
        return withStart(switch (start) {
            case Start.New model -> new Start.New(model.preset, model.width, model.blocks, model.heads, model.hidden, strategy, model.initial, model.transfer);
            case Start.Checkpoint(Path folder, _, _) -> new Start.Checkpoint(folder, Optional.of(strategy), strategy.running());
        });
    }

    /** The same with a new model whose weights begin otherwise. */
    public TrainingRun withInitial(Initial initial) {
        Start.New model = model("an initialization");
        return withStart(new Start.New(model.preset, model.width, model.blocks, model.heads, model.hidden, model.strategy, initial, model.transfer));
    }

    /** The same with a new model that learns as one of another size should. */
    public TrainingRun withTransfer(Transfer base) {
        Start.New model = model("a transfer");
        return withStart(new Start.New(model.preset, model.width, model.blocks, model.heads, model.hidden, model.strategy, model.initial, Optional.of(base)));
    }

    /** The same, going on with the model of a checkpoint. */
    public TrainingRun withCheckpoint(Path checkpoint) {
        return withStart(new Start.Checkpoint(checkpoint, Optional.empty(), Strategy.Running.PLAIN));
    }

    private Start.New model(String what) {
        return switch (start) {
            case Start.New model -> model;
            case Start.Checkpoint(Path checkpoint, _, _) -> throw new IllegalArgumentException(what + " says what a model is, and the one of "
                    + checkpoint + " is already what it is; leave one of them out");
        };
    }

    /** The same, learning from other data. */
    public TrainingRun withData(Path folder) {
        return with(new Reading(Optional.of(folder), reading.validation, reading.beginning, reading.image, reading.batch, reading.sequence, reading.accumulate, reading.augmentation));
    }

    public TrainingRun withValidationShare(double share) {
        return with(new Reading(reading.data, share, reading.beginning, reading.image, reading.batch, reading.sequence, reading.accumulate, reading.augmentation));
    }

    /** The same with another decision on what stands in front of a prompt. */
    public TrainingRun withBeginning(BeginningToken other) {
        return with(new Reading(reading.data, reading.validation, other, reading.image, reading.batch, reading.sequence, reading.accumulate, reading.augmentation));
    }

    public TrainingRun withImage(int pixels) {
        return with(new Reading(reading.data, reading.validation, reading.beginning, pixels, reading.batch, reading.sequence, reading.accumulate, reading.augmentation));
    }

    public TrainingRun withBatch(int examples) {
        return with(new Reading(reading.data, reading.validation, reading.beginning, reading.image, examples, reading.sequence, reading.accumulate, reading.augmentation));
    }

    public TrainingRun withSequence(int tokens) {
        return with(new Reading(reading.data, reading.validation, reading.beginning, reading.image, reading.batch, tokens, reading.accumulate, reading.augmentation));
    }

    public TrainingRun withAccumulate(int batches) {
        return with(new Reading(reading.data, reading.validation, reading.beginning, reading.image, reading.batch, reading.sequence, batches, reading.augmentation));
    }

    public TrainingRun withAugmentation(Augmentation other) {
        return with(new Reading(reading.data, reading.validation, reading.beginning, reading.image, reading.batch, reading.sequence, reading.accumulate, other));
    }

    public TrainingRun withSteps(long steps) {
        return with(new Learning(steps, learning.rate, learning.course, learning.warmup, learning.floor, learning.fromZero, learning.freeze, learning.optimizer, learning.clip,
                learning.precision, learning.lossScale, learning.lossScaleEvery, learning.recompute, learning.dropout));
    }

    /** The same with another highest learning rate. */
    public TrainingRun withRate(double highest) {
        return with(new Learning(learning.steps, highest, learning.course, learning.warmup, learning.floor, learning.fromZero, learning.freeze, learning.optimizer, learning.clip,
                learning.precision, learning.lossScale, learning.lossScaleEvery, learning.recompute, learning.dropout));
    }

    /** The same with another course of the learning rate: a warm-up of steps, or below 1 of a share of all, and the share left at the end. */
    public TrainingRun withSchedule(Schedule.Course course, double warmup, double floor) {
        return with(new Learning(learning.steps, learning.rate, course, warmup, floor, learning.fromZero, learning.freeze, learning.optimizer, learning.clip, learning.precision,
                learning.lossScale, learning.lossScaleEvery, learning.recompute, learning.dropout));
    }

    /** The same, whose first step has the rate of a step 0, as PyTorch's schedules count. */
    public TrainingRun withScheduleFromZero(boolean fromZero) {
        return with(new Learning(learning.steps, learning.rate, learning.course, learning.warmup, learning.floor, fromZero, learning.freeze, learning.optimizer,
                learning.clip, learning.precision, learning.lossScale, learning.lossScaleEvery, learning.recompute, learning.dropout));
    }

    /** The same, in which parameters stay what they are whose names end so: {@code output-norm.gain}, {@code bias}. */
    public TrainingRun withFrozen(List<String> names) {
        return with(new Learning(learning.steps, learning.rate, learning.course, learning.warmup, learning.floor, learning.fromZero, names, learning.optimizer,
                learning.clip, learning.precision, learning.lossScale, learning.lossScaleEvery, learning.recompute, learning.dropout));
    }

    public TrainingRun withOptimizer(OptimizerRule rule) {
        return with(new Learning(learning.steps, learning.rate, learning.course, learning.warmup, learning.floor, learning.fromZero, learning.freeze, rule, learning.clip,
                learning.precision, learning.lossScale, learning.lossScaleEvery, learning.recompute, learning.dropout));
    }

    public TrainingRun withClip(double norm) {
        return with(new Learning(learning.steps, learning.rate, learning.course, learning.warmup, learning.floor, learning.fromZero, learning.freeze, learning.optimizer, norm,
                learning.precision, learning.lossScale, learning.lossScaleEvery, learning.recompute, learning.dropout));
    }

    public TrainingRun withPrecision(Precision precision) {
        return with(new Learning(learning.steps, learning.rate, learning.course, learning.warmup, learning.floor, learning.fromZero, learning.freeze, learning.optimizer,
                learning.clip, precision, learning.lossScale, learning.lossScaleEvery, learning.recompute, learning.dropout));
    }

    public TrainingRun withLossScale(double first, long every) {
        return with(new Learning(learning.steps, learning.rate, learning.course, learning.warmup, learning.floor, learning.fromZero, learning.freeze, learning.optimizer,
                learning.clip, learning.precision, first, every, learning.recompute, learning.dropout));
    }

    public TrainingRun withRecompute(boolean again) {
        return with(new Learning(learning.steps, learning.rate, learning.course, learning.warmup, learning.floor, learning.fromZero, learning.freeze, learning.optimizer,
                learning.clip, learning.precision, learning.lossScale, learning.lossScaleEvery, again, learning.dropout));
    }

    /** The same, dropping values that enter the stream and whole branches of blocks (stochastic depth) by chance. */
    public TrainingRun withDropout(double values, double lastBlock) {
        return with(new Learning(learning.steps, learning.rate, learning.course, learning.warmup, learning.floor, learning.fromZero, learning.freeze, learning.optimizer,
                learning.clip, learning.precision, learning.lossScale, learning.lossScaleEvery, learning.recompute, new Dropout(values, learning.dropout.attention, lastBlock)));
    }

    /** The same, dropping weights of attention by chance. */
    public TrainingRun withAttentionDropout(double weights) {
        return with(new Learning(learning.steps, learning.rate, learning.course, learning.warmup, learning.floor, learning.fromZero, learning.freeze, learning.optimizer,
                learning.clip, learning.precision, learning.lossScale, learning.lossScaleEvery, learning.recompute,
                new Dropout(learning.dropout.stream, weights, learning.dropout.lastBlock)));
    }

    public TrainingRun withLogEvery(long every) {
        return with(new Watching(every, watching.depthEvery, watching.evaluationEvery, watching.evaluationBatches, watching.checkpointEvery,
                watching.checkpointsKept, watching.stopAbove, watching.patience));
    }

    public TrainingRun withDepthEvery(long every) {
        return with(new Watching(watching.logEvery, every, watching.evaluationEvery, watching.evaluationBatches, watching.checkpointEvery,
                watching.checkpointsKept, watching.stopAbove, watching.patience));
    }

    public TrainingRun withEvaluation(long every, int batches) {
        return with(new Watching(watching.logEvery, watching.depthEvery, every, batches, watching.checkpointEvery, watching.checkpointsKept,
                watching.stopAbove, watching.patience));
    }

    public TrainingRun withCheckpoints(long every, int kept) {
        return with(new Watching(watching.logEvery, watching.depthEvery, watching.evaluationEvery, watching.evaluationBatches, every, kept,
                watching.stopAbove, watching.patience));
    }

    public TrainingRun withStopping(double above, long patience) {
        return with(new Watching(watching.logEvery, watching.depthEvery, watching.evaluationEvery, watching.evaluationBatches,
                watching.checkpointEvery, watching.checkpointsKept, above, patience));
    }

    private TrainingRun with(Reading other) {
        return new TrainingRun(folder, seed, threads, timeout, start, other, learning, watching);
    }

    private TrainingRun with(Learning other) {
        return new TrainingRun(folder, seed, threads, timeout, start, reading, other, watching);
    }

    private TrainingRun with(Watching other) {
        return new TrainingRun(folder, seed, threads, timeout, start, reading, learning, other);
    }
}
