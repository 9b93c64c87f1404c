package isonorm.onnx.export;

import static isonorm.architecture.Part.ATTENTION_NORM;
import static isonorm.architecture.Part.ATTENTION_OUTPUT_NORM;
import static isonorm.architecture.Part.ATTENTION_SCALE;
import static isonorm.architecture.Part.ATTENTION_SKIP;
import static isonorm.architecture.Part.ATTENTION_STREAM_GATE;
import static isonorm.architecture.Part.CROSS_NORM;
import static isonorm.architecture.Part.MLP_NORM;
import static isonorm.architecture.Part.MLP_OUTPUT_NORM;
import static isonorm.architecture.Part.MLP_SCALE;
import static isonorm.architecture.Part.MLP_SKIP;
import static isonorm.architecture.Part.MLP_STREAM_GATE;

import isonorm.architecture.Architecture;
import isonorm.architecture.Block;
import isonorm.architecture.Part;
import isonorm.architecture.Placement;
import isonorm.architecture.Placement.Place;
import isonorm.architecture.Role;
import isonorm.architecture.Role.Field;
import java.io.IOException;
import java.util.Optional;

/**
 * The walk through blocks, with A attention, M the MLP and N those norms that the {@link Placement} has:
 *
 * <pre>
 * sequential   h = N(h + N(A(N(h)))), beside an encoder h = N(h + C(N(h))), h = N(h + N(M(N(h))))
 * parallel     h + A(N1(h)) + M(N2(h)), where N1 and N2 can be one norm
 * </pre>
 *
 * What is added is first multiplied with the block's factor and its learned scale, h with the factor of the skip; a gate g makes a sum
 * {@code h - SiLU(g) h}. A second stream gets what the first does, and nothing normalizes it.
 */
record Blocks(
        Operators graph, Weights weights, Norms norms, AttentionPart attention, FeedForwardPart feedForward, Architecture architecture,
        Optional<AttentionPart.Encoded> encoded) {

    /** The stream that is read, and the second one, where there are two. */
    record Streams(String first, Optional<String> second) {}

    /** What a sub-layer makes of what it reads. */
    @FunctionalInterface
    private interface SubLayer {
        String of(String x) throws IOException;
    }

    /** A sub-layer, where its norms stand, and the names of what is learned beside it; no scale and no gate where those are of another part. */
    private record Branch(Placement placement, Part norm, Part outputNorm, Part scale, Part gate, Part skip, SubLayer layer) {}

    /** The streams behind all blocks. */
    Streams through(Streams entered) throws IOException {
        Streams streams = entered;
        for (int l = 0; l < architecture.blocks().size(); l++) {
            streams = through(l, architecture.blocks().get(l), streams);
        }
        return streams;
    }

    private Streams through(int l, Block block, Streams streams) throws IOException {
        Branch mixer = new Branch(block.attentionPlacement(), ATTENTION_NORM, ATTENTION_OUTPUT_NORM, ATTENTION_SCALE, ATTENTION_STREAM_GATE, ATTENTION_SKIP,
                x -> attention.of(block.mixer(), l, x));
        Branch mlp = new Branch(block.mlpPlacement(), MLP_NORM, MLP_OUTPUT_NORM, MLP_SCALE, MLP_STREAM_GATE, MLP_SKIP, x -> feedForward.of(block.feedForward(), l, x));
        String h = streams.first;
        return switch (block.wiring()) {
            case SEQUENTIAL -> {
                Streams attended = then(l, block, mixer, streams);
                if (block.cross().isPresent()) {
                    Branch cross = new Branch(block.attentionPlacement(), CROSS_NORM, CROSS_NORM, ATTENTION_SCALE, ATTENTION_STREAM_GATE, ATTENTION_SKIP,
                            x -> attention.cross(block.cross().get(), l, x, encoded.orElseThrow()));
                    attended = then(l, block, cross, attended);
                }
                yield then(l, block, mlp, attended);
            }
            case PARALLEL -> {
                String first = written(l, block, mixer, normed(l, block, mixer, Place.INPUT, h));
                String second = written(l, block, mlp, normed(l, block, mlp, Place.INPUT, h));
                yield new Streams(graph.add(sum(block, inNextBasis(l, block, mixer, h), first), second), Optional.empty());
            }
            case PARALLEL_ONE_NORM -> {
                String read = normed(l, block, mixer, Place.INPUT, h);
                String first = written(l, block, mixer, read);
                String second = written(l, block, mlp, read);
                yield new Streams(graph.add(sum(block, inNextBasis(l, block, mixer, h), first), second), Optional.empty());
            }
        };
    }

    private Streams then(int l, Block block, Branch branch, Streams streams) throws IOException {
        String h = streams.first;
        String written = written(l, block, branch, normed(l, block, branch, Place.INPUT, h));
        graph.in("blocks." + l);
        String skip = block.recentre() && branch.placement.normalizesSum() ? norms.recentred(h) : inNextBasis(l, block, branch, h);
        String next = normed(l, block, branch, Place.SUM, sum(block, skip, written));
        if (block.gates()) {
            double g = weights.number(Role.of(branch.gate, l, Field.WEIGHT));
            next = graph.times(next, 1 - g / (1 + Math.exp(-g)));
        }
        return new Streams(next, streams.second.map(other -> graph.add(other, written)));
    }

    private String written(int l, Block block, Branch branch, String x) throws IOException {
        String y = normed(l, block, branch, Place.BRANCH, branch.layer.of(x));
        String scaled = switch (block.scale()) {
            case NONE -> y;
            case VECTOR, NUMBER -> graph.multiply(y, weights.vector(Role.of(branch.scale, l, Field.WEIGHT)));
        };
        return graph.times(scaled, block.branch());
    }

    /** Behind the norm at a place, where one stands there. */
    private String normed(int l, Block block, Branch branch, Place place, String x) throws IOException {
        Optional<Part> part = branch.placement.at(place, Optional.of(branch.norm), Optional.of(branch.outputNorm));
        if (part.isEmpty()) {
            return x;
        }
        graph.in("blocks." + l + "/" + part.get().path());
        return norms.of(x, block.norm(), Role.of(part.get(), l, Field.GAIN), architecture.width());
    }

    /** The stream in the basis of what comes next. */
    private String inNextBasis(int l, Block block, Branch branch, String h) {
        if (!architecture.skips(block).contains(branch.skip)) {
            return h;
        }
        graph.in("blocks." + l + "/" + branch.skip.path());
        return weights.linear(h, Role.of(branch.skip, l, Field.WEIGHT), false);
    }

    private String sum(Block block, String h, String written) {
        return graph.add(graph.times(h, block.skip()), written);
    }
}
