package isonorm.generate;

import isonorm.architecture.Architecture;
import isonorm.architecture.Companion;
import isonorm.architecture.Embedding;
import isonorm.architecture.Output;
import isonorm.convert.LoadedModel;
import isonorm.inference.Inference;
import isonorm.model.Batch;
import isonorm.weights.Model;
import java.io.IOException;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.stream.IntStream;
import java.util.stream.LongStream;

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
        return of(inference, loaded, encoder(loaded));
    }

    /** Where an encoder reads sounds. */
    static Writer aboutSounds(Inference inference, LoadedModel loaded) throws IOException {
        return of(inference, loaded, Optional.of(soundEncoder(loaded)));
    }

    private static Writer of(Inference inference, LoadedModel loaded, Optional<Architecture> encoder) throws IOException {
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
        Optional<Architecture> encoder = anyEncoder(loaded);
        if (encoder.isPresent() && !(encoder.get().embedding() instanceof Embedding.Tokens)) {
            throw new IllegalArgumentException("texts are written about texts, and the encoder of this " + loaded.model().family()
                    + " model reads sounds; give their features in a file (isonorm generate --input-features)");
        }
        return encoder;
    }

    private static Optional<Architecture> anyEncoder(LoadedModel loaded) {
        return Model.of(loaded.model()).architecture().companion().filter(Companion.Encoder.class::isInstance).map(Companion::architecture);
    }

    /** The encoder of a model that writes about sounds. */
    static Architecture soundEncoder(LoadedModel loaded) {
        Optional<Architecture> encoder = anyEncoder(loaded);
        if (!(Model.of(loaded.model()).architecture().output() instanceof Output.Words) || encoder.isEmpty() || !(encoder.get().embedding() instanceof Embedding.Sound)) {
            throw new IllegalArgumentException("only an encoder of sounds beside a decoder with a head over words, as Whisper is, writes about sounds, and this "
                    + loaded.model().family() + " model is none");
        }
        return encoder.get();
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
        List<Batch> inputs = read.stream().<Batch>map(Batch.Tokens::of).toList();
        GeneratedTokens written = about(inputs, read, new long[0], options, ending, followed, listener);
        return new GeneratedTokens(IntStream.range(0, read.size())
                .mapToObj(i -> new GeneratedTokens.Row(read.get(i).length, written.rows().get(i).ids(), written.rows().get(i).ending())).toList(),
                written.reading(), written.writing());
    }

    /**
     * What is written about each sound.
     *
     * @param behind the tokens that stand behind the one that a text begins with, such as a language and a task
     */
    GeneratedTokens write(Batch.Sounds sounds, long[] behind, Options options, TokenListener listener) throws IOException {
        List<Batch> inputs = IntStream.range(0, sounds.count()).<Batch>mapToObj(i -> sounds.slice(i, 1)).toList();
        return about(inputs, inputs.stream().map(_ -> new long[0]).toList(), behind, options, options.ignoreEnd() ? Set.of() : ends,
                new Beams(options.beams(), beams.lengthPenalty(), beams.stopping()), listener);
    }

    private GeneratedTokens about(List<Batch> inputs, List<long[]> read, long[] behind, Options options, Set<Long> ending, Beams followed, TokenListener listener)
            throws IOException {
        Beside with = beside.orElseThrow();
        Constraints said = options.ignoreEnd() ? with.constraints.withoutEnds() : with.constraints;
        Constraints constraints = options.first().isPresent() ? said.withFirst(options.first().getAsLong()) : said;
        long[] begun = LongStream.concat(LongStream.of(with.start), Arrays.stream(behind)).toArray();
        return TokenGenerator.of(LanguageModel.about(with.inference, inputs)).about(read, constraints).beams(followed)
                .generate(inputs.stream().map(_ -> begun).toList(), options.maximumTokens(), options.sampling(), ending, listener);
    }
}
