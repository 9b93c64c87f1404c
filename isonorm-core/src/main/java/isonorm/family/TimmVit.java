package isonorm.family;

import static isonorm.architecture.Part.*;
import static java.util.Objects.requireNonNull;

import isonorm.architecture.Activation;
import isonorm.architecture.Architecture;
import isonorm.architecture.Attention;
import isonorm.architecture.Block;
import isonorm.architecture.Embedding;
import isonorm.architecture.Mlp;
import isonorm.architecture.Norm;
import isonorm.architecture.Output;
import isonorm.architecture.Placement;
import isonorm.architecture.Wiring;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Config;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * timm's plain ViTs, {@code vit_base_patch16_224} and its like, and DeiTs without a second token, which are the same, in timm's own format: the sizes stand in the name, but for what {@code model_args} says
 * otherwise, and nothing else there may be said.
 */
final class TimmVit implements Family {

    /** What {@link Families} calls them, for their configs have no model_type. */
    static final String TYPE = "timm";

    private static final Pattern PLAIN = Pattern.compile("(?:vit|deit)_(tiny|small|base|large|huge)_patch(\\d{1,3})_(\\d{1,4})");

    private record Size(int width, int blocks, int heads) {}

    private static final Map<String, Size> SIZES = Map.of("tiny", new Size(192, 12, 3), "small", new Size(384, 12, 6), "base", new Size(768, 12, 12),
            "large", new Size(1024, 24, 16), "huge", new Size(1280, 32, 16));

    /** What of timm's arguments is read. */
    private static final Set<String> ARGUMENTS = Set.of("embed_dim", "depth", "num_heads", "mlp_ratio", "img_size", "patch_size", "in_chans", "qkv_bias");

    /** Whether a config is timm's, of one of these. */
    static boolean is(Config config) {
        return config.find("model_type").isEmpty() && PLAIN.matcher(config.textOr("", "architecture")).matches();
    }

    @Override
    public Description describe(Config config, Set<String> tensors) throws CheckpointException {
        Matcher name = PLAIN.matcher(config.textOr("", "architecture"));
        if (!name.matches()) {
            throw Config.unsupported("architecture", config.textOr("", "architecture"), "a plain ViT, vit_base_patch16_224 for instance");
        }
        config.require("global_pool", "token");
        Config arguments = config.object("model_args");
        for (String key : arguments.values().keySet()) {
            if (!ARGUMENTS.contains(key)) {
                throw Config.unsupported("model_args." + key, arguments.textOr("something", key), "none: of its arguments sizes alone are read");
            }
        }
        Size size = requireNonNull(SIZES.get(name.group(1)));
        int width = arguments.integerOr(size.width, "embed_dim");
        config.require("num_features", width);
        int heads = arguments.integerOr(size.heads, "num_heads");
        int[] image = Reading.sides(arguments, Integer.parseInt(name.group(3)), "img_size");
        int labels = config.integerOr(1000, "num_classes");
        Norm norm = Reading.layerNorm(1e-6);
        Embedding.Patches embedding = Embedding.Patches.of(image[0], image[1], Reading.patch(arguments, Integer.parseInt(name.group(2))),
                arguments.integerOr(3, "in_chans"));
        Block block = Block.of(Placement.PRE, Wiring.SEQUENTIAL, norm,
                Attention.of(heads, Reading.widthOfHead(width, heads)).bidirectional().withBiases(arguments.flagOr(true, "qkv_bias"), true),
                Mlp.plain((int) (width * arguments.numberOr(4, "mlp_ratio")), Activation.GELU));
        Architecture architecture = Architecture.of(TYPE, width, embedding.tokens(), embedding,
                Reading.repeated(arguments.integerOr(size.blocks, "depth"), block), Optional.of(norm),
                labels > 0 ? Output.Labels.of(labels, Output.Pooling.FIRST) : new Output.Hidden(Output.Pooler.FIRST));
        return new Description(architecture, Naming.within("")
                .bare(CLASS_TOKEN, "cls_token", 1L, 1L, (long) width)
                .whole(PATCH_PROJECTION, "patch_embed.proj")
                .shaped(PATCH_PROJECTION, (long) width, (long) embedding.channels(), (long) embedding.patch(), (long) embedding.patch())
                .bare(POSITION_EMBEDDING, "pos_embed", 1L, (long) embedding.places(), (long) width)
                .whole(ATTENTION_NORM, "blocks.*.norm1")
                .whole(QUERY_KEY_VALUE, "blocks.*.attn.qkv")
                .whole(ATTENTION_OUTPUT, "blocks.*.attn.proj")
                .whole(MLP_NORM, "blocks.*.norm2")
                .whole(MLP_UP, "blocks.*.mlp.fc1")
                .whole(MLP_DOWN, "blocks.*.mlp.fc2")
                .whole(FINAL_NORM, "norm")
                .whole(HEAD, "head"));
    }

    @Override
    public Config keeping(Config config, List<Integer> kept, Architecture left) {
        return config.with("model_args", config.object("model_args").with("depth", kept.size()).values());
    }
}
