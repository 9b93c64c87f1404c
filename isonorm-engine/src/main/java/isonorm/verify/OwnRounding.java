package isonorm.verify;

import static java.util.Objects.requireNonNull;

import isonorm.architecture.Parameter;
import isonorm.architecture.Role;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Dtype;
import isonorm.convert.Comparison;
import isonorm.weights.Matrix;
import isonorm.weights.Model;
import isonorm.weights.Rounded;
import isonorm.weights.Seed;
import isonorm.weights.Stored;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.ToDoubleFunction;

/**
 * A model with each weight rounded to the type of 16 bits that it is written in, or, where it has that type, moved by a random error of the
 * same size. What is written in 32 bits is rounded to 32 bits.
 *
 * @param dtype the coarsest type that is written
 * @param draws the model with several draws of the random errors; one where nothing is random or the model is large
 */
record OwnRounding(Dtype dtype, List<Model> draws) {

    private static final Seed SEED = Seed.of(20_230_524);

    /** A draw's luck shows in small models; where many millions of errors are drawn, one draw is as good as three. */
    private static final long MANY_PARAMETERS = 20_000_000;

    private static final int DRAWS = 3;

    /** The rounding of {@code original} to the types of {@code written}; empty where these have more than 16 bits. */
    static Optional<OwnRounding> of(Model original, Model written) throws CheckpointException {
        Dtype coarsest = written.coarsest();
        if (coarsest.bytes() > Short.BYTES) {
            return Optional.empty();
        }
        Map<Role, Dtype> types = types(original, written, coarsest);
        boolean random = original.coarsest().bytes() == Short.BYTES;
        int count = random && original.architecture().parameterCount() < MANY_PARAMETERS ? DRAWS : 1;
        List<Model> draws = new ArrayList<>();
        for (int draw = 0; draw < count; draw++) {
            draws.add(rounded(original, types, draw));
        }
        return Optional.of(new OwnRounding(coarsest, draws));
    }

    /** One draw of the rounding to any type. */
    static Model once(Model original, Model written) throws CheckpointException {
        return rounded(original, types(original, written, written.coarsest()), 0);
    }

    private static Model rounded(Model original, Map<Role, Dtype> types, int draw) {
        Map<Role, Matrix> weights = new LinkedHashMap<>();
        for (Map.Entry<Role, Matrix> entry : original.weights().entrySet()) {
            Seed seed = SEED.at(draw).at(weights.size());
            weights.put(entry.getKey(), new Rounded(entry.getValue(), requireNonNull(types.get(entry.getKey())), seed));
        }
        return new Model(original.architecture(), weights);
    }

    /** The types that the original's roles are written in; a role that a rewrite takes away, in the coarsest of its kind. */
    private static Map<Role, Dtype> types(Model original, Model written, Dtype coarsest) throws CheckpointException {
        boolean narrowVectors = false;
        for (Parameter parameter : written.architecture().parameters()) {
            narrowVectors |= parameter.isVector() && stored(written, parameter.role()).map(type -> type.bytes() == Short.BYTES).orElse(false);
        }
        Map<Role, Dtype> types = new LinkedHashMap<>();
        for (Parameter parameter : original.architecture().parameters()) {
            Dtype others = parameter.isVector() && !narrowVectors ? Dtype.F32 : coarsest;
            types.put(parameter.role(), stored(written, parameter.role()).orElse(others));
        }
        return types;
    }

    private static Optional<Dtype> stored(Model model, Role role) throws CheckpointException {
        return model.weights().get(role) instanceof Stored stored ? Optional.of(stored.dtype()) : Optional.empty();
    }

    /** The median of each error over the draws. */
    static Comparison median(List<Comparison> draws) {
        Comparison first = draws.getFirst();
        return new Comparison(
                median(draws, Comparison::largestError), median(draws, Comparison::rootMeanSquareError), median(draws, Comparison::meanError),
                median(draws, Comparison::kl), median(draws, Comparison::top1Agreement),
                first.perplexityA(), median(draws, Comparison::perplexityB), first.positions(), first.outputDeviation(), first.compared());
    }

    private static double median(List<Comparison> draws, ToDoubleFunction<Comparison> error) {
        return draws.stream().mapToDouble(error).sorted().toArray()[draws.size() / 2];
    }
}
