package isonorm.family;

import static isonorm.architecture.Part.*;

import isonorm.architecture.Activation;
import isonorm.architecture.Architecture;
import isonorm.architecture.Attention;
import isonorm.architecture.Block;
import isonorm.architecture.Experts;
import isonorm.architecture.FeedForward;
import isonorm.architecture.Mlp;
import isonorm.architecture.Norm;
import isonorm.architecture.Output;
import isonorm.architecture.Placement;
import isonorm.architecture.Rotary.Pairing;
import isonorm.architecture.Routing;
import isonorm.architecture.Wiring;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Config;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/** ERNIE 4.5 with experts: some blocks in a row, or each so many, have experts and a shared MLP in the place of an MLP. */
final class ErnieMoe implements Family {

    @Override
    public Description describe(Config config, Set<String> tensors) throws CheckpointException {
        if (config.numberOr(1e-12, "moe_norm_min") > 1e-6) {
            throw Config.unsupported("moe_norm_min", config.numberOr(0, "moe_norm_min"), "1e-6 or less, which the sum of the chosen scores never comes down to");
        }
        Norm norm = Reading.rmsNorm(config.numberOr(1e-5, "rms_norm_eps"));
        boolean bias = config.flagOr(false, "use_bias");
        Reading.requireWholeHead(config);
        Attention plain = Reading.attention(config, 0, 4).withBiases(bias, bias);
        Attention attention = plain.withRotary(Reading.rotary(config, plain.heads().width(), 500_000, Pairing.NEIGHBOURS));
        int layers = config.integer("num_hidden_layers");
        int last = config.integerOr(-1, "moe_layer_end_index");
        List<Block> blocks = new ArrayList<>();
        for (int l = 0; l < layers; l++) {
            boolean sparse = (l + 1) % config.integerOr(1, "moe_layer_interval") == 0 && l >= config.integerOr(1, "moe_layer_start_index")
                    && (last == -1 || l <= last);
            blocks.add(Block.of(Placement.PRE, Wiring.SEQUENTIAL, norm, attention, feedForward(config, bias, sparse)));
        }
        int count = config.integerOr(64, "moe_num_experts", "num_experts");
        String mlp = "layers.*.mlp.";
        Naming naming = LlamaNames.of(config, tensors)
                .whole(ROUTER, mlp + "gate")
                .bare(ROUTER_CORRECTION, mlp + "moe_statics.e_score_correction_bias", 1L, (long) count)
                .whole(SHARED_GATE, mlp + "shared_experts.gate_proj")
                .whole(SHARED_UP, mlp + "shared_experts.up_proj")
                .whole(SHARED_DOWN, mlp + "shared_experts.down_proj")
                .passingOver(Repetition.OTHER_OUTPUT, "model\\.mtp_.*"); // blocks that predict a token more
        return new Description(Reading.decoder(config, 131_072, norm, blocks, Output.Words.of(Reading.tied(config, true)).withBias(bias)),
                ExpertNames.of(naming, tensors, mlp + "experts.", List.of("gate_proj", "up_proj", "down_proj")));
    }

    private static FeedForward feedForward(Config config, boolean bias, boolean sparse) throws CheckpointException {
        Activation activation = Reading.activation(config.textOr("silu", "hidden_act"));
        if (!sparse) {
            return Mlp.gated(config.integerOr(12288, "intermediate_size"), activation).withBiases(bias, bias);
        }
        int hidden = config.integerOr(1536, "moe_intermediate_size");
        Experts experts = Experts.of(Mlp.gated(hidden, activation), config.integerOr(64, "moe_num_experts", "num_experts"),
                Routing.softmax(config.integerOr(6, "moe_k", "num_experts_per_tok"), true).withCorrection());
        int shared = config.integerOr(2, "moe_num_shared_experts");
        return shared > 0 ? experts.withShared(Mlp.gated(hidden * shared, activation).withBiases(bias, bias), false) : experts;
    }

    /** Without experts. */
    @Override
    public Optional<Stock> stock() {
        return Optional.of(new StockDecoder("ernie4_5_moe", "Ernie4_5_Moe", Wiring.SEQUENTIAL, Pairing.NEIGHBOURS,
                Set.of(StockDecoder.Place.MLP_BIASES, StockDecoder.Place.HEAD_BIAS, StockDecoder.Place.PART_OF_HEADS, StockDecoder.Place.CONSTANT_GATE, StockDecoder.Place.ANY_WIDTH)));
    }

    @Override
    public Config keeping(Config config, List<Integer> kept, Architecture left) throws CheckpointException {
        int dense = (int) left.blocks().stream().filter(block -> block.feedForward() instanceof Mlp).count();
        return Reading.keeping(config, kept, "num_hidden_layers").with("moe_layer_start_index", dense).with("moe_layer_end_index", -1).with("moe_layer_interval", 1);
    }
}
