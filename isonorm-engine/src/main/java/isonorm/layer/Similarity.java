package isonorm.layer;

import isonorm.architecture.Companion;
import isonorm.architecture.Part;
import isonorm.architecture.Role;
import isonorm.kernel.Rows;
import isonorm.kernel.Type;
import isonorm.model.Compute;
import isonorm.weights.Model;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;

/** How near images and texts are, {@code exp(scale) (x / |x|) . (y / |y|) + bias} for each image's vector x and each text's y. */
record Similarity(double scale, double bias, Compute compute) {

    static Similarity of(Model model, Companion.ImageTower tower, Compute compute) throws IOException {
        return new Similarity(Math.exp(number(model, Part.SIMILARITY_SCALE)), tower.bias() ? number(model, Part.SIMILARITY_BIAS) : 0, compute);
    }

    private static double number(Model model, Part part) throws IOException {
        return model.weight(Role.of(part, Role.Field.WEIGHT)).vector()[0];
    }

    /** (images, texts); the texts' unit vectors are what it pools, and those of the images what its companion gives. It takes the place of both. */
    RowsResult of(RowsResult texts, RowsResult images, Space space) throws IOException {
        List<RowsResult> made = new ArrayList<>();
        try (texts; images) {
            double[][] x = unit(images.pooled().orElseThrow());
            double[][] y = unit(texts.pooled().orElseThrow());
            RowsResult similarities = RowsResult.empty(compute, x.length, y.length);
            double[] row = new double[y.length];
            for (int i = 0; i < x.length; i++) {
                for (int t = 0; t < y.length; t++) {
                    row[t] = scale * dot(x[i], y[t]) + bias;
                }
                similarities.output().write(i, 0, y.length, row);
            }
            space.scoped(() -> made.add(similarities.withPooled(tensor(y, space))
                    .withCompanion(RowsResult.of(compute, tensor(x, space), x.length, x[0].length))));
            return made.getFirst();
        }
    }

    private Tensor tensor(double[][] vectors, Space space) {
        Tensor tensor = space.empty(Type.of(compute), vectors.length, vectors[0].length);
        for (int r = 0; r < vectors.length; r++) {
            tensor.rows().write(r, 0, vectors[r].length, vectors[r]);
        }
        return tensor;
    }

    private static double[][] unit(Rows rows) {
        double[][] vectors = new double[rows.rows()][rows.columns()];
        for (int r = 0; r < vectors.length; r++) {
            rows.read(r, 0, rows.columns(), vectors[r]);
            double length = Math.sqrt(dot(vectors[r], vectors[r]));
            for (int c = 0; c < vectors[r].length; c++) {
                vectors[r][c] /= length;
            }
        }
        return vectors;
    }

    private static double dot(double[] a, double[] b) {
        double sum = 0;
        for (int i = 0; i < a.length; i++) {
            sum += a[i] * b[i];
        }
        return sum;
    }
}
