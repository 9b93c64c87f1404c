package isonorm.generate;

import isonorm.convert.LoadedModel;
import isonorm.generate.GeneratedTokens.Ending;
import isonorm.inference.Inference;
import isonorm.model.Batch;
import isonorm.text.BeginningToken;
import isonorm.text.Tokenizer;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.stream.IntStream;

/**
 * Continues texts: a {@link TokenGenerator} between a tokenizer's two directions.
 *
 * <p>A prompt begins as the tokenizer begins a text, unless {@link Options#beginning()} says otherwise. Of what is generated, special tokens are not in the text. For one thread, as the
 * {@link Inference} is.
 *
 * <p>An encoder beside a decoder is given a text to write about in place of a prompt, in all that the tokenizer puts around one. What
 * generation_config.json says of such a model's tokens is done: which come first and last, which never, and which n-grams not twice.
 */
public final class Generator {

    /** Gets the text of each row as it comes, in whole characters. What it throws ends all rows. */
    @FunctionalInterface
    public interface Listener {

        /** Hears nothing. */
        Listener NONE = (_, _) -> {};

        void text(int row, String piece) throws IOException;
    }

    private final Writer writer;
    private final Tokenizer tokenizer;

    private Generator(Writer writer, Tokenizer tokenizer) {
        this.writer = writer;
        this.tokenizer = tokenizer;
    }

    /**
     * Continues with what a model says. The caller closes both.
     *
     * @param loaded where the model comes from: {@code eos_token_id} of its generation_config.json, else of its config.json, ends a text
     */
    public static Generator of(Inference inference, Tokenizer tokenizer, LoadedModel loaded) throws IOException {
        return new Generator(Writer.of(inference, loaded), tokenizer);
    }

    static Generator of(LanguageModel<?> model, Tokenizer tokenizer, Set<Long> ends) {
        return new Generator(Writer.of(model, ends), tokenizer);
    }

    /**
     * Refuses a model whose encoder reads no text, so that none can be written about.
     *
     * @throws IllegalArgumentException if it is one
     */
    public static void requireTexts(LoadedModel loaded) {
        Writer.encoder(loaded);
    }

    /**
     * Refuses a model that does not write about sounds.
     *
     * @throws IllegalArgumentException if it is one
     */
    public static void requireSounds(LoadedModel loaded) {
        Writer.soundEncoder(loaded);
    }

    /**
     * The token that the text of a decoder beside an encoder begins with.
     *
     * @throws IOException if neither config.json nor generation_config.json says so
     */
    public static long start(LoadedModel loaded) throws IOException {
        return Constraints.Keys.of(loaded).start();
    }

    /**
     * The tokens of prompts, as {@link #generate} makes them; to know that all is well before a model's weights are loaded.
     *
     * @throws IllegalArgumentException if one has no token, or more than the context
     * @throws IOException if a config says that something else than tokens ends a text
     */
    public static List<long[]> tokens(List<String> prompts, Tokenizer tokenizer, BeginningToken beginning, LoadedModel loaded)
            throws IOException {
        EndOfText.of(loaded);
        return tokens(prompts, tokenizer, beginning, Writer.encoder(loaded).isPresent(), Writer.room(loaded));
    }

    private static List<long[]> tokens(List<String> prompts, Tokenizer tokenizer, BeginningToken beginning, boolean inputs, int room) throws IOException {
        List<long[]> all = new ArrayList<>();
        for (String prompt : prompts) {
            all.add(inputs && beginning != BeginningToken.NEVER ? tokenizer.framed(prompt) : tokenizer.prompt(prompt, beginning));
        }
        TokenGenerator.requireFitting(all, room);
        return all;
    }

    /**
     * What a model writes behind prompts, or about inputs, that are tokens already; without a tokenizer, so without stop strings.
     *
     * @throws IllegalArgumentException as {@link #generate} does
     */
    public static GeneratedTokens generateTokens(Inference inference, LoadedModel loaded, List<long[]> read, Options options) throws IOException {
        return Writer.of(inference, loaded).write(read, options, (_, _) -> true);
    }

    /**
     * What a model with an encoder of sounds, Whisper for instance, writes about each, as tokens.
     *
     * @param sounds as the model reads them: features that its feature extractor made
     * @param behind the tokens behind the one that a decoder's text begins with, such as a language and a task
     * @throws IllegalArgumentException if the model reads no sounds, or others
     */
    public static GeneratedTokens generateAbout(Inference inference, LoadedModel loaded, Batch.Sounds sounds, long[] behind, Options options) throws IOException {
        return Writer.aboutSounds(inference, loaded).write(sounds, behind, options, (_, _) -> true);
    }

    /** The same as texts, in which special tokens are not. */
    public static Generated generateAbout(
            Inference inference, LoadedModel loaded, Tokenizer tokenizer, Batch.Sounds sounds, long[] behind, Options options, Listener listener) throws IOException {
        List<long[]> prompts = IntStream.range(0, sounds.count()).mapToObj(_ -> behind).toList();
        return texts(tokenizer, prompts, options, listener, heard -> Writer.aboutSounds(inference, loaded).write(sounds, behind, options, heard));
    }

    /**
     * Continues each prompt.
     *
     * @throws IllegalArgumentException if a prompt has no token or more than the context, if the model does not predict tokens, or its
     *     logits are not finite
     */
    public Generated generate(List<String> prompts, Options options, Listener listener) throws IOException {
        List<long[]> read = tokens(prompts, tokenizer, options.beginning(), writer.beside().isPresent(), writer.room());
        return texts(tokenizer, read, options, listener, heard -> writer.write(read, options, heard));
    }

    /** What gives tokens to who hears them. */
    @FunctionalInterface
    private interface Writing {
        GeneratedTokens heardBy(TokenListener listener) throws IOException;
    }

    private static Generated texts(Tokenizer tokenizer, List<long[]> read, Options options, Listener listener, Writing writing) throws IOException {
        List<Text> texts = new ArrayList<>();
        for (int row = 0; row < read.size(); row++) {
            int number = row;
            texts.add(new Text(Decoding.behind(tokenizer, read.get(row)), new StopStrings(options.stops()),
                    piece -> listener.text(number, piece)));
        }
        GeneratedTokens tokens = writing.heardBy(new TokenListener() {
            @Override
            public boolean token(int row, long id) throws IOException {
                return texts.get(row).add(id);
            }

            @Override
            public void ended(int row, Ending ending) throws IOException {
                texts.get(row).end();
            }
        });
        List<GeneratedTokens.Row> rows = new ArrayList<>();
        for (int row = 0; row < texts.size(); row++) {
            GeneratedTokens.Row ended = tokens.rows().get(row);
            rows.add(texts.get(row).stops.stopped() ? new GeneratedTokens.Row(ended.prompt(), ended.ids(), Ending.STOP_STRING) : ended);
        }
        return new Generated(texts.stream().map(Text::written).toList(),
                new GeneratedTokens(rows, tokens.reading(), tokens.writing()));
    }

    /** Where a piece of one row goes. */
    @FunctionalInterface
    private interface Out {
        void write(String piece) throws IOException;
    }

    /** The text of one row, on its way out. */
    private static final class Text {

        private final Decoding decoding;
        private final StopStrings stops;
        private final Out out;
        private final StringBuilder written = new StringBuilder();

        Text(Decoding decoding, StopStrings stops, Out out) {
            this.decoding = decoding;
            this.stops = stops;
            this.out = out;
        }

        /** Whether the text goes on behind this token. */
        boolean add(long id) throws IOException {
            write(stops.add(decoding.add(id)));
            return !stops.stopped();
        }

        void end() throws IOException {
            if (!stops.stopped()) {
                write(stops.add(decoding.end()));
            }
            if (!stops.stopped()) {
                write(stops.end());
            }
        }

        private void write(String piece) throws IOException {
            if (!piece.isEmpty()) {
                written.append(piece);
                out.write(piece);
            }
        }

        String written() {
            return written.toString();
        }
    }
}
