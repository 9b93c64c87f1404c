package isonorm.family;

import static java.util.Objects.requireNonNull;

import isonorm.architecture.Architecture;
import isonorm.architecture.Attention;
import isonorm.architecture.Embedding;
import isonorm.architecture.Experts;
import isonorm.architecture.LatentAttention;
import isonorm.architecture.Mlp;
import isonorm.architecture.Parameter;
import isonorm.architecture.Part;
import isonorm.architecture.Role;
import isonorm.architecture.Stack;
import isonorm.checkpoint.Config;
import isonorm.weights.Matrix;
import isonorm.weights.Source;
import isonorm.weights.Source.Piece;
import java.util.ArrayList;
import java.util.Collections;
import java.util.EnumMap;
import java.util.EnumSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;
import java.util.regex.Pattern;

/**
 * The names a family gives to its tensors, by role. In a name, {@code *} stands for the block's number. Linear layers and
 * norms are named without their ending: {@code .weight} and {@code .bias} are added.
 */
public final class Naming {

    /** The order of query, key and value rows in one fused tensor. */
    @FunctionalInterface
    public interface RowOrder {
        /** The pieces of {@code tensor} that are the query heads, then the key heads, then the value heads. */
        List<Piece> pieces(String tensor, Attention attention);
    }

    /** How one tensor holds a layer of all experts; R rows and C columns are those of a tensor for one of them. */
    public enum Stacking {
        /** (experts, R, C). */
        ROWS,
        /** (experts R, C). */
        FLAT_ROWS,
        /** (experts, C, R). */
        COLUMNS,
        /** (experts C, R). */
        FLAT_COLUMNS,
        /** As {@link #COLUMNS}; of several layers one column of each in turn. */
        INTERLEAVED_COLUMNS;

        private boolean transposed() {
            return switch (this) {
                case ROWS, FLAT_ROWS -> false;
                case COLUMNS, FLAT_COLUMNS, INTERLEAVED_COLUMNS -> true;
            };
        }
    }

    private sealed interface Place {
        /** One tensor, as it stands or transposed. */
        record Whole(String name, boolean transposed) implements Place {}

        /** One tensor whose name has no ending. */
        record Bare(String name, List<Long> shape) implements Place {}

        /** A number without dimensions, whose name has no ending. */
        record Scalar(String name) implements Place {}

        /** Separate query, key and value tensors. */
        record Separate(String query, String key, String value) implements Place {}

        /** Query, key and value rows in one tensor. */
        record Fused(String name, RowOrder order) implements Place {}

        /** The path of the role. */
        record ByRole() implements Place {}

        /** Some rows of a tensor that other parts share. */
        record Part(String name, int index, int of) implements Place {}

        /** Separate key and value tensors. */
        record KeyValue(String key, String value) implements Place {}

        /** No tensor: values that the architecture says. */
        record Computed(Function<Parameter, Matrix> values) implements Place {}

        /** Some rows of a tensor of all experts. */
        record Stacked(String name, Stacking stacking, int index, int of) implements Place {}

        /** One tensor a convolution. */
        record Each(List<String> names) implements Place {}

        /** One tensor a head. */
        record EachHead(String name) implements Place {}
    }

    private final String prefix;
    private final Map<Part, Place> places = new EnumMap<>(Part.class);
    private final Map<Part, Place> ofNumbers = new EnumMap<>(Part.class);
    private final Map<Part, List<Long>> shapes = new EnumMap<>(Part.class);
    private final Map<Pattern, Repetition> passedOver = new LinkedHashMap<>();
    private final Map<String, String> repeated = new LinkedHashMap<>();
    private final Map<String, String> copies = new LinkedHashMap<>();
    private final Map<String, Made> made = new LinkedHashMap<>();
    private final Map<Role.Field, String> endings = new EnumMap<>(Role.Field.class);
    private final Map<Part, String> biases = new EnumMap<>(Part.class);
    private final Set<Part> biasRows = EnumSet.noneOf(Part.class);
    private Optional<Naming> companion = Optional.empty();
    private boolean keysHaveBias = true;
    private final Set<Part> otherNorms = EnumSet.noneOf(Part.class);
    private String normGain = ".weight";
    private String normBias = ".bias";
    private double gainOffset;
    private int firstBlock;
    private boolean halvesSwapped;
    private Optional<LanguagePart> part = Optional.empty();
    private Optional<Map<Role.Field, String>> directed = Optional.empty();

    private Naming(String prefix) {
        this.prefix = prefix;
        endings.put(Role.Field.WEIGHT, ".weight");
        endings.put(Role.Field.BIAS, ".bias");
    }

    /**
     * A naming whose names begin with {@code prefix}, the name of the model inside a model with a head. Checkpoints come with it
     * and without, whatever class they name, so the tensors decide; for a checkpoint to be written, the class does.
     */
    public static Naming of(Config config, Set<String> tensors, String prefix) {
        boolean prefixed = tensors.isEmpty() ? !config.isBareModel() : tensors.stream().anyMatch(name -> name.startsWith(prefix));
        return new Naming(prefixed ? prefix : "");
    }

    /** A naming whose names begin with {@code prefix}. */
    static Naming within(String prefix) {
        return new Naming(prefix);
    }

    /** Every parameter under the path of its role: the names of Isonorm's own files. */
    static Naming byRole() {
        Naming naming = new Naming("");
        for (Part part : Part.values()) {
            naming.places.put(part, new Place.ByRole());
            naming.ofNumbers.put(part, new Place.ByRole());
        }
        return naming;
    }

    /** A name that begins with a slash is outside the prefix. */
    private String full(String name) {
        return name.startsWith("/") ? name.substring(1) : prefix + name;
    }

    public Naming whole(Part part, String name) {
        places.put(part, new Place.Whole(full(name), false));
        return this;
    }

    /** A linear layer whose weight is stored (in, out). */
    public Naming transposed(Part part, String name) {
        places.put(part, new Place.Whole(full(name), true));
        return this;
    }

    /** A tensor named in full, of the shape it has in the file where that is not the parameter's own. */
    public Naming bare(Part part, String name, Long... shape) {
        places.put(part, new Place.Bare(full(name), List.of(shape)));
        return this;
    }

    /** A number that is a tensor without dimensions, named in full. */
    public Naming scalar(Part part, String name) {
        places.put(part, new Place.Scalar(full(name)));
        return this;
    }

    public Naming separate(String query, String key, String value) {
        places.put(Part.QUERY_KEY_VALUE, new Place.Separate(full(query), full(key), full(value)));
        return this;
    }

    /** The same where it is the one row of a tensor. */
    public Naming biasRowAt(Part part, String name) {
        biasRows.add(part);
        return biasAt(part, name);
    }

    /** What a decoder reads of its encoder. */
    public Naming keyValue(String key, String value) {
        places.put(Part.CROSS_KEY_VALUE, new Place.KeyValue(full(key), full(value)));
        return this;
    }

    /** Separate keys have no bias where queries and values have one. */
    public Naming withoutKeyBias() {
        keysHaveBias = false;
        return this;
    }

    /** A part that is computed and that no file holds. */
    public Naming computed(Part part, Function<Parameter, Matrix> values) {
        places.put(part, new Place.Computed(values));
        return this;
    }

    /** How a second stack's parameters are named, which are those of a main stack to that naming. */
    public Naming beside(Naming other) {
        companion = Optional.of(other);
        return this;
    }

    /** Queries, or what they come from, and what keys and values come from, of latent attention. */
    public Naming latent(String query, String keyValue) {
        return separate(query, keyValue, keyValue);
    }

    public Naming fused(String name, RowOrder order) {
        places.put(Part.QUERY_KEY_VALUE, new Place.Fused(full(name), order));
        return this;
    }

    /** The {@code index}-th of {@code of} equal runs of rows; behind a name that ends with an underscore stands no dot. */
    public Naming part(Part part, String name, int index, int of) {
        places.put(part, new Place.Part(full(name), index, of));
        return this;
    }

    /** A layer with one tensor an expert; {@code @} stands for the expert's number. */
    public Naming eachExpert(Part part, String name) {
        ofNumbers.put(part, new Place.Whole(full(name), false));
        return this;
    }

    /**
     * The {@code index}-th of {@code of} layers that one tensor holds for all experts. The weight is named in full; {@code _bias} behind it is the
     * name of the bias.
     */
    public Naming experts(Part part, String name, Stacking stacking, int index, int of) {
        ofNumbers.put(part, new Place.Stacked(full(name), stacking, index, of));
        return this;
    }

    /** Convolutions that stand one behind the other, by their names; a weight's shape in the file is (channels given, channels read, kernel). */
    public Naming convolutions(Part part, List<String> names) {
        ofNumbers.put(part, new Place.Each(names.stream().map(this::full).toList()));
        return this;
    }

    /** The endings of a convolution's direction and of its magnitudes, where a weight is made of both; the magnitudes' shape in the file is (1, 1, kernel). */
    public Naming directed(String direction, String magnitudes) {
        directed = Optional.of(Map.of(Role.Field.WEIGHT, direction, Role.Field.GAIN, magnitudes));
        return this;
    }

    /** A norm of queries or keys with one tensor a head; {@code #} stands for the head's number. */
    public Naming eachHead(Part part, String name) {
        places.put(part, new Place.EachHead(full(name)));
        return this;
    }

    /** The shape that a part's weight or gain has in the file. */
    public Naming shaped(Part part, Long... shape) {
        shapes.put(part, List.of(shape));
        return this;
    }

    /** Every norm's gain is stored minus one. */
    public Naming gainsMinusOne() {
        gainOffset = 1;
        return this;
    }

    /** The endings of a norm's gain and bias where they are not .weight and .bias: of {@code parts}, or of all norms where none is named. */
    public Naming normEndings(String gain, String bias, Part... parts) {
        normGain = gain;
        normBias = bias;
        otherNorms.addAll(parts.length > 0 ? List.of(parts) : List.of(Part.values()));
        return this;
    }

    /** A bias that lies elsewhere than its weight, named in full. */
    public Naming biasAt(Part part, String name) {
        biases.put(part, full(name));
        return this;
    }

    /** Tensors that may be there and say once more what the config says, or belong to heads that this architecture does not have. */
    public Naming passingOver(Repetition repetition, String... patterns) {
        for (String pattern : patterns) {
            passedOver.put(Pattern.compile(pattern), repetition);
        }
        return this;
    }

    /** Buffers that older checkpoints of many families hold. */
    public Naming passingOverBuffers() {
        return passingOver(Repetition.MASK, ".*\\.(attn|attention)\\.bias", ".*\\.attn\\.causal_mask")
                .passingOver(Repetition.MASKED_SCORE, ".*\\.(attn|attention)\\.masked_bias")
                .passingOver(Repetition.FREQUENCIES, ".*rotary_emb\\.inv_freq")
                .passingOver(Repetition.POSITIONS, ".*position_ids");
    }

    /** A tensor, named in full, that may be there and must then hold what {@code original} does. */
    public Naming repeating(String tensor, String original) {
        repeated.put(full(tensor), full(original));
        return this;
    }

    /** A tensor, named in full, that other programs ask for and whose values no output depends on: a file that is written has those of {@code original} there. */
    public Naming copied(String tensor, String original) {
        copies.put(full(tensor), full(original));
        return this;
    }

    /** A tensor that other programs ask for and that is no parameter, with the values it has. */
    public record Made(List<Long> shape, double[] values) {}

    /** A tensor, named in full, that files have besides, with these values. */
    public Naming made(String tensor, double[] values, Long... shape) {
        made.put(full(tensor), new Made(List.of(shape), values));
        return this;
    }

    /** The halves of each head of separate queries and keys stand the other way round, so that scores are the same and turns are the other way. */
    Naming halvesSwapped() {
        halvesSwapped = true;
        return this;
    }

    /** The number that the first block has in names, where it is not 0. */
    Naming blocksFrom(int number) {
        firstBlock = number;
        return this;
    }

    /** The same names where the model is the language model of a whole, whose other parts' tensors are passed over. */
    Naming within(LanguagePart whole) {
        part = Optional.of(whole);
        return this;
    }

    private String inside(String tensor) {
        return part.map(whole -> whole.inside(tensor)).orElse(tensor);
    }

    private String outside(String tensor) {
        return part.map(whole -> whole.outside(tensor)).orElse(tensor);
    }

    /** What a tensor that no role claims is; empty where it has no place. */
    public Optional<Repetition> repetition(String name) {
        String tensor = inside(name);
        if (part.isPresent() && tensor.startsWith("/")) {
            return Optional.of(Repetition.OTHER_PART);
        }
        return passedOver.entrySet().stream().filter(entry -> entry.getKey().matcher(tensor).matches()).map(Map.Entry::getValue).findFirst()
                .or(() -> companion.flatMap(other -> other.repetition(tensor)));
    }

    /** What a tensor that no role claims holds once more: a head of its own in the file beside the table that {@code architecture} takes for it. */
    public Optional<String> original(String name, Architecture architecture) {
        String tensor = inside(name);
        if (architecture.tied() && places.get(Part.HEAD) instanceof Place.Whole(String head, _) && tensor.equals(head + ".weight")) {
            return requireNonNull(sources(architecture).get(Role.of(Part.TOKEN_EMBEDDING, Role.Field.WEIGHT))).tensors().stream().findFirst();
        }
        return Optional.ofNullable(repeated.get(tensor)).or(() -> companion.map(other -> other.repeated.get(tensor))).map(this::outside);
    }

    /** What a file that is written has besides, and the tensors whose values it has there. */
    public Map<String, String> copies() {
        return Collections.unmodifiableMap(copies);
    }

    /** What a file that is written has besides that is no parameter. */
    public Map<String, Made> made() {
        return Collections.unmodifiableMap(made);
    }

    /** What the head's weight is called; empty in models without a head. */
    public Optional<String> head() {
        return places.get(Part.HEAD) instanceof Place.Whole(String head, _) ? Optional.of(outside(head + ".weight")) : Optional.empty();
    }

    /** Where each parameter of {@code architecture} lies that is not {@link #computed}. */
    public Map<Role, Source> sources(Architecture architecture) {
        Map<Role, Source> sources = new LinkedHashMap<>();
        for (Parameter parameter : architecture.parameters()) {
            if (naming(parameter.role()).computed(parameter).isEmpty()) {
                sources.put(parameter.role(), source(architecture, parameter).renamed(this::outside));
            }
        }
        return sources;
    }

    /** The values of a parameter that no file holds. */
    public Optional<Matrix> computed(Parameter parameter) {
        return naming(parameter.role()).places.get(parameter.role().part()) instanceof Place.Computed(Function<Parameter, Matrix> values)
                ? Optional.of(values.apply(parameter))
                : Optional.empty();
    }

    /** The naming of a role's stack; Isonorm's own names all stacks. */
    private Naming naming(Role role) {
        return role.stack() == Stack.MAIN ? this : companion.orElse(this);
    }

    private Source source(Architecture architecture, Parameter parameter) {
        Role role = parameter.role();
        if (role.stack() != Stack.MAIN && companion.isPresent()) {
            return companion.get().source(architecture.companion().orElseThrow().architecture(), parameter.in(Stack.MAIN));
        }
        Place place = (role.number().isPresent() ? ofNumbers : places).get(role.part());
        if (place == null) {
            throw new IllegalStateException("this family has no name for " + role);
        }
        int rows = parameter.isVector() ? parameter.columns() : parameter.rows();
        Source source = switch (place) {
            case Place.ByRole() -> Source.whole(role.path(), rows);
            case Place.Whole _ when role.field() == Role.Field.BIAS && biases.containsKey(role.part()) -> {
                Source bias = Source.whole(numbered(biases.get(role.part()), role), rows);
                yield biasRows.contains(role.part()) ? bias.withShape(1L, (long) rows) : bias;
            }
            case Place.Whole(String name, boolean transposed) -> {
                Source whole = Source.whole(numbered(name, role) + ending(role), rows);
                yield transposed && !parameter.isVector() ? whole.asTransposed() : whole;
            }
            case Place.Bare(String name, List<Long> shape) -> {
                Source whole = Source.whole(numbered(name, role), rows);
                yield shape.isEmpty() ? whole : whole.withShape(shape.toArray(Long[]::new));
            }
            case Place.Scalar(String name) -> Source.whole(name, rows).withShape();
            case Place.Separate(String query, String key, String _)
                    when architecture.blocks().get(role.block()).mixer() instanceof LatentAttention latent -> of(List.of(
                            new Piece(numbered(query, role) + ending(role), 0, latent.readQueries()),
                            new Piece(numbered(key, role) + ending(role), 0, latent.keyValueRank() + latent.rotary().width())));
            case Place.Separate(String query, String key, String value) when halvesSwapped -> {
                Attention.Heads heads = attention(architecture, role).heads();
                List<Piece> pieces = new ArrayList<>(swapped(numbered(query, role) + ending(role), heads.count(), heads.width()));
                pieces.addAll(swapped(numbered(key, role) + ending(role), heads.keyValue(), heads.width()));
                pieces.add(new Piece(numbered(value, role) + ending(role), 0, heads.keyValue() * heads.width()));
                yield of(pieces);
            }
            case Place.Separate(String query, String key, String value) -> {
                Attention attention = attention(architecture, role);
                int shared = attention.heads().keyValue() * attention.heads().width();
                yield of(List.of(
                        new Piece(numbered(query, role) + ending(role), 0, attention.heads().count() * attention.heads().width()),
                        key(key, role, shared),
                        new Piece(numbered(value, role) + ending(role), 0, shared)));
            }
            case Place.KeyValue(String key, String value) ->
                of(List.of(key(key, role, rows / 2), new Piece(numbered(value, role) + ending(role), 0, rows / 2)));
            case Place.Computed _ -> throw new IllegalStateException(role + " is computed and lies in no file");
            case Place.Fused(String name, RowOrder order) ->
                of(order.pieces(numbered(name, role) + ending(role), attention(architecture, role)));
            case Place.Part(String name, int index, int of) -> {
                String ending = name.endsWith("_") ? ending(role).substring(1) : ending(role);
                Source one = of(List.of(new Piece(numbered(name, role) + ending, index * rows, rows)));
                yield parameter.isVector()
                        ? one.withShape((long) rows * of)
                        : one.withShape((long) rows * of, (long) parameter.columns());
            }
            case Place.Stacked(String name, Stacking stacking, int index, int of) -> stacked(numbered(name, role), stacking, index, of, architecture, parameter);
            case Place.Each(List<String> names) -> {
                int number = role.number().orElseThrow();
                Source one = Source.whole(names.get(number) + ending(role), rows);
                long kernel = kernel(architecture, role);
                boolean magnitudes = role.part() == Part.POSITION_CONVOLUTION && role.field() == Role.Field.GAIN;
                yield magnitudes ? one.withShape(1L, 1L, kernel) : parameter.isVector() ? one : one.withShape((long) rows, parameter.columns() / kernel, kernel);
            }
            case Place.EachHead(String name) -> {
                int each = attention(architecture, role).heads().width();
                List<Piece> heads = new ArrayList<>();
                for (int h = 0; h < rows / each; h++) {
                    heads.add(new Piece(numbered(name, role).replace("#", "" + h) + ending(role), 0, each));
                }
                yield of(heads);
            }
        };
        if (shapes.containsKey(role.part()) && (role.field() == Role.Field.WEIGHT || role.field() == Role.Field.GAIN)) {
            source = source.withShape(shapes.get(role.part()).toArray(Long[]::new));
        }
        return role.field() == Role.Field.GAIN ? source.withOffset(gainOffset) : source;
    }

    private static long kernel(Architecture architecture, Role role) {
        if (!(architecture.embedding() instanceof Embedding.Sound sound)) {
            return 1;
        }
        return role.part() == Part.POSITION_CONVOLUTION && sound.places() instanceof Embedding.Sound.Places.Convolved convolved
                ? convolved.kernel() : sound.convolutions().get(role.number().orElseThrow()).kernel();
    }

    private static List<Piece> swapped(String name, int heads, int width) {
        List<Piece> pieces = new ArrayList<>();
        for (int h = 0; h < heads; h++) {
            pieces.add(new Piece(name, h * width + width / 2, width / 2));
            pieces.add(new Piece(name, h * width, width / 2));
        }
        return pieces;
    }

    private Piece key(String name, Role role, int rows) {
        return keysHaveBias || role.field() != Role.Field.BIAS ? new Piece(numbered(name, role) + ending(role), 0, rows) : Piece.zeros(rows);
    }

    private static Source stacked(String name, Stacking stacking, int index, int of, Architecture architecture, Parameter parameter) {
        int rows = parameter.isVector() ? parameter.columns() : parameter.rows();
        int expert = parameter.role().number().orElseThrow();
        int count = switch (architecture.blocks().get(parameter.role().block()).feedForward()) {
            case Experts experts -> experts.count();
            case Mlp _ -> throw new IllegalStateException("there are no experts in the block of " + parameter.role());
        };
        boolean interleaved = stacking == Stacking.INTERLEAVED_COLUMNS;
        Piece piece = new Piece(parameter.isVector() ? name + "_bias" : name, expert, count, interleaved ? index : index * rows, interleaved ? of : 1, rows);
        long all = (long) of * rows;
        long columns = parameter.columns();
        Source source = of(List.of(piece));
        if (parameter.isVector()) {
            return source.withShape((long) count, all);
        }
        Source shaped = switch (stacking) {
            case ROWS -> source.withShape((long) count, all, columns);
            case FLAT_ROWS -> source.withShape(count * all, columns);
            case COLUMNS, INTERLEAVED_COLUMNS -> source.withShape((long) count, columns, all);
            case FLAT_COLUMNS -> source.withShape(count * columns, all);
        };
        return stacking.transposed() ? shaped.asTransposed() : shaped;
    }

    /** The attention whose heads are rows of a parameter. */
    private static Attention attention(Architecture architecture, Role role) {
        return architecture.blocks().get(role.block()).mixer().attention();
    }

    private static Source of(List<Piece> pieces) {
        return new Source(pieces, false, 0, Optional.empty());
    }

    private String ending(Role role) {
        boolean other = otherNorms.contains(role.part()) && role.part().name().endsWith("_NORM");
        if (role.part() == Part.POSITION_CONVOLUTION && directed.isPresent() && directed.get().containsKey(role.field())) {
            return directed.get().get(role.field());
        }
        return switch (role.field()) {
            case GAIN -> other ? normGain : ".weight";
            case BIAS -> other ? normBias : ".bias";
            default -> requireNonNull(endings.get(role.field()));
        };
    }

    private String numbered(String name, Role role) {
        return name.replace("*", "" + (firstBlock + role.block())).replace("@", role.number().isPresent() ? "" + role.number().getAsInt() : "");
    }
}
