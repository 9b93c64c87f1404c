package isonorm.family;

import isonorm.architecture.Architecture;
import isonorm.architecture.LayerNormScaling;
import isonorm.architecture.Placement;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Config;
import isonorm.weights.Quantization;
import isonorm.weights.QuantizedParts;
import isonorm.weights.Rotation;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Properties;
import java.util.Set;
import java.util.stream.Collectors;

/**
 * Isonorm's own checkpoints: the architecture is written out in config.json, every tensor is named by its role, linear weights
 * are (out, in), and query, key and value are one tensor in this order. docs/format.md is the specification.
 */
public final class Isonorm implements Family {

    /** The newest version of the format. What an older one can say is written in that, so that older readers read it. */
    public static final int FORMAT_VERSION = 2;

    /** The version of Isonorm, which is written into every file; the build fills it in. */
    public static final String VERSION = version();

    private static final String QUANT_METHOD = "isonorm";
    private static final String LEFT_OUT = "left_out_dimension";
    private static final String CONSTANTS = "layernorm_scaling";
    private static final List<String> CONSTANTS_OF = List.of("attention_norm", "mlp_norm", "branches");

    private static String version() {
        Properties properties = new Properties();
        try (InputStream file = Isonorm.class.getResourceAsStream("version.properties")) {
            properties.load(file);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return properties.getProperty("version");
    }

    /** The config.json of a checkpoint of this architecture that came from {@code source}. */
    public static Config config(Architecture architecture, String form, Config source, String version) {
        return config(architecture, version).with("form", form).with("source_config", source);
    }

    /**
     * The config.json of a checkpoint whose stream was rotated. It has no form, so that nobody looks for a mean in its stream: it is an ordinary RMSNorm
     * model, as a reader of version 1 already knows it.
     */
    public static Config rotated(Architecture architecture, Config source, Rotation rotation) {
        Config how = Config.of(Map.of()).with("kind", rotation.kind().label()).with("seed", rotation.seed()).with("width", rotation.width(architecture.width()));
        how = rotation.pad().isPresent() ? how.with("pad", rotation.pad().getAsInt()) : how;
        how = rotation.heads() ? how.with("heads", true) : how;
        how = rotation.extent() == Rotation.Extent.MODEL ? how : how.with("basis", rotation.extent().label());
        return config(architecture, VERSION).with("rotation", how).with("source_config", source);
    }

    /** How the stream of a checkpoint was rotated; empty where it wasn't. */
    public static Optional<Rotation> rotation(Config config) {
        if (!config.textOr("", "model_type").equals("isonorm") || !config.has("rotation")) {
            return Optional.empty();
        }
        return rotationOf(config.object("rotation"));
    }

    /** What says how a stream was rotated; empty where that is not of its kind. */
    public static Optional<Rotation> rotationOf(Config rotation) {
        Optional<Rotation.Kind> kind = Rotation.Kind.named(rotation.textOr("", "kind"));
        Optional<Long> seed = rotation.find("seed").filter(Number.class::isInstance).map(value -> ((Number) value).longValue());
        Optional<Integer> width = rotation.find("width").filter(Number.class::isInstance).map(value -> ((Number) value).intValue()).filter(value -> value > 0);
        Optional<Integer> pad = rotation.find("pad").filter(Number.class::isInstance).map(value -> ((Number) value).intValue());
        boolean heads = rotation.find("heads").filter(Boolean.TRUE::equals).isPresent();
        Optional<Rotation.Extent> extent = Rotation.Extent.named(rotation.textOr(Rotation.Extent.MODEL.label(), "basis"));
        return kind.isPresent() && seed.isPresent() && width.isPresent() && pad.orElse(width.get()) >= width.get() && extent.isPresent()
                ? Optional.of(new Rotation(kind.get(), seed.get(), OptionalInt.of(width.get()), pad.map(OptionalInt::of).orElse(OptionalInt.empty()), heads, extent.get()))
                : Optional.empty();
    }

    /**
     * The config.json of a checkpoint with matrices in few bits. Readers of version 1 would miss them.
     *
     * @param config of the same model with all its values
     * @param method how codes were chosen
     */
    public static Config quantized(Config config, QuantizedParts parts, String method) {
        return config.with("format_version", FORMAT_VERSION).with("dtype", "float32").with("quantization_config", Config.of(Map.of()).with("quant_method", QUANT_METHOD)
                .with("bits", parts.layers().bits()).with("group_size", parts.layers().group()).with("head_bits", parts.ends().bits()).with("method", method)
                .with("modules_to_not_convert", parts.kept().stream().sorted().map(path -> path.substring(0, path.lastIndexOf('.'))).toList()));
    }

    /**
     * Which matrices of a checkpoint are in few bits; empty where none is.
     *
     * @throws CheckpointException if a key of quantization_config is missing or asks for what there isn't
     */
    public static Optional<QuantizedParts> quantized(Config config) throws CheckpointException {
        if (!isQuantized(config)) {
            return Optional.empty();
        }
        Config how = config.object("quantization_config");
        Set<String> kept = how.words("modules_to_not_convert").stream().map(name -> name + ".weight").collect(Collectors.toSet());
        how.textOr("", "method");
        try {
            int group = how.integer("group_size");
            return Optional.of(new QuantizedParts(new Quantization(how.integer("bits"), group), new Quantization(how.integer("head_bits"), group), kept));
        } catch (IllegalArgumentException e) {
            throw Config.unsupported("quantization_config", how, String.valueOf(e.getMessage()));
        }
    }

    /** Whether a config.json is of this format and says that matrices are in few bits as it defines them. */
    static boolean isQuantized(Config config) {
        return config.textOr("", "model_type").equals("isonorm") && config.object("quantization_config").textOr("", "quant_method").equals(QUANT_METHOD);
    }

    /** The config.json of a checkpoint of this architecture that came from no other, such as one that was trained so. */
    public static Config config(Architecture architecture, String version) {
        return Config.of(Map.of()).with("model_type", "isonorm").with("format_version", ArchitectureJson.version(architecture)).with("isonorm_version", version)
                .with("architecture", ArchitectureJson.write(architecture));
    }

    /**
     * A config.json, of any family, that says by which constants of each block LayerNorm Scaling multiplied in training. The weights contain them: who computes
     * with the model needs not know, who goes on training does. Without any, what a config said of others is left out. One list is of all norms before sub-layers, or of images of what branches write.
     */
    public static Config withConstants(Config config, LayerNormScaling constants, boolean images) {
        boolean norms = constants.branches().length == 0 && Arrays.equals(constants.attention(), constants.mlp());
        boolean branches = constants.attention().length == 0 && constants.mlp().length == 0;
        if (constants.none()) {
            return config.without(CONSTANTS);
        }
        if (images ? branches : norms) {
            return config.with(CONSTANTS, list(images ? constants.branches() : constants.attention()));
        }
        Map<String, Object> places = new LinkedHashMap<>();
        double[][] all = {constants.attention(), constants.mlp(), constants.branches()};
        for (int i = 0; i < all.length; i++) {
            if (all[i].length > 0) {
                places.put(CONSTANTS_OF.get(i), list(all[i]));
            }
        }
        return config.with(CONSTANTS, places);
    }

    private static List<Double> list(double[] numbers) {
        return Arrays.stream(numbers).boxed().toList();
    }

    /**
     * The constants of LayerNorm Scaling that weights contain.
     *
     * @throws CheckpointException if they are not one positive number for each of so many blocks
     */
    public static LayerNormScaling constants(Config config, int blocks, boolean images) throws CheckpointException {
        Config places = config.object(CONSTANTS);
        if (places.isEmpty()) {
            double[] all = constants(config, CONSTANTS, blocks);
            return images ? LayerNormScaling.ofBranches(all) : LayerNormScaling.ofNorms(all);
        }
        return new LayerNormScaling(constants(places, CONSTANTS_OF.get(0), blocks), constants(places, CONSTANTS_OF.get(1), blocks),
                constants(places, CONSTANTS_OF.get(2), blocks));
    }

    private static double[] constants(Config config, String key, int blocks) throws CheckpointException {
        List<?> list = config.list(key);
        double[] constants = list.stream().mapToDouble(each -> each instanceof Number number ? number.doubleValue() : Double.NaN).toArray();
        boolean sound = Arrays.stream(constants).allMatch(constant -> constant > 0 && constant < Double.POSITIVE_INFINITY);
        if (config.has(key) && (!sound || constants.length != blocks)) {
            throw Config.unsupported(key, list, "a positive number for each of " + blocks + " blocks");
        }
        return constants;
    }

    /** A config.json that says which dimension a compressed stream has left out, in the order that the stream had before; the last changed places with it. */
    public static Config withLeftOut(Config config, int dimension) {
        return config.with(LEFT_OUT, dimension);
    }

    /**
     * The dimension that a compressed stream of a width has left out; empty where it is the last.
     *
     * @throws CheckpointException if it is none of the stream's
     */
    public static OptionalInt leftOut(Config config, int width) throws CheckpointException {
        if (!config.has(LEFT_OUT)) {
            return OptionalInt.empty();
        }
        int dimension = config.integer(LEFT_OUT);
        if (dimension < 0 || dimension >= width) {
            throw Config.unsupported(LEFT_OUT, dimension, "a dimension of the stream, 0 to " + (width - 1));
        }
        return OptionalInt.of(dimension);
    }

    /** Every part under the name of its role. */
    public static Naming naming() {
        return Naming.byRole();
    }

    @Override
    public Description describe(Config config, Set<String> tensors) throws CheckpointException {
        int version = config.integer("format_version");
        if (version < 1 || version > FORMAT_VERSION) {
            throw Config.unsupported("format_version", version, "1 to " + FORMAT_VERSION + "; a newer Isonorm may read it");
        }
        if (config.has("rotation") && rotation(config).isEmpty()) {
            throw Config.unsupported("rotation", config.object("rotation"), "a kind (" + Rotation.Kind.labels() + "), a seed and a width");
        }
        try {
            Architecture architecture = ArchitectureJson.read(config.object("architecture"));
            Fit.require(architecture);
            leftOut(config, architecture.width());
            if (config.find("form").isPresent() && architecture.blocks().stream().anyMatch(block -> block.both(Placement.NONE))) {
                // They could be taken for blocks whose norms were folded.
                throw Config.unsupported("placement", "none", "blocks without norms in models that have no form");
            }
            return new Description(architecture, naming());
        } catch (IllegalArgumentException e) {
            throw Config.unsupported("architecture", String.valueOf(e.getMessage()), "an architecture that fits together");
        }
    }

    @Override
    public Config keeping(Config config, List<Integer> kept, Architecture left) throws CheckpointException {
        Config fewer = keepingConstants(config, kept).with("format_version", ArchitectureJson.version(left)).with("architecture", ArchitectureJson.write(left));
        Config source = config.object("source_config");
        return source.isEmpty() ? fewer : fewer.with("source_config", Families.of(source).keeping(source, kept, left));
    }

    /** A config.json of any family with the constants of some blocks alone. */
    static Config keepingConstants(Config config, List<Integer> kept) {
        Config places = config.object(CONSTANTS);
        if (places.isEmpty()) {
            return config.has(CONSTANTS) ? config.with(CONSTANTS, kept(config.list(CONSTANTS), kept)) : config;
        }
        Map<String, Object> fewer = new LinkedHashMap<>();
        CONSTANTS_OF.stream().filter(places::has).forEach(place -> fewer.put(place, kept(places.list(place), kept)));
        return config.with(CONSTANTS, fewer);
    }

    /** Of what there is for each block, what there is for those that are kept. */
    private static List<?> kept(List<?> all, List<Integer> kept) {
        return kept.stream().filter(block -> block < all.size()).map(all::get).toList();
    }
}
