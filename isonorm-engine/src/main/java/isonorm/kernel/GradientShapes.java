package isonorm.kernel;


/** What both implementations of {@link Gradients} require of their arguments. */
final class GradientShapes {

    private GradientShapes() {}

    static void norm(Rows x, Normalization norm, Rows dy, Rows dx, Gradients.NormSums sums) {
        same("x", x, "dy", dy);
        same("x", x, "dx", dx);
        if (norm.kind().readsCompressed() && norm.affine()) {
            throw new IllegalArgumentException("a CRMSNorm with a gain or a bias gives more values than it takes and is not trained; fold it first");
        }
        Shapes.spare(norm.kind(), dx);
        if (norm.gain().present()) {
            columns(norm.gain(), x);
        }
        if (sums.gain() != null) {
            sums("gain sums", sums.gain(), x.columns());
        }
        if (sums.bias() != null) {
            sums("bias sums", sums.bias(), x.columns());
        }
    }

    static void dynamicTanh(Rows x, Normalization norm, Rows dy, Rows dx, Gradients.NormSums sums, Rows alphaSum) {
        norm(x, norm, dy, dx, sums);
        sums("the sum of alpha", alphaSum, 1);
    }

    static void activation(Rows x, Values bias, Rows dy, Rows dx, Rows biasSums) {
        same("x", x, "dy", dy);
        same("x", x, "dx", dx);
        if (bias.present()) {
            columns(bias, x);
        }
        if (biasSums != null) {
            sums("bias sums", biasSums, x.columns());
        }
    }

    static void softmax(Rows p, Rows products, Scoring scoring, Rows dp) {
        same("weights", p, "their gradient", dp);
        if (scoring.softcap() > 0) {
            if (products == null) {
                throw new IllegalArgumentException("a softcap's gradient needs the products of queries and keys, got none");
            }
            same("weights", p, "products", products);
        }
    }

    static void crossEntropy(Rows logits, int[] targets, double[] losses) {
        if (targets.length != logits.rows() || losses.length != logits.rows()) {
            throw new IllegalArgumentException("each row of logits needs a target and a place for its loss, got " + targets.length + " and "
                    + losses.length + " for " + logits);
        }
        for (int target : targets) {
            if (target >= logits.columns()) {
                throw new IllegalArgumentException("targets must be below " + logits.columns() + ", got " + target);
            }
        }
    }

    static void scatter(Rows dy, int[] ids, Rows table) {
        if (dy.rows() != ids.length || dy.columns() != table.columns()) {
            throw new IllegalArgumentException("rows must be one an id and as wide as the table, got " + ids.length + " ids, rows " + dy
                    + ", table " + table);
        }
        for (int id : ids) {
            if (id < 0 || id >= table.rows()) {
                throw new IllegalArgumentException("ids must be rows of the table, 0 to " + (table.rows() - 1) + ", got " + id);
            }
        }
    }

    static void same(String a, Rows x, String b, Rows y) {
        if (x.rows() != y.rows() || x.columns() != y.columns()) {
            throw new IllegalArgumentException(a + " and " + b + " must be of one size, got " + x + " and " + y);
        }
    }

    static void columns(Values values, Rows x) {
        if (values.count() != x.columns()) {
            throw new IllegalArgumentException("values must be one a column, got " + values.count() + " for " + x);
        }
    }

    static void sums(String what, Rows sums, int columns) {
        if (sums.rows() != 1 || sums.columns() != columns || sums.type() != Type.F32 && sums.type() != Type.F64) {
            throw new IllegalArgumentException(what + " must be one row of F32 or F64, as wide as what is summed, got " + sums + " for " + columns);
        }
    }

    /** Draws of 31 bits below this drop a value. */
    static int limit(double probability) {
        if (!(probability >= 0 && probability < 1)) {
            throw new IllegalArgumentException("the probability of dropping must be 0 or more and below 1, got " + probability);
        }
        return (int) (probability * 0x1p31);
    }
}
