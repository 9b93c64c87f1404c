package isonorm.layer;

import isonorm.architecture.Companion;
import isonorm.architecture.Part;
import isonorm.architecture.Role;
import isonorm.kernel.Rows;
import isonorm.model.Compute;
import isonorm.weights.Model;
import java.io.IOException;

/**
 * How near images and texts are, {@code exp(scale) (x / |x|) . (y / |y|) + bias} for each image's vector x and each text's y (CLIP,
 * arXiv 2103.00020; SigLIP, arXiv 2303.15343).
 */
record Similarity(double scale, double bias, Compute compute) {

    static Similarity of(Model model, Companion.ImageTower tower, Compute compute) throws IOException {
        double scale = Math.exp(model.weight(Role.of(Part.SIMILARITY_SCALE, Role.Field.WEIGHT)).vector()[0]);
        double bias = tower.bias() ? model.weight(Role.of(Part.SIMILARITY_BIAS, Role.Field.WEIGHT)).vector()[0] : 0;
        return new Similarity(scale, bias, compute);
    }

    /** (images, texts), the texts' unit vectors pooled, and those of the images beside it; takes both vectors. */
    RowsResult of(RowsResult texts, RowsResult images, Space space) {
        double[][] x = unit(images.output());
        double[][] y = unit(texts.output());
        RowsResult similarities = RowsResult.empty(compute, x.length, y.length);
        double[] row = new double[y.length];
        for (int i = 0; i < x.length; i++) {
            for (int t = 0; t < y.length; t++) {
                row[t] = scale * dot(x[i], y[t]) + bias;
            }
            similarities.output().write(i, 0, y.length, row);
        }
        write(x, images.output());
        write(y, texts.output());
        RowsResult made = similarities.withPooled(new Tensor(texts.output(), space)).withCompanion(images);
        texts.close();
        return made;
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

    private static void write(double[][] vectors, Rows into) {
        for (int r = 0; r < vectors.length; r++) {
            into.write(r, 0, vectors[r].length, vectors[r]);
        }
    }

    private static double dot(double[] a, double[] b) {
        double sum = 0;
        for (int i = 0; i < a.length; i++) {
            sum += a[i] * b[i];
        }
        return sum;
    }
}
