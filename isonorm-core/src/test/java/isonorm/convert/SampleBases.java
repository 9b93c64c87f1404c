package isonorm.convert;

import isonorm.weights.Basis;
import isonorm.weights.Model;
import isonorm.weights.Rotation;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalInt;

/** Bases for every sub-layer of a model, drawn by chance, in which it is the function that it is. */
public final class SampleBases {

    private SampleBases() {}

    /** Of as many vectors each as the stream takes: one less than it is wide where its norms take its mean out. */
    public static List<double[]> of(LoadedModel model) throws IOException {
        int d = model.model().width();
        int k = Model.of(model.model()).architecture().blocks().getFirst().norm().kind().centres() ? d - 1 : d;
        double[] identity = new double[d * d];
        for (int i = 0; i < d; i++) {
            identity[i * (d + 1)] = 1;
        }
        List<double[]> bases = new ArrayList<>();
        for (int each = 0; each < 2 * model.model().depth() + 1; each++) {
            Basis basis = Basis.of(new Rotation(Rotation.Kind.RANDOM, each, OptionalInt.of(k)), d, k < d);
            basis.prepare();
            double[] columns = new double[k * d];
            basis.columns(identity, d, 0, k, columns);
            bases.add(columns);
        }
        return bases;
    }
}
