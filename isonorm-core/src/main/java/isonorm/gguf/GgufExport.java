package isonorm.gguf;

import static isonorm.architecture.Part.ATTENTION_NORM;
import static isonorm.architecture.Part.ATTENTION_OUTPUT;
import static isonorm.architecture.Part.FINAL_NORM;
import static isonorm.architecture.Part.HEAD;
import static isonorm.architecture.Part.MLP_DOWN;
import static isonorm.architecture.Part.MLP_GATE;
import static isonorm.architecture.Part.MLP_NORM;
import static isonorm.architecture.Part.MLP_UP;
import static isonorm.architecture.Part.QUERY_KEY_VALUE;
import static isonorm.architecture.Part.TOKEN_EMBEDDING;

import isonorm.architecture.Activation;
import isonorm.architecture.Affine;
import isonorm.architecture.Architecture;
import isonorm.architecture.Attention;
import isonorm.architecture.Block;
import isonorm.architecture.Embedding;
import isonorm.architecture.Mlp;
import isonorm.architecture.Norm;
import isonorm.architecture.NormKind;
import isonorm.architecture.Output;
import isonorm.architecture.Part;
import isonorm.architecture.Placement;
import isonorm.architecture.Role;
import isonorm.architecture.Role.Field;
import isonorm.architecture.Rotary;
import isonorm.architecture.Wiring;
import isonorm.checkpoint.Config;
import isonorm.checkpoint.Dtype;
import isonorm.convert.LoadedModel;
import isonorm.family.StockDecoder;
import isonorm.model.ConversionRefused;
import isonorm.model.Progress;
import isonorm.weights.Dense;
import isonorm.weights.Matrix;
import isonorm.weights.Model;
import isonorm.weights.Quantized;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;

/**
 * A Llama, or a model of another family that is one but for its name (Mistral, Qwen 2, OLMo written as Llama), in GGUF's architecture {@code llama}:
 * RMSNorms before attention and a gated MLP, rotary positions of whole heads, whose halves become neighbours.
 *
 * @param type of the matrices; vectors are float32. Without one, matrices in few bits keep their codes and scales, as Q8_0 or Q4_0, and others are float32
 */
public record GgufExport(LoadedModel source, Optional<Dtype> type) {

    /** What llama has a place for; how positions are scaled is looked at here. */
    private static final StockDecoder LLAMA = new StockDecoder("llama", "Llama", Wiring.SEQUENTIAL, Rotary.Pairing.HALVES, Set.of(StockDecoder.Place.MLP_BIASES));

    private static final int GGUF_GROUP = 32;

    /** Factors nearer to one than this are none. */
    private static final double SAME = 1e-12;

    /**
     * What was written.
     *
     * @param tokenizer llama.cpp's name for the kind of tokenizer; empty where the checkpoint has none, and tokens alone can be given
     * @param notes what is to be known of the file
     */
    public record Report(int tensors, long parameters, Optional<String> tokenizer, List<String> notes) {
        public Report {
            notes = List.copyOf(notes);
        }
    }

    /**
     * Writes a file that was not there.
     *
     * @throws ConversionRefused with every reason, if llama has no place for a part of the model
     */
    public Report writeTo(Path file, Progress progress) throws IOException {
        Model model = Model.of(source.model());
        Architecture architecture = model.architecture();
        List<String> reasons = new ArrayList<>(refusals(architecture));
        if (type.isEmpty()) {
            reasons.addAll(groupReasons(model));
        }
        if (!reasons.isEmpty()) {
            throw new ConversionRefused(reasons);
        }
        List<String> notes = new ArrayList<>();
        Map<String, Object> metadata = metadata(model);
        Optional<GgufTokenizer> tokenizer = GgufTokenizer.read(source.checkpoint().folder(), familyConfig(), vocabulary(architecture));
        if (tokenizer.isPresent()) {
            metadata.putAll(tokenizer.get().metadata());
            notes.addAll(tokenizer.get().notes());
        } else {
            metadata.put("tokenizer.ggml.model", "none");
            notes.add("there is no tokenizer.json, so only tokens can be given to it");
        }
        List<GgufFile.Tensor> tensors = tensors(model);
        Files.deleteIfExists(file);
        GgufFile.write(file, metadata, tensors, progress);
        return new Report(tensors.size(), model.parameterCount(), tokenizer.map(GgufTokenizer::kind), notes);
    }

    /** The config that knows special tokens. */
    private Config familyConfig() {
        Config within = source.config().object("source_config");
        return within.isEmpty() ? source.config() : within;
    }

    private GgufType typeOf(Matrix matrix) {
        return type.isEmpty() && matrix instanceof Quantized quantized ? GgufType.of(quantized.quantization()) : GgufType.of(type.orElse(Dtype.F32));
    }

    private static List<String> groupReasons(Model model) {
        Set<String> reasons = new TreeSet<>();
        model.weights().forEach((role, matrix) -> {
            if (matrix instanceof Quantized quantized && (quantized.quantization().group() != GGUF_GROUP || matrix.columns() % GGUF_GROUP != 0)) {
                reasons.add("its groups are of " + quantized.quantization().group() + " inputs of " + matrix.columns() + ", and Q8_0 and Q4_0 have groups of " + GGUF_GROUP
                        + " alone, all of them whole; ask for --dtype f32, f16 or bf16, or quantize its source with --group " + GGUF_GROUP);
            }
        });
        return List.copyOf(reasons);
    }

    private static int vocabulary(Architecture architecture) {
        return ((Embedding.Tokens) architecture.embedding()).vocabulary();
    }

    /** Every reason why llama has no place for a model; empty where it has. */
    static List<String> refusals(Architecture architecture) {
        Set<String> reasons = new TreeSet<>(LLAMA.refusals(architecture.withBlocks(architecture.blocks().stream().map(GgufExport::unscaled).toList())));
        if (architecture.embedding() instanceof Embedding.Tokens tokens && (tokens.means() || tokens.recentre())) {
            reasons.add("its token table is centred in a way of its own");
        }
        if (!(architecture.output() instanceof Output.Words)) {
            reasons.add("it predicts no words");
        }
        architecture.finalNorm().ifPresentOrElse(norm -> addOfNorm(norm, reasons), () -> reasons.add("it has no final norm"));
        for (Block block : architecture.blocks()) {
            addOfNorm(block.norm(), reasons);
            if (block.attentionPlacement() != Placement.PRE || block.mlpPlacement() != Placement.PRE) {
                reasons.add("its norms stand elsewhere than before sub-layers");
            }
            if (block.feedForward() instanceof Mlp mlp && mlp.activation() != Activation.SILU) {
                reasons.add("its MLP's activation is none of SiLU");
            }
            if (block.mixer() instanceof Attention attention && attention.positions().rotary().isPresent()) {
                Rotary rotary = attention.positions().rotary().get();
                if (rotary.steadyLength().isPresent() || rotary.magnitude() != 1 || Arrays.stream(rotary.frequencies()).anyMatch(each -> each == 0)) {
                    reasons.add("its rotary positions depend on the length of a text, scale queries, or leave values as they are");
                }
            }
            if (!block.equals(architecture.blocks().getFirst())) {
                reasons.add("its blocks differ");
            }
        }
        return List.copyOf(reasons);
    }

    private static void addOfNorm(Norm norm, Set<String> reasons) {
        if (norm.kind() != NormKind.RMS || norm.affine().hasBias()) {
            reasons.add("its norms are " + norm.kind().label() + (norm.affine().hasBias() ? " with biases" : "")
                    + (norm.kind() == NormKind.LAYER ? "; isonorm convert --as llama says whether it can become a Llama" : ""));
        }
    }

    /** The same block of unscaled positions in halves, which llama's own factors and order replace. */
    private static Block unscaled(Block block) {
        return block.mixer() instanceof Attention attention && attention.positions().rotary().isPresent()
                ? block.withMixer(attention.withRotary(unscaled(attention.positions().rotary().get())))
                : block;
    }

    private static Rotary unscaled(Rotary rotary) {
        return new Rotary(rotary.width(), rotary.divisor(), rotary.base(), Rotary.Pairing.HALVES, new Rotary.Scaling.None(), rotary.grid());
    }

    private Map<String, Object> metadata(Model model) {
        Architecture architecture = model.architecture();
        Block block = architecture.blocks().getFirst();
        Attention attention = block.mixer().attention();
        Map<String, Object> metadata = new LinkedHashMap<>();
        metadata.put("general.architecture", "llama");
        metadata.put("general.name", String.valueOf(source.checkpoint().folder().toAbsolutePath().normalize().getFileName()));
        metadata.put("general.file_type", typeOf(model.weight(Role.of(QUERY_KEY_VALUE, 0, Field.WEIGHT))).fileType());
        metadata.put("llama.vocab_size", vocabulary(architecture));
        metadata.put("llama.context_length", architecture.context());
        metadata.put("llama.embedding_length", architecture.width());
        metadata.put("llama.block_count", architecture.blocks().size());
        metadata.put("llama.feed_forward_length", ((Mlp) block.feedForward()).hidden());
        metadata.put("llama.attention.head_count", attention.heads().count());
        metadata.put("llama.attention.head_count_kv", attention.heads().keyValue());
        metadata.put("llama.attention.key_length", attention.heads().width());
        metadata.put("llama.attention.value_length", attention.heads().width());
        metadata.put("llama.attention.layer_norm_rms_epsilon", (float) block.norm().epsilon());
        metadata.put("llama.rope.dimension_count", attention.heads().width());
        metadata.put("llama.rope.freq_base", (float) attention.positions().rotary().orElseThrow().base());
        return metadata;
    }

    private List<GgufFile.Tensor> tensors(Model model) {
        Architecture architecture = model.architecture();
        List<GgufFile.Tensor> tensors = new ArrayList<>();
        tensors.add(matrix("token_embd.weight", model.weight(Role.of(TOKEN_EMBEDDING, Field.WEIGHT))));
        factors(architecture).ifPresent(factors -> tensors.add(vector("rope_freqs.weight", new Dense(1, factors.length, factors, "factors of frequencies"))));
        for (int l = 0; l < architecture.blocks().size(); l++) {
            addBlock(model, l, tensors);
        }
        tensors.add(norm("output_norm.weight", model, Role.of(FINAL_NORM, Field.GAIN), architecture.finalNorm().orElseThrow()));
        if (!architecture.tied()) {
            tensors.add(matrix("output.weight", model.weight(Role.of(HEAD, Field.WEIGHT))));
        }
        return tensors;
    }

    private void addBlock(Model model, int l, List<GgufFile.Tensor> tensors) {
        Block block = model.architecture().blocks().get(l);
        Attention attention = block.mixer().attention();
        Mlp mlp = (Mlp) block.feedForward();
        String name = "blk." + l + ".";
        int width = attention.heads().width();
        int queries = attention.heads().count() * width;
        int keys = attention.heads().keyValue() * width;
        int turned = attention.positions().rotary().orElseThrow().pairing() == Rotary.Pairing.HALVES ? width : 0;
        tensors.add(norm(name + "attn_norm.weight", model, Role.of(ATTENTION_NORM, l, Field.GAIN), block.norm()));
        for (Field field : attention.bias() ? List.of(Field.WEIGHT, Field.BIAS) : List.of(Field.WEIGHT)) {
            Matrix all = model.weight(Role.of(QUERY_KEY_VALUE, l, field));
            String ending = field == Field.WEIGHT ? ".weight" : ".bias";
            tensors.add(part(name + "attn_q" + ending, all, 0, queries, turned));
            tensors.add(part(name + "attn_k" + ending, all, queries, keys, turned));
            tensors.add(part(name + "attn_v" + ending, all, queries + keys, keys, 0));
        }
        addLinear(name + "attn_output", model, ATTENTION_OUTPUT, l, attention.outputBias(), tensors);
        tensors.add(norm(name + "ffn_norm.weight", model, Role.of(MLP_NORM, l, Field.GAIN), block.norm()));
        addLinear(name + "ffn_gate", model, MLP_GATE, l, mlp.bias(), tensors);
        addLinear(name + "ffn_up", model, MLP_UP, l, mlp.bias(), tensors);
        addLinear(name + "ffn_down", model, MLP_DOWN, l, mlp.outputBias(), tensors);
    }

    private void addLinear(String name, Model model, Part part, int l, boolean bias, List<GgufFile.Tensor> tensors) {
        tensors.add(matrix(name + ".weight", model.weight(Role.of(part, l, Field.WEIGHT))));
        if (bias) {
            tensors.add(vector(name + ".bias", model.weight(Role.of(part, l, Field.BIAS))));
        }
    }

    /** A norm without a gain has one of ones. */
    private static GgufFile.Tensor norm(String name, Model model, Role gain, Norm norm) {
        return vector(name, norm.affine() == Affine.NONE ? ones(model.width()) : model.weight(gain));
    }

    private static Matrix ones(int count) {
        double[] ones = new double[count];
        Arrays.fill(ones, 1);
        return new Dense(1, count, ones, "ones");
    }

    private GgufFile.Tensor matrix(String name, Matrix matrix) {
        return part(name, matrix, 0, matrix.rows(), 0);
    }

    private GgufFile.Tensor part(String name, Matrix matrix, int first, int count, int turned) {
        return new GgufFile.Tensor(name, matrix.rows() == 1 ? GgufType.F32 : typeOf(matrix), matrix, first, count, turned);
    }

    private static GgufFile.Tensor vector(String name, Matrix vector) {
        return new GgufFile.Tensor(name, GgufType.F32, vector, 0, vector.columns(), 0);
    }

    /** What each frequency is divided by, where any is scaled. */
    private static Optional<double[]> factors(Architecture architecture) {
        Rotary rotary = architecture.blocks().getFirst().mixer().attention().positions().rotary().orElseThrow();
        double[] plain = unscaled(rotary).frequencies();
        double[] scaled = rotary.frequencies();
        boolean any = false;
        for (int i = 0; i < plain.length; i++) {
            plain[i] /= scaled[i];
            any |= Math.abs(plain[i] - 1) > SAME;
        }
        return any ? Optional.of(plain) : Optional.empty();
    }
}
