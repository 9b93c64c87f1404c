package isonorm.onnx.export;

import static isonorm.architecture.Part.DISTILLED_HEAD;
import static isonorm.architecture.Part.FINAL_NORM;
import static isonorm.architecture.Part.HEAD;
import static isonorm.architecture.Part.HEAD_PROJECTION;
import static isonorm.architecture.Part.HEAD_TRANSFORM;
import static isonorm.architecture.Part.HEAD_TRANSFORM_NORM;
import static isonorm.architecture.Part.POOLER;
import static isonorm.architecture.Part.POOLER_DOWN;
import static isonorm.architecture.Part.POOLER_KEY;
import static isonorm.architecture.Part.POOLER_NORM;
import static isonorm.architecture.Part.POOLER_OUTPUT;
import static isonorm.architecture.Part.POOLER_PROBE;
import static isonorm.architecture.Part.POOLER_PROJECTION;
import static isonorm.architecture.Part.POOLER_QUERY;
import static isonorm.architecture.Part.POOLER_UP;
import static isonorm.architecture.Part.POOLER_VALUE;
import static isonorm.architecture.Part.TOKEN_EMBEDDING;

import isonorm.architecture.Architecture;
import isonorm.architecture.Embedding;
import isonorm.architecture.Output;
import isonorm.architecture.Output.Pooler;
import isonorm.architecture.Output.Pooling;
import isonorm.architecture.Part;
import isonorm.architecture.Role;
import isonorm.architecture.Role.Field;
import isonorm.architecture.Stream;
import isonorm.onnx.graph.Attribute;
import isonorm.onnx.graph.ElementType;
import java.io.IOException;
import java.util.Map;
import java.util.Optional;

/** What is made of the stream behind the last block, (B, T, width). */
record Exit(Operators graph, Weights weights, Norms norms, FeedForwardPart activations, AttentionPart attention, Architecture architecture) {

    /** Logits, scores or hidden states, and a pooled vector where there is one. */
    record Given(String output, Optional<String> pooled) {}

    /** What the model read, where that were tokens: their ids, and which are no padding. */
    record Tokens(String ids, Optional<String> mask) {}

    Given of(Blocks.Streams streams, Optional<Tokens> tokens) throws IOException {
        graph.in("head");
        return switch (architecture.output()) {
            case Output.Words words -> new Given(words(words, streams, tokens.orElseThrow()), Optional.empty());
            case Output.Labels labels -> new Given(labels(labels, streams, tokens), Optional.empty());
            case Output.Hidden hidden -> hidden(hidden, streams, tokens);
        };
    }

    private boolean compressed() {
        return architecture.stream() == Stream.COMPRESSED;
    }

    /** What a reader gets behind the final norm, where there is one; of two streams x and y {@code x + norm(y)}. */
    private String read(Blocks.Streams streams) throws IOException {
        return streams.second().isPresent() ? graph.add(streams.first(), read(streams.second().get())) : read(streams.first());
    }

    private String read(String h) throws IOException {
        return architecture.finalNorm().isPresent() ? norms.of(h, architecture.finalNorm().get(), Role.of(FINAL_NORM, Field.GAIN), architecture.width()) : h;
    }

    /** All d values of that. */
    private String all(Blocks.Streams streams) throws IOException {
        return whole(read(streams));
    }

    private String all(String h) throws IOException {
        return whole(read(h));
    }

    private String whole(String read) {
        boolean shortened = compressed() && architecture.finalNorm().filter(norm -> norm.affine().hasGain()).isEmpty();
        return shortened ? norms.expanded(read) : read;
    }

    /** {@code norm(activation(dense(x)))}, of which one may lack. */
    private String transformed(Output.Transform shape, String x) throws IOException {
        String y = shape.dense().isPresent() ? weights.linear(x, Role.of(HEAD_TRANSFORM, Field.WEIGHT), shape.dense().get().bias()) : x;
        if (shape.dense().isPresent() && shape.dense().get().activation().isPresent()) {
            y = activations.activated(shape.dense().get().activation().get(), y);
        }
        return shape.norm().isPresent()
                ? norms.of(y, shape.norm().get(), Role.of(HEAD_TRANSFORM_NORM, Field.GAIN), shape.width(architecture.width()))
                : y;
    }

    /** {@code softcap(scale * (W y + bias + means * sum(y)))}; a tied table of a compressed stream lacks the column that is minus the sum of the others. */
    private String words(Output.Words shape, Blocks.Streams streams, Tokens tokens) throws IOException {
        Embedding.Tokens table = (Embedding.Tokens) architecture.embedding();
        boolean differences = shape.tied() && compressed() && architecture.tokensEnterStream();
        boolean allValues = differences && shape.projectedWidth() == 0 && shape.transform().isEmpty();
        String y = allValues ? all(streams) : read(streams);
        if (shape.projectedWidth() > 0) {
            y = weights.linear(y, Role.of(HEAD_PROJECTION, Field.WEIGHT), false);
        }
        if (shape.transform().isPresent()) {
            y = transformed(shape.transform().get(), y);
        }
        String sums = shape.tied() && table.means() ? graph.sum(y) : "";
        if (differences) {
            y = graph.subtract(graph.slice(y, -1, 0, -1), graph.slice(y, -1, -1, Integer.MAX_VALUE));
        }
        String logits = shape.tied() ? tied(y, table.vocabulary(), tokens.ids) : graph.product(y, weights.turned(Role.of(HEAD, Field.WEIGHT)));
        if (!sums.isEmpty()) {
            logits = graph.add(logits, graph.multiply(sums, weights.vector(Role.of(TOKEN_EMBEDDING, Field.MEANS))));
        }
        if (shape.bias()) {
            logits = graph.add(logits, weights.vector(Role.of(HEAD, Field.BIAS)));
        }
        logits = graph.times(logits, shape.scale());
        if (shape.softcap().isPresent()) {
            double cap = shape.softcap().getAsDouble();
            logits = graph.times(graph.apply("Tanh", graph.times(logits, 1 / cap)), cap);
        }
        return logits;
    }

    /** The product with the table as it lies, so that it is there once. */
    private String tied(String y, int vocabulary, String ids) {
        Role role = Role.of(TOKEN_EMBEDDING, Field.WEIGHT);
        String rows = graph.reshape(y, -1, weights.model().weight(role).columns());
        String products = graph.apply("Gemm", Map.of("transB", Attribute.of(1)), rows, weights.table(role));
        return graph.apply("Reshape", products, graph.concat(0, graph.apply("Shape", ids), graph.integers(vocabulary)));
    }

    private String labels(Output.Labels shape, Blocks.Streams streams, Optional<Tokens> tokens) throws IOException {
        // Two streams are read as one at every position; of one those positions that are pooled.
        boolean dual = streams.second().isPresent();
        String h = dual ? read(streams) : streams.first();
        Role head = Role.of(HEAD, Field.WEIGHT);
        if (shape.pooling() == Pooling.EACH_OF_TWO) {
            String one = weights.linear(read(at(h, 0), false, dual), head, shape.bias());
            String other = weights.linear(read(at(h, 1), false, dual), Role.of(DISTILLED_HEAD, Field.WEIGHT), shape.bias());
            return graph.times(graph.add(one, other), .5);
        }
        // A norm reads all d values, a linear layer those that there are.
        boolean whole = shape.transform().filter(before -> before.dense().isEmpty()).isPresent();
        int first = architecture.firstPatch();
        String pooled = switch (shape.pooling()) {
            case FIRST -> read(at(h, 0), whole, dual);
            case FIRST_AND_MEAN -> {
                String y = read(h, whole, dual);
                yield graph.concat(-1, at(y, 0), mean(y, first, Integer.MAX_VALUE));
            }
            case EVERY -> read(h, whole, dual);
            case PATCHES -> read(graph.slice(h, 1, first, Integer.MAX_VALUE), whole, dual);
            case LAST -> last(read(h, whole, dual), tokens.flatMap(Tokens::mask));
            case MEAN -> mean(read(h, whole, dual), tokens.flatMap(Tokens::mask));
            case MEAN_OF_TWO -> mean(read(h, whole, dual), 0, 2);
            case NORMED_MEAN -> read(mean(h, first, Integer.MAX_VALUE), whole, dual);
            case EACH_OF_TWO -> throw new IllegalStateException("two are read, each by itself");
        };
        return weights.linear(shape.transform().isPresent() ? transformed(shape.transform().get(), pooled) : pooled, head, shape.bias());
    }

    /** What is read of positions, unless that was done already. */
    private String read(String h, boolean whole, boolean done) throws IOException {
        return done ? h : whole ? all(h) : read(h);
    }

    /** One position of each row, (B, width). */
    private String at(String h, int position) {
        return graph.gather(h, graph.integer(position), 1);
    }

    /** A position of its own of each row, by places (B, 1). */
    private String atEach(String h, String places) {
        return graph.apply("GatherND", Map.of("batch_dims", Attribute.of(1)), h, places);
    }

    /** The mean of some positions. */
    private String mean(String h, int from, int to) {
        return graph.reduced("ReduceMean", graph.slice(h, 1, from, to), 1, false);
    }

    /** The last position that is no padding. */
    private String last(String h, Optional<String> mask) {
        if (mask.isEmpty()) {
            return at(h, -1);
        }
        String seen = graph.cast(mask.get(), ElementType.INT32);
        String place = graph.apply("ArgMax", Map.of("axis", Attribute.of(1), "keepdims", Attribute.of(1), "select_last_index", Attribute.of(1)), seen);
        return atEach(h, place);
    }

    /** The mean of those that are no padding. */
    private String mean(String h, Optional<String> mask) {
        if (mask.isEmpty()) {
            return graph.reduced("ReduceMean", h, 1, false);
        }
        String ones = graph.unsqueeze(graph.cast(mask.get(), graph.real()), 2);
        return graph.divide(graph.reduced("ReduceSum", graph.multiply(h, ones), 1, false), graph.reduced("ReduceSum", ones, 1, false));
    }

    private Given hidden(Output.Hidden shape, Blocks.Streams streams, Optional<Tokens> tokens) throws IOException {
        String h = streams.first();
        boolean bare = shape.pooler().bareStream();
        String states = bare ? compressed() ? norms.expanded(h) : h : all(streams);
        if (shape.pooler() == Pooler.NONE) {
            return new Given(states, Optional.empty());
        }
        int first = architecture.firstPatch();
        String pooled = switch (shape.pooler()) {
            case NONE -> throw new IllegalStateException("nothing is pooled");
            case FIRST -> at(states, 0);
            case NORMED_FIRST -> all(at(h, 0));
            case LAST -> at(states, -1);
            case END -> atEnd(states, tokens.orElseThrow().ids);
            case PROBE -> probed(shape.probe().orElseThrow(), states);
            case MEAN_OF_TWO -> mean(states, 0, 2);
            case NORMED_MEAN -> all(mean(h, first, Integer.MAX_VALUE));
            case DENSE_TANH -> graph.apply("Tanh", weights.linear(at(read(streams), 0), Role.of(POOLER, Field.WEIGHT), true));
        };
        return new Given(states, Optional.of(shape.projection().isPresent()
                ? weights.linear(pooled, Role.of(POOLER_PROJECTION, Field.WEIGHT), shape.projection().get().bias())
                : pooled));
    }

    /** The position where a text ends: its end token's first, or that of the highest id where none is named. */
    private String atEnd(String states, String ids) {
        Embedding.Tokens table = (Embedding.Tokens) architecture.embedding();
        String marks = table.special().end().isPresent() ? graph.apply("Equal", ids, graph.integer(table.special().end().getAsInt())) : ids;
        String place = graph.apply("ArgMax", Map.of("axis", Attribute.of(1), "keepdims", Attribute.of(1)), graph.cast(marks, ElementType.INT32));
        return atEach(states, place);
    }

    private String probed(Output.Probe probe, String y) throws IOException {
        int d = architecture.width();
        String q = linear(weights.vector(Role.of(POOLER_PROBE, Field.WEIGHT)), POOLER_QUERY);
        String asked = attention.ask(q, probe.heads(), d, linear(y, POOLER_KEY), linear(y, POOLER_VALUE));
        String a = graph.squeeze(linear(asked, POOLER_OUTPUT), 1);
        String normed = norms.of(a, probe.norm(), Role.of(POOLER_NORM, Field.GAIN), d);
        return graph.add(a, activations.of(probe.mlp(), Role.of(POOLER_UP, Field.WEIGHT), Role.of(POOLER_UP, Field.WEIGHT), Role.of(POOLER_DOWN, Field.WEIGHT), normed));
    }

    private String linear(String x, Part part) {
        return weights.linear(x, Role.of(part, Field.WEIGHT), true);
    }
}
