package isonorm.family;

import static isonorm.architecture.Part.*;

import isonorm.architecture.Architecture;
import isonorm.architecture.Companion;
import isonorm.architecture.Output;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Config;
import java.util.Optional;
import java.util.Set;

/**
 * CLIP and SigLIP whole: a tower that reads texts and one that reads images, and how near what they give is.
 *
 * @param text the tower of texts
 */
record Clip(ClipText text) implements Family {

    static final Clip CLIP = new Clip(ClipText.CLIP);
    static final Clip SIGLIP = new Clip(ClipText.SIGLIP);

    @Override
    public Description describe(Config config, Set<String> tensors) throws CheckpointException {
        boolean clip = this == CLIP;
        Config texts = side(config, "text_config");
        Config images = side(config, "vision_config");
        texts.require("model_type", text.type());
        images.require("model_type", clip ? "clip_vision_model" : "siglip_vision_model");
        Description main = texts(config, texts);
        Description beside = images(config, images);
        requireSame(config, "text_config_dict", main, each -> texts(config, each));
        requireSame(config, "vision_config_dict", beside, each -> images(config, each));
        Naming naming = main.naming().beside(beside.naming());
        Architecture both = main.architecture().withFamily(clip ? "clip" : "siglip").withCompanion(new Companion.ImageTower(beside.architecture(), !clip));
        return new Description(both, clip ? naming.scalar(SIMILARITY_SCALE, "/logit_scale")
                : naming.bare(SIMILARITY_SCALE, "/logit_scale").bare(SIMILARITY_BIAS, "/logit_bias"));
    }

    private static Config side(Config config, String name) throws CheckpointException {
        Config side = config.object(name);
        if (side.isEmpty() && config.find(name).isPresent()) {
            throw Config.unsupported(name, "no object, or an empty one", "an object, or no such key");
        }
        return side;
    }

    private Description texts(Config config, Config texts) throws CheckpointException {
        return text.describe(texts, Naming.within("text_model."), this == CLIP ? projection(config)
                : Optional.of(new Output.Projection(texts.integerOr(texts.integerOr(768, "hidden_size"), "projection_size"), true)));
    }

    private Description images(Config config, Config images) throws CheckpointException {
        return this == CLIP ? ClipVision.describe(images, Naming.within("vision_model."), projection(config))
                : SiglipVision.describe(images, Naming.within("vision_model."));
    }

    private static Optional<Output.Projection> projection(Config config) throws CheckpointException {
        return Optional.of(new Output.Projection(config.integerOr(512, "projection_dim"), false));
    }

    @FunctionalInterface
    private interface Side {
        Description of(Config config) throws CheckpointException;
    }

    /** Older files say a side's settings once more, and where both differ transformers takes these. */
    private static void requireSame(Config config, String name, Description side, Side reading) throws CheckpointException {
        Config again = config.object(name);
        if (!again.isEmpty() && !reading.of(Config.of(again.values())).architecture().equals(side.architecture())) {
            throw Config.unsupported(name, "other settings than " + name.replace("_dict", ""), "the same ones");
        }
    }
}
