package isonorm.train;

import static isonorm.architecture.Role.Field.BIAS;
import static isonorm.architecture.Role.Field.GAIN;
import static isonorm.architecture.Role.Field.WEIGHT;

import isonorm.architecture.Affine;
import isonorm.architecture.Architecture;
import isonorm.architecture.Block;
import isonorm.architecture.BranchScale;
import isonorm.architecture.Norm;
import isonorm.architecture.NormKind;
import isonorm.architecture.Output;
import isonorm.architecture.Parameter;
import isonorm.architecture.Part;
import isonorm.architecture.Placement;
import isonorm.architecture.Role;
import isonorm.architecture.Stream;
import isonorm.backpropagation.Parameters;
import isonorm.kernel.Gradients;
import isonorm.kernel.Kernels;
import isonorm.kernel.Rows;
import isonorm.tensor.Team;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * Training of a Pre-LN model on an equal model without a mean in its stream (Jiang et al., arXiv 2305.14858, section 3): the
 * parameters theta stay the Pre-LN model's; a step computes phi = h(theta), runs on phi, and pulls the gradient back,
 * {@code dtheta = h'(theta)^T dphi}. Any optimizer then takes the steps it would have taken with Pre-LN.
 *
 * <p>What enters the stream or writes to it is centred, {@code A' = A - 11^T A / d}, whose transpose is itself. For CRMSNorm a reader
 * takes the norm's affine part and drops a column, {@code A'_j = g_j A_j - g_d A_d} and {@code b' = b + A beta}, and a writer drops a
 * row. A tied head is a reader of its own in phi.
 */
final class Equivalent implements AutoCloseable {

    /** How one parameter of phi is made from theta, and its gradient goes back. */
    private interface Link {
        void push();

        void pull();
    }

    private final Architecture architecture;
    private final Parameters phi;
    private final List<Link> links = new ArrayList<>();

    private Equivalent(Architecture architecture, Parameters phi) {
        this.architecture = architecture;
        this.phi = phi;
    }

    /** The equal model of a Pre-LN model with these parameters; {@code kind} is RMS or CRMS. */
    static Equivalent of(Architecture original, Parameters theta, NormKind kind, double dropout) {
        requirePreLn(original, dropout);
        boolean compressed = kind == NormKind.CRMS;
        Architecture equal = equal(original, kind);
        Map<Role, Parameters.Entry> shared = compressed ? Map.of() : shared(original, theta, equal);
        Equivalent equivalent = new Equivalent(equal, Parameters.of(equal, theta.type(), theta.compute(), shared));
        for (Parameters.Entry to : equivalent.phi.all()) {
            equivalent.links.add(link(original, theta, to, compressed));
        }
        return equivalent;
    }

    /** With RMSNorm only what enters the stream or writes to it is another one. */
    private static Map<Role, Parameters.Entry> shared(Architecture original, Parameters theta, Architecture equal) {
        Map<Role, Parameters.Entry> shared = new LinkedHashMap<>();
        for (Parameter parameter : equal.parameters()) {
            Role role = parameter.role();
            if (!centred(original, role)) {
                shared.put(role, theta.get(original.tied() && role.part() == Part.HEAD && role.field() == WEIGHT
                        ? Role.of(Part.TOKEN_EMBEDDING, WEIGHT) : role));
            }
        }
        return shared;
    }

    private static boolean centred(Architecture architecture, Role role) {
        return switch (architecture.use(role.part())) {
            case TABLE, VECTOR, WRITER -> true;
            case READER, NONE -> false;
        };
    }

    /** Refuses a model for which there is no equal one. */
    static void requirePreLn(Architecture original, double dropout) {
        boolean right = original.blocks().stream().allMatch(block -> block.both(Placement.PRE)
                && block.norm().kind() == NormKind.LAYER && block.scale() == BranchScale.NONE && !block.gates())
                && original.finalNorm().map(norm -> norm.kind() == NormKind.LAYER).orElse(false)
                && original.embedding().norm().isEmpty() && original.stream() == Stream.FREE;
        if (!right) {
            throw new IllegalArgumentException("equivalent training is for a Pre-LN model: LayerNorms before the sub-layers and behind the last"
                    + " block, no embedding norm, no LayerScale or SkipInit; take strategy pre-ln");
        }
        if (dropout > 0) {
            throw new IllegalArgumentException("dropout of what enters the stream does not keep its mean zero, so training would not be equal, got "
                    + dropout + "; set dropout to 0");
        }
    }

    private static Architecture equal(Architecture original, NormKind kind) {
        Affine affine = kind == NormKind.CRMS ? Affine.NONE : original.blocks().getFirst().norm().affine();
        List<Block> blocks = original.blocks().stream().map(block -> {
            Block other = block.withNorm(block.norm().withKind(kind).withAffine(affine));
            return kind == NormKind.CRMS && block.norm().affine().hasBias()
                    ? other.withMixer(block.mixer().withReadingBias())
                            .withFeedForward(block.feedForward().withReadingBias())
                    : other;
        }).toList();
        Norm last = original.finalNorm().orElseThrow();
        Output output = original.output();
        if (output instanceof Output.Words words) {
            output = words.withTied(false);
            if (kind == NormKind.CRMS && last.affine().hasBias()) {
                output = ((Output.Words) output).withBias(true);
            }
        } else if (output instanceof Output.Labels labels && kind == NormKind.CRMS && last.affine().hasBias()) {
            output = labels.withBias(true);
        }
        return original.withBlocks(blocks).withOutput(output)
                .withFinalNorm(Optional.of(last.withKind(kind).withAffine(affine)))
                .withStream(kind == NormKind.CRMS ? Stream.COMPRESSED : Stream.CENTRED);
    }

    /** What the step runs on. */
    Architecture architecture() {
        return architecture;
    }

    Parameters phi() {
        return phi;
    }

    /** phi = h(theta). */
    void push(Team team) {
        team.each(links.size(), number -> links.get(number).push());
        phi.refresh(team);
    }

    /** Adds the gradient of phi, pulled back, to that of theta. */
    void pull(Team team) {
        if (architecture.stream() == Stream.COMPRESSED) {
            links.forEach(Link::pull); // several readers add to the gradient of one gain
        } else {
            team.each(links.size(), number -> links.get(number).pull());
        }
    }

    private static Link link(Architecture original, Parameters theta, Parameters.Entry to, boolean compressed) {
        Role role = to.role();
        if (centred(original, role)) {
            boolean writes = role.field() == WEIGHT && original.use(role.part()) == Part.Use.WRITER;
            return compressed ? new Shortened(theta.get(role), to, writes) : new Centred(theta.get(role), to, writes);
        }
        return switch (role.part()) {
            case QUERY_KEY_VALUE -> reader(theta, to, Role.of(Part.ATTENTION_NORM, role.block(), GAIN), role);
            case MLP_GATE, MLP_UP -> reader(theta, to, Role.of(original.blocks().get(role.block()).wiring().sharesNorm()
                    ? Part.ATTENTION_NORM : Part.MLP_NORM, role.block(), GAIN), role);
            case HEAD -> reader(theta, to, Role.of(Part.FINAL_NORM, GAIN),
                    original.tied() && role.field() == WEIGHT ? Role.of(Part.TOKEN_EMBEDDING, WEIGHT) : role);
            default -> new Same(theta.get(role), to);
        };
    }

    private static Link reader(Parameters theta, Parameters.Entry to, Role gain, Role from) {
        if (from.field() == WEIGHT) {
            return new Compressed(theta.get(from), theta.find(gain), to);
        }
        Role weight = to.role().part() == Part.HEAD && theta.find(to.role().field(WEIGHT)).isEmpty()
                ? Role.of(Part.TOKEN_EMBEDDING, WEIGHT) : to.role().field(WEIGHT);
        return new Biased(theta.find(from), theta.get(weight), theta.find(gain.field(BIAS)), to);
    }

    /** Of a norm inside attention: the parameter itself. */
    private record Same(Parameters.Entry from, Parameters.Entry to) implements Link {
        @Override
        public void push() {
            Kernels.of(from.weights().type()).copy(from.weights(), to.weights());
        }

        @Override
        public void pull() {
            add(to.gradient(), from);
        }
    }

    /** Without the mean over what the stream gets: of the columns of a writer, of the rows of a table. */
    private record Centred(Parameters.Entry from, Parameters.Entry to, boolean columns) implements Link {
        @Override
        public void push() {
            centre(from.weights(), to.weights());
        }

        @Override
        public void pull() {
            if (from.begins()) {
                centre(to.gradient(), from.gradient());
            } else {
                centre(to.gradient(), to.gradient());
                add(to.gradient(), from);
            }
        }

        private void centre(Rows x, Rows out) {
            if (columns) {
                Gradients.of(x.type()).centreColumns(x, out);
            } else {
                Gradients.of(x.type()).centreRows(x, out);
            }
        }
    }

    /** The same, and without the last value that the stream would get. */
    private record Shortened(Parameters.Entry from, Parameters.Entry to, boolean columns) implements Link {

        private double get(Rows x, int line, int i) {
            return columns ? x.get(i, line) : x.get(line, i);
        }

        private void set(Rows x, int line, int i, double value) {
            if (columns) {
                x.set(i, line, value);
            } else {
                x.set(line, i, value);
            }
        }

        private int lines() {
            return columns ? from.weights().columns() : from.weights().rows();
        }

        private int width() {
            return columns ? from.weights().rows() : from.weights().columns();
        }

        @Override
        public void push() {
            int d = width();
            for (int line = 0; line < lines(); line++) {
                double mean = 0;
                for (int i = 0; i < d; i++) {
                    mean += get(from.weights(), line, i) / d;
                }
                for (int i = 0; i < d - 1; i++) {
                    set(to.weights(), line, i, get(from.weights(), line, i) - mean);
                }
            }
        }

        @Override
        public void pull() {
            if (from.begins()) {
                Parameters.zero(from.gradient());
            }
            int d = width();
            for (int line = 0; line < lines(); line++) {
                double mean = 0;
                for (int i = 0; i < d - 1; i++) {
                    mean += get(to.gradient(), line, i) / d;
                }
                for (int i = 0; i < d; i++) {
                    double own = i < d - 1 ? get(to.gradient(), line, i) : 0;
                    set(from.gradient(), line, i, get(from.gradient(), line, i) + own - mean);
                }
            }
        }
    }

    /** {@code A'_j = g_j A_j - g_d A_d}. */
    private record Compressed(Parameters.Entry from, Optional<Parameters.Entry> gain, Parameters.Entry to) implements Link {
        @Override
        public void push() {
            int last = from.weights().columns() - 1;
            for (int r = 0; r < from.weights().rows(); r++) {
                double dropped = gain(last) * from.weights().get(r, last);
                for (int c = 0; c < last; c++) {
                    to.weights().set(r, c, gain(c) * from.weights().get(r, c) - dropped);
                }
            }
        }

        private double gain(int column) {
            return gain.isPresent() ? gain.get().weights().get(0, column) : 1;
        }

        @Override
        public void pull() {
            if (from.begins()) {
                Parameters.zero(from.gradient());
            }
            int last = from.weights().columns() - 1;
            Rows gradient = from.gradient();
            for (int r = 0; r < from.weights().rows(); r++) {
                double sum = 0;
                for (int c = 0; c < last; c++) {
                    double d = to.gradient().get(r, c);
                    sum += d;
                    gradient.set(r, c, gradient.get(r, c) + gain(c) * d);
                    addToGain(c, d * from.weights().get(r, c));
                }
                gradient.set(r, last, gradient.get(r, last) - gain(last) * sum);
                addToGain(last, -sum * from.weights().get(r, last));
            }
        }

        private void addToGain(int column, double value) {
            gain.ifPresent(entry -> entry.gradient().set(0, column, entry.gradient().get(0, column) + value));
        }
    }

    /** {@code b' = b + A beta}. */
    private record Biased(Optional<Parameters.Entry> from, Parameters.Entry reader, Optional<Parameters.Entry> beta, Parameters.Entry to)
            implements Link {
        @Override
        public void push() {
            for (int r = 0; r < to.weights().columns(); r++) {
                double sum = from.isPresent() ? from.get().weights().get(0, r) : 0;
                if (beta.isPresent()) {
                    for (int c = 0; c < reader.weights().columns(); c++) {
                        sum += reader.weights().get(r, c) * beta.get().weights().get(0, c);
                    }
                }
                to.weights().set(0, r, sum);
            }
        }

        @Override
        public void pull() {
            from.ifPresent(entry -> add(to.gradient(), entry));
            if (beta.isEmpty()) {
                return;
            }
            if (reader.begins()) {
                Parameters.zero(reader.gradient());
            }
            Rows outer = reader.gradient();
            Rows betas = beta.get().gradient();
            for (int r = 0; r < reader.weights().rows(); r++) {
                double d = to.gradient().get(0, r);
                for (int c = 0; c < reader.weights().columns(); c++) {
                    outer.set(r, c, outer.get(r, c) + d * beta.get().weights().get(0, c));
                    betas.set(0, c, betas.get(0, c) + d * reader.weights().get(r, c));
                }
            }
        }
    }

    private static void add(Rows gradient, Parameters.Entry into) {
        if (into.begins()) {
            Parameters.zero(into.gradient());
        }
        Gradients.of(gradient.type()).add(gradient, 1, into.gradient());
    }

    @Override
    public void close() {
        phi.close();
    }
}
