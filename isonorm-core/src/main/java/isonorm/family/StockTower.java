package isonorm.family;

import isonorm.architecture.Affine;
import isonorm.architecture.Architecture;
import isonorm.architecture.Attention;
import isonorm.architecture.Block;
import isonorm.architecture.BranchScale;
import isonorm.architecture.Embedding;
import isonorm.architecture.Mlp;
import isonorm.architecture.Norm;
import isonorm.architecture.NormKind;
import isonorm.architecture.Output;
import isonorm.architecture.Placement;
import isonorm.architecture.Stream;
import isonorm.architecture.Wiring;
import isonorm.checkpoint.Config;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;

/**
 * InternVL's vision tower with RMSNorms: ViT's embedding and blocks, always with LayerScale, and a last norm that stays a LayerNorm.
 *
 * @param type the model_type
 * @param name of its class
 */
public record StockTower(String type, String name) implements Stock {

    /** Keys that mean the same in the config of every model of images. */
    private static final List<String> CARRIED = List.of("initializer_range", "dtype", "torch_dtype");

    @Override
    public List<String> refusals(Architecture architecture) {
        Set<String> reasons = new TreeSet<>();
        if (architecture.companion().isPresent()) {
            reasons.add("it has two stacks");
        }
        if (architecture.embedding() instanceof Embedding.Patches patches) {
            addOfPatches(patches, reasons);
        } else {
            reasons.add("it reads no images");
        }
        Optional<Norm> last = architecture.finalNorm();
        for (Block block : architecture.blocks()) {
            addOfBlock(block, architecture.width(), reasons);
            if (!block.equals(architecture.blocks().getFirst())) {
                reasons.add("its blocks differ");
            }
            if (last.isPresent() && last.get().epsilon() != block.norm().epsilon()) {
                reasons.add("its last norm has another epsilon");
            }
        }
        if (last.isEmpty()) {
            reasons.add("it has no final norm");
        }
        if (!(architecture.output() instanceof Output.Hidden hidden) || hidden.pooler() != Output.Pooler.NONE && hidden.pooler() != Output.Pooler.FIRST
                || hidden.probe().isPresent() || hidden.projection().isPresent()) {
            reasons.add("it has a head or a pooler");
        }
        return List.copyOf(reasons);
    }

    /** Its heads are as wide together as the stream. */
    @Override
    public Optional<String> refusal(Architecture architecture, int width) {
        return width == architecture.width() ? Optional.empty()
                : Optional.of("a stream of " + width + " values has no place in " + type + ", whose heads have " + architecture.width() + " together");
    }

    private static void addOfPatches(Embedding.Patches patches, Set<String> reasons) {
        if (patches.beside().classTokens() != 1 || patches.beside().registers() > 0) {
            reasons.add("before its patches stand other vectors than one class token");
        }
        if (!patches.cut().equals(Embedding.Patches.Cut.of(patches.patch())) || !patches.bias() || !patches.positions()) {
            reasons.add("its patches overlap, or have no bias or no positions");
        }
        if (patches.norm().isPresent()) {
            reasons.add("a norm stands behind its embedding");
        }
    }

    private static void addOfBlock(Block block, int width, Set<String> reasons) {
        if (block.wiring() != Wiring.SEQUENTIAL || block.attentionPlacement() != Placement.PRE || block.mlpPlacement() != Placement.PRE) {
            reasons.add("its blocks are not one behind the other, with norms before them");
        }
        if (block.skip() != 1 || block.branch() != 1 || block.gates()) {
            reasons.add("its sums have factors or gates");
        }
        boolean plain = block.mixer() instanceof Attention attention && attention.heads().count() * attention.heads().width() == width
                && attention.equals(Attention.of(attention.heads().count(), attention.heads().width()).bidirectional()
                        .withBiases(attention.bias(), attention.outputBias()));
        if (!plain) {
            reasons.add("its attention is more than ViT's");
        }
        if (!(block.feedForward() instanceof Mlp mlp) || !mlp.equals(Mlp.plain(mlp.hidden(), mlp.activation()).withBiases(mlp.bias(), mlp.outputBias()))) {
            reasons.add("its MLP is more than ViT's");
        }
    }

    @Override
    public Architecture of(Architecture centred) {
        boolean bias = centred.blocks().stream().anyMatch(block -> block.mixer().attention().bias() || block.norm().affine().hasBias());
        List<Block> blocks = centred.blocks().stream().map(block -> block.withNorm(Norm.of(NormKind.RMS, block.norm().epsilon(), Affine.GAIN)).withScale(BranchScale.VECTOR)
                .withMixer(block.mixer().attention().withBiases(bias, true)).withFeedForward(((Mlp) block.feedForward()).withBiases(true, true))).toList();
        return centred.withFamily(type).withBlocks(blocks).withFinalNorm(centred.finalNorm().map(norm -> Norm.of(NormKind.LAYER, norm.epsilon(), Affine.GAIN_AND_BIAS)))
                .withOutput(new Output.Hidden(Output.Pooler.NONE)).withStream(Stream.FREE);
    }

    @Override
    public Config config(Architecture of, Config source) {
        Block block = of.blocks().getFirst();
        Attention attention = block.mixer().attention();
        Mlp mlp = (Mlp) block.feedForward();
        Embedding.Patches patches = (Embedding.Patches) of.embedding();
        Map<String, Object> config = new LinkedHashMap<>();
        config.put("architectures", List.of(name));
        config.put("model_type", type);
        config.put("hidden_size", of.width());
        config.put("intermediate_size", mlp.hidden());
        config.put("num_hidden_layers", of.blocks().size());
        config.put("num_attention_heads", attention.heads().count());
        config.put("attention_bias", attention.bias());
        config.put("use_qk_norm", false);
        config.put("hidden_act", Stock.word(mlp.activation()));
        config.put("norm_type", "rms_norm");
        config.put("layer_norm_eps", block.norm().epsilon());
        config.put("image_size", List.of(patches.height(), patches.width()));
        config.put("patch_size", List.of(patches.patch(), patches.patch()));
        config.put("num_channels", patches.channels());
        config.put("use_mask_token", patches.maskToken());
        config.put("use_absolute_position_embeddings", true);
        config.put("use_mean_pooling", false); // then there is a last norm
        config.put("layer_scale_init_value", 1.0);
        CARRIED.stream().filter(source::has).forEach(key -> config.put(key, source.values().get(key)));
        return Config.of(config);
    }
}
