package isonorm.kernel;

import isonorm.architecture.Activation;
import isonorm.weights.Seed;

/** The backward kernels as simple loops in float64: what {@link VectorGradients} must agree with, and what runs where there are no vectors. */
public final class PlainGradients implements Gradients {

    @Override
    public void norm(Rows x, Normalization norm, Rows dy, Rows dx, NormSums sums) {
        GradientShapes.norm(x, norm, dy, dx, sums);
        for (int row = 0; row < x.rows(); row++) {
            normRow(x, row, norm, dy, dx, sums, false);
        }
    }

    @Override
    public void addNorm(Rows x, Normalization norm, Rows dy, Rows dx, NormSums sums) {
        GradientShapes.norm(x, norm, dy, dx, sums);
        for (int row = 0; row < x.rows(); row++) {
            normRow(x, row, norm, dy, dx, sums, true);
        }
    }

    static void normRow(Rows x, int row, Normalization norm, Rows dy, Rows dx, NormSums sums, boolean adds) {
        int C = x.columns();
        double shift = PlainKernels.shift(x, row, norm.kind());
        double scale = PlainKernels.scale(x, row, norm.kind(), norm.epsilon());
        double[] n = new double[C];
        double[] g = new double[C];
        double sumN = 0;
        double sumG = 0;
        double dot = 0;
        for (int c = 0; c < C; c++) {
            double d = dy.get(row, c);
            n[c] = (x.get(row, c) - shift) * scale;
            g[c] = norm.gain().present() ? norm.gain().get(c) * d : d;
            sumN += n[c];
            sumG += g[c];
            dot += n[c] * g[c];
            if (sums.gain() != null) {
                sums.gain().set(0, c, sums.gain().get(0, c) + d * n[c]);
            }
            if (sums.bias() != null) {
                sums.bias().set(0, c, sums.bias().get(0, c) + d);
            }
        }
        for (int c = 0; c < C; c++) {
            double value = scale * switch (norm.kind()) {
                case RMS -> g[c] - n[c] * dot / C;
                case LAYER -> g[c] - sumG / C - n[c] * dot / C;
                case CRMS -> g[c] - (n[c] + sumN) * dot / (C + 1);
                case DYNAMIC_TANH -> throw new IllegalArgumentException("a DyT has no statistics, take dynamicTanh");
            };
            dx.set(row, c, adds ? dx.get(row, c) + value : value);
        }
        if (norm.kind().readsCompressed() && dx.stride() > C) {
            dx.set(row, C, 0);
        }
    }

    @Override
    public void addDynamicTanh(Rows x, Normalization norm, Rows dy, Rows dx, NormSums sums, Rows alphaSum) {
        GradientShapes.dynamicTanh(x, norm, dy, dx, sums, alphaSum);
        double alphas = 0;
        for (int row = 0; row < x.rows(); row++) {
            for (int c = 0; c < x.columns(); c++) {
                double d = dy.get(row, c);
                double n = Math.tanh(norm.alpha() * x.get(row, c));
                double slope = (1 - n * n) * (norm.gain().present() ? norm.gain().get(c) * d : d);
                alphas += slope * x.get(row, c);
                dx.set(row, c, dx.get(row, c) + slope * norm.alpha());
                if (sums.gain() != null) {
                    sums.gain().set(0, c, sums.gain().get(0, c) + d * n);
                }
                if (sums.bias() != null) {
                    sums.bias().set(0, c, sums.bias().get(0, c) + d);
                }
            }
        }
        alphaSum.set(0, 0, alphaSum.get(0, 0) + alphas);
    }

    @Override
    public void addColumnSums(Rows x, Rows sums) {
        GradientShapes.sums("sums", sums, x.columns());
        for (int c = 0; c < x.columns(); c++) {
            double sum = 0;
            for (int row = 0; row < x.rows(); row++) {
                sum += x.get(row, c);
            }
            sums.set(0, c, sums.get(0, c) + sum);
        }
    }

    @Override
    public void activate(Rows x, Values bias, Activation activation, Rows out) {
        GradientShapes.activation(x, bias, out, out, null);
        for (int row = 0; row < x.rows(); row++) {
            for (int c = 0; c < x.columns(); c++) {
                out.set(row, c, PlainKernels.activated(activation, biased(x, row, c, bias)));
            }
        }
    }

    private static double biased(Rows x, int row, int c, Values bias) {
        return bias.present() ? x.get(row, c) + bias.get(c) : x.get(row, c);
    }

    @Override
    public void activation(Rows x, Values bias, Activation activation, Rows dy, Rows dx, Rows biasSums) {
        GradientShapes.activation(x, bias, dy, dx, biasSums);
        for (int row = 0; row < x.rows(); row++) {
            for (int c = 0; c < x.columns(); c++) {
                dx.set(row, c, dy.get(row, c) * slope(activation, biased(x, row, c, bias)));
            }
        }
        if (biasSums != null) {
            addColumnSums(dx, biasSums);
        }
    }

    @Override
    public void gate(Rows gate, Rows up, Values gateBias, Values upBias, Activation activation, Rows dy, Rows gateSums, Rows upSums) {
        GradientShapes.activation(gate, gateBias, dy, up, gateSums);
        GradientShapes.activation(up, upBias, dy, up, upSums);
        for (int row = 0; row < gate.rows(); row++) {
            for (int c = 0; c < gate.columns(); c++) {
                double g = biased(gate, row, c, gateBias);
                double u = biased(up, row, c, upBias);
                double d = dy.get(row, c);
                gate.set(row, c, d * u * slope(activation, g));
                up.set(row, c, d * PlainKernels.activated(activation, g));
            }
        }
        if (gateSums != null) {
            addColumnSums(gate, gateSums);
        }
        if (upSums != null) {
            addColumnSums(up, upSums);
        }
    }

    /** The derivative of an activation. */
    static double slope(Activation activation, double x) {
        return switch (activation) {
            case GELU -> Gauss.distribution(x) + x * Math.exp(-x * x / 2) / Math.sqrt(2 * Math.PI);
            case GELU_TANH -> {
                double k = 2 * Math.sqrt(2 / Math.PI);
                yield swish(x, k * (x + 0.044715 * x * x * x), k * (1 + 3 * 0.044715 * x * x));
            }
            case QUICK_GELU -> swish(x, 1.702 * x, 1.702);
            case RELU -> x > 0 ? 1 : 0;
            case RELU_SQUARED -> 2 * Math.max(x, 0);
            case SILU -> swish(x, x, 1);
            case TANH -> 1 - Math.tanh(x) * Math.tanh(x);
        };
    }

    /** The derivative of {@code x sigmoid(u)}, {@code inner} being that of u. */
    private static double swish(double x, double u, double inner) {
        double sigmoid = 1 / (1 + Math.exp(-u));
        double opposite = 1 / (1 + Math.exp(u)); // 1 - sigmoid cancels
        return sigmoid == 0 ? 0 : sigmoid * (1 + x * inner * opposite);
    }

    @Override
    public void softmax(Rows p, Rows products, Scoring scoring, Reach reach, Rows dp) {
        GradientShapes.softmax(p, products, scoring, dp);
        int T = p.columns();
        for (int row = 0; row < p.rows(); row++) {
            int from = reach.from(row, T);
            int to = Math.max(from, reach.to(row, T));
            double dot = 0;
            for (int key = from; key < to; key++) {
                dot += p.get(row, key) * dp.get(row, key);
            }
            for (int key = 0; key < T; key++) {
                if (key < from || key >= to) {
                    dp.set(row, key, 0);
                    continue;
                }
                double slope = 1;
                if (scoring.softcap() > 0) {
                    double tanh = Math.tanh(products.get(row, key) * scoring.scale() / scoring.softcap());
                    slope = 1 - tanh * tanh;
                }
                dp.set(row, key, scoring.scale() * slope * p.get(row, key) * (dp.get(row, key) - dot));
            }
        }
    }

    @Override
    public void crossEntropy(Rows logits, int[] targets, double factor, double[] losses) {
        GradientShapes.crossEntropy(logits, targets, losses);
        int C = logits.columns();
        for (int row = 0; row < logits.rows(); row++) {
            int target = targets[row];
            double largest = Double.NEGATIVE_INFINITY;
            for (int c = 0; c < C; c++) {
                largest = Math.max(largest, logits.get(row, c));
            }
            double sum = 0;
            for (int c = 0; c < C; c++) {
                sum += Math.exp(logits.get(row, c) - largest);
            }
            losses[row] = target < 0 ? 0 : largest + Math.log(sum) - logits.get(row, target);
            for (int c = 0; c < C; c++) {
                double share = Math.exp(logits.get(row, c) - largest) / sum;
                logits.set(row, c, target < 0 ? 0 : factor * (c == target ? share - 1 : share));
            }
        }
    }

    @Override
    public void scatter(Rows dy, int[] ids, double scale, Rows table) {
        GradientShapes.scatter(dy, ids, table);
        for (int i = 0; i < ids.length; i++) {
            for (int c = 0; c < dy.columns(); c++) {
                table.set(ids[i], c, table.get(ids[i], c) + scale * dy.get(i, c));
            }
        }
    }

    @Override
    public void add(Rows x, double factor, Rows y) {
        GradientShapes.same("x", x, "y", y);
        for (int row = 0; row < x.rows(); row++) {
            for (int c = 0; c < x.columns(); c++) {
                y.set(row, c, y.get(row, c) + factor * x.get(row, c));
            }
        }
    }

    @Override
    public void multiplyColumns(Rows x, Values factors, Rows y) {
        GradientShapes.same("x", x, "y", y);
        GradientShapes.columns(factors, x);
        for (int row = 0; row < x.rows(); row++) {
            for (int c = 0; c < x.columns(); c++) {
                y.set(row, c, x.get(row, c) * factors.get(c));
            }
        }
    }

    @Override
    public void columnFactors(Rows x, Values factors, Rows dy, Rows sums) {
        GradientShapes.same("x", x, "dy", dy);
        GradientShapes.columns(factors, x);
        GradientShapes.sums("sums", sums, x.columns());
        for (int c = 0; c < x.columns(); c++) {
            double sum = 0;
            for (int row = 0; row < x.rows(); row++) {
                sum += x.get(row, c) * dy.get(row, c);
                dy.set(row, c, dy.get(row, c) * factors.get(c));
            }
            sums.set(0, c, sums.get(0, c) + sum);
        }
    }

    @Override
    public void dropout(Rows x, double probability, Seed seed, long firstRow) {
        int limit = GradientShapes.limit(probability);
        double kept = 1 / (1 - probability);
        for (int row = 0; row < x.rows(); row++) {
            long key = seed.number(firstRow + row);
            for (int c = 0; c < x.columns(); c++) {
                x.set(row, c, draw(key, c) < limit ? 0 : x.get(row, c) * kept);
            }
        }
    }

    /** The constants of {@link #draw}. */
    static final int COLUMN = 0x9e3779b9;
    static final int FIRST = 0x85ebca6b;
    static final int SECOND = 0xc2b2ae35;

    /** 31 bits for a column of a row: the finalizer of MurmurHash3, which is given half of the row's key before it and half on the way. */
    static int draw(long key, int column) {
        int h = (int) key + column * COLUMN;
        h = (h ^ h >>> 16) * FIRST ^ (int) (key >>> 32);
        h = (h ^ h >>> 13) * SECOND;
        return (h ^ h >>> 16) >>> 1;
    }

    @Override
    public double sumOfSquares(Rows x) {
        double sum = 0;
        for (int row = 0; row < x.rows(); row++) {
            for (int c = 0; c < x.columns(); c++) {
                sum += x.get(row, c) * x.get(row, c);
            }
        }
        return sum;
    }

    @Override
    public void scale(Rows x, double factor) {
        for (int row = 0; row < x.rows(); row++) {
            for (int c = 0; c < x.columns(); c++) {
                x.set(row, c, x.get(row, c) * factor);
            }
        }
    }

    @Override
    public void adamW(Rows weights, Rows gradient, Rows first, Rows second, AdamW step) {
        GradientShapes.same("weights", weights, "gradient", gradient);
        GradientShapes.same("first", first, "second", second);
        GradientShapes.same("weights", weights, "first", first);
        double correction1 = 1 - Math.pow(step.beta1(), step.step());
        double correction2 = 1 - Math.pow(step.beta2(), step.step());
        for (int row = 0; row < weights.rows(); row++) {
            for (int c = 0; c < weights.columns(); c++) {
                double g = step.factor() * gradient.get(row, c);
                double m = step.beta1() * first.get(row, c) + (1 - step.beta1()) * g;
                double v = step.beta2() * second.get(row, c) + (1 - step.beta2()) * g * g;
                double w = weights.get(row, c);
                first.set(row, c, m);
                second.set(row, c, v);
                weights.set(row, c, w - step.rate() * (m / correction1 / (Math.sqrt(v / correction2) + step.epsilon()) + step.decay() * w));
            }
        }
    }

    @Override
    public void sgd(Rows weights, Rows gradient, Rows first, double rate, double momentum, double decay, double factor) {
        GradientShapes.same("weights", weights, "gradient", gradient);
        GradientShapes.same("weights", weights, "first", first);
        for (int row = 0; row < weights.rows(); row++) {
            for (int c = 0; c < weights.columns(); c++) {
                double w = weights.get(row, c);
                double m = momentum * first.get(row, c) + factor * gradient.get(row, c) + decay * w;
                first.set(row, c, m);
                weights.set(row, c, w - rate * m);
            }
        }
    }

    @Override
    public void centreColumns(Rows x, Rows out) {
        GradientShapes.same("x", x, "out", out);
        for (int c = 0; c < x.columns(); c++) {
            double sum = 0;
            for (int row = 0; row < x.rows(); row++) {
                sum += x.get(row, c);
            }
            double mean = sum / x.rows();
            for (int row = 0; row < x.rows(); row++) {
                out.set(row, c, x.get(row, c) - mean);
            }
        }
    }

    @Override
    public void centreRows(Rows x, Rows out) {
        GradientShapes.same("x", x, "out", out);
        for (int row = 0; row < x.rows(); row++) {
            double sum = 0;
            for (int c = 0; c < x.columns(); c++) {
                sum += x.get(row, c);
            }
            double mean = sum / x.columns();
            for (int c = 0; c < x.columns(); c++) {
                out.set(row, c, x.get(row, c) - mean);
            }
        }
    }
}
