package isonorm.generate;

import isonorm.architecture.Architecture;
import isonorm.architecture.Companion;
import isonorm.architecture.Embedding;
import isonorm.convert.LoadedModel;
import isonorm.inference.Inference;
import isonorm.model.Batch;
import isonorm.weights.Model;
import java.io.IOException;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.stream.IntStream;

/**
 * A model that writes, a decoder or an encoder beside one: the first continues what it is given, the second writes about it.
 *
 * @param model of a decoder
 * @param beside of an encoder beside a decoder
 * @param beams how texts are compared where several are followed
 */
record Writer(Optional<LanguageModel<?>> model, Optional<Beside> beside, int room, Set<Long> ends, Beams beams) {

    /**
     * An encoder beside a decoder.
     *
     * @param start what the decoder's text begins with
     */
    private record Beside(Inference inference, long start, Constraints constraints) {}

    static Writer of(Inference inference, LoadedModel loaded) throws IOException {
        Optional<Architecture> encoder = encoder(loaded);
        Set<Long> ends = EndOfText.of(loaded);
        Beams beams = Beams.of(1, loaded);
        return encoder.isPresent()
                ? new Writer(Optional.empty(), Optional.of(new Beside(inference, Constraints.Keys.of(loaded).start(), Constraints.of(loaded))),
                        encoder.get().longestSequence(), ends, beams)
                : new Writer(Optional.of(LanguageModel.of(inference)), Optional.empty(), inference.context(), ends, beams);
    }

    static Writer of(LanguageModel<?> model, Set<Long> ends) {
        return new Writer(Optional.of(model), Optional.empty(), model.context(), Set.copyOf(ends), Beams.NONE);
    }

    /** The encoder of a model that has one, which reads tokens. */
    static Optional<Architecture> encoder(LoadedModel loaded) {
        Architecture architecture = Model.of(loaded.model()).architecture();
        Optional<Architecture> encoder = architecture.companion().filter(Companion.Encoder.class::isInstance).map(Companion::architecture);
        if (encoder.isPresent() && !(encoder.get().embedding() instanceof Embedding.Tokens)) {
            throw new IllegalArgumentException("texts are written about texts, and the encoder of this " + architecture.family()
                    + " model reads something else; begin a sequence with its input (Inference.start), or take isonorm forward");
        }
        return encoder;
    }

    /** How many tokens a prompt or an input may have. */
    static int room(LoadedModel loaded) {
        return encoder(loaded).map(Architecture::longestSequence).orElse(loaded.model().context());
    }

    GeneratedTokens write(List<long[]> read, Options options, TokenListener listener) throws IOException {
        Set<Long> ending = options.ignoreEnd() ? Set.of() : ends;
        Beams followed = new Beams(options.beams(), beams.lengthPenalty(), beams.stopping());
        if (beside.isEmpty()) {
            Constraints none = options.first().isPresent() ? Constraints.NONE.withFirst(options.first().getAsLong()) : Constraints.NONE;
            return TokenGenerator.of(model.orElseThrow()).constrained(none).beams(followed)
                    .generate(read, options.maximumTokens(), options.sampling(), ending, listener);
        }
        TokenGenerator.requireFitting(read, room);
        Constraints said = options.ignoreEnd() ? beside.get().constraints.withoutEnds() : beside.get().constraints;
        Constraints constraints = options.first().isPresent() ? said.withFirst(options.first().getAsLong()) : said;
        List<Batch> inputs = read.stream().<Batch>map(Batch.Tokens::of).toList();
        GeneratedTokens written = TokenGenerator.of(LanguageModel.about(beside.get().inference, inputs)).about(read, constraints).beams(followed)
                .generate(read.stream().map(_ -> new long[] {beside.get().start}).toList(), options.maximumTokens(), options.sampling(), ending, listener);
        return new GeneratedTokens(IntStream.range(0, read.size())
                .mapToObj(i -> new GeneratedTokens.Row(read.get(i).length, written.rows().get(i).ids(), written.rows().get(i).ending())).toList(),
                written.reading(), written.writing());
    }
}
