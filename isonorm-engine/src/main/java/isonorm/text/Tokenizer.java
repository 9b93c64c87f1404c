package isonorm.text;

import ai.djl.huggingface.tokenizers.jni.CharSpan;
import isonorm.checkpoint.Config;
import java.io.IOException;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.LongStream;
import org.jspecify.annotations.Nullable;

/** A model's tokenizer.json, which turns text into token ids and back. It neither cuts nor pads. */
public final class Tokenizer implements AutoCloseable {

    private static final String CONFIG = "tokenizer_config.json";

    /** Other forms of tokenizers, and what says which it is. */
    private static final List<String> OTHER_FILES = List.of("vocab.json", "merges.txt", "vocab.txt", "tokenizer.model", "spiece.model",
            "sentencepiece.bpe.model", "tekken.json", CONFIG);

    private final Path file;
    private final TokenizerJson json;
    private final NativeTokenizer tokenizer;

    /** For texts that a regex might search for too long, once there was one. */
    private @Nullable NativeTokenizer apart;

    private Tokenizer(Path file, TokenizerJson json, NativeTokenizer tokenizer) {
        this.file = file;
        this.json = json;
        this.tokenizer = tokenizer;
    }

    /**
     * Reads a tokenizer.json; close it. What is known to be harmless runs in this process; a file with anything else, such as a regex that may
     * search without end, is read by a process of its own, which may end and is given ten seconds for a text.
     *
     * @throws IOException if the file is missing, or no tokenizer that can be read
     */
    public static Tokenizer open(Path file) throws IOException {
        if (!Files.isRegularFile(file)) {
            throw new IOException(missing(file));
        }
        TokenizerJson json = TokenizerJson.read(file);
        try {
            return new Tokenizer(file, json, json.strange().isEmpty() ? OwnTokenizer.open(json.text()) : TokenizerProcess.open(json.text()));
        } catch (IOException e) {
            throw unreadable(file, json, e);
        }
    }

    /**
     * Why a text could not be read with this tokenizer.json, as far as can be said without native code; empty where it is there and is of a
     * tokenizer's form.
     */
    public static Optional<String> obstacle(Path file) {
        if (!Files.isRegularFile(file)) {
            return Optional.of(missing(file));
        }
        try {
            TokenizerJson.read(file);
            return Optional.empty();
        } catch (IOException e) {
            return Optional.of(String.valueOf(e.getMessage()));
        }
    }

    /** That there is no tokenizer.json, and how one is made of what there is. The other files alone do not say how texts are split. */
    private static String missing(Path file) {
        String said = file + (Files.exists(file) ? " is no plain file" : " does not exist") + "; a text needs the model's tokenizer.json";
        List<String> beside = OTHER_FILES.stream().filter(name -> Files.isRegularFile(file.resolveSibling(name))).toList();
        Path folder = file.getParent() == null ? Path.of(".") : file.getParent();
        return beside.isEmpty() ? said : said + ", which transformers makes of " + String.join(" and ", beside)
                + ": python -c \"from transformers import AutoTokenizer as A; A.from_pretrained('" + folder + "').save_pretrained('" + folder + "')\"";
    }

    /** What was said of a file that cannot be read, and what of it may be why. */
    private static IOException unreadable(Path file, TokenizerJson json, IOException e) {
        return e instanceof OwnTokenizer.NotLoaded ? e : new IOException(file + " is no tokenizer that can be read: " + e.getMessage()
                + json.strange().map(strange -> "; it has " + strange).orElse(""), e);
    }

    /** The tokens of a text and nothing else. */
    public Encoded encode(String text) throws IOException {
        return new Encoded(text, encoding(text, false));
    }

    /** The ids of a text and nothing else. */
    public long[] ids(String text) throws IOException {
        return encode(text).ids();
    }

    /** The ids of a text behind what the tokenizer of itself puts in front of one. */
    public long[] prompt(String text) throws IOException {
        return prompt(text, BeginningToken.AUTO);
    }

    /**
     * The ids of a text behind what begins it, which a text that begins so itself is not given twice.
     *
     * @throws IllegalArgumentException as {@link #beginning} does
     */
    public long[] prompt(String text, BeginningToken wanted) throws IOException {
        return begun(beginning(wanted), ids(text));
    }

    /** The ids of a text with all that the tokenizer of itself puts in front of one and behind it, as an encoder is given it. */
    public long[] framed(String text) throws IOException {
        return encoding(text, true).ids();
    }

    /**
     * The same of at most {@code most} tokens: what is around the text is kept, and the text is cut behind.
     *
     * @throws IllegalArgumentException if nothing of the text would be left
     */
    public long[] framed(String text, int most) throws IOException {
        NativeTokenizer.Pieces pieces = encoding(text, true);
        long[] ids = pieces.ids();
        if (ids.length <= most) {
            return ids;
        }
        int behind = 0;
        while (behind < ids.length && pieces.special()[ids.length - 1 - behind] == 1) {
            behind++;
        }
        int before = 0;
        while (before < ids.length && pieces.special()[before] == 1) {
            before++;
        }
        if (before + behind >= most) {
            throw new IllegalArgumentException("a text is put between " + (before + behind) + " tokens, so more of them must be read, got " + most);
        }
        return LongStream.concat(Arrays.stream(ids, 0, most - behind), Arrays.stream(ids, ids.length - behind, ids.length)).toArray();
    }

    /** Tokens behind those that begin a text, unless they begin so already. */
    public static long[] begun(long[] beginning, long... ids) {
        if (ids.length >= beginning.length && Arrays.equals(beginning, 0, beginning.length, ids, 0, beginning.length)) {
            return ids;
        }
        return LongStream.concat(Arrays.stream(beginning), Arrays.stream(ids)).toArray();
    }

    /**
     * The tokens in front of a text, one or none as a rule.
     *
     * @throws IOException if tokenizer_config.json cannot be read
     * @throws IllegalArgumentException if a token is wanted and the tokenizer has none that begins a text
     */
    public long[] beginning(BeginningToken wanted) throws IOException {
        if (wanted == BeginningToken.NEVER) {
            return new long[0];
        }
        Config config = config();
        long[] template = template();
        boolean adds = config.find("add_bos_token").map(Boolean.TRUE::equals).orElse(template.length > 0);
        if (!adds && wanted == BeginningToken.AUTO) {
            return new long[0];
        }
        return template.length > 0 ? template : named(config);
    }

    /** What the template of tokenizer.json has in front of a text. */
    private long[] template() throws IOException {
        NativeTokenizer.Pieces encoding = encoding("a", true);
        long[] special = encoding.special();
        int count = 0;
        while (count < special.length && special[count] == 1) {
            count++;
        }
        return count == special.length ? new long[0] : Arrays.copyOf(encoding.ids(), count);
    }

    /** The one token of {@code bos_token}. */
    private long[] named(Config config) throws IOException {
        Object token = config.find("bos_token").map(value -> value instanceof Map<?, ?> one ? one.get("content") : value).orElse(null);
        long[] ids = token instanceof String name ? ids(name) : new long[0];
        if (ids.length != 1) {
            throw new IllegalArgumentException(file + " has no token that begins a text: its template puts none in front, and bos_token of "
                    + CONFIG + " is " + (token == null ? "not given" : token) + "; do without (--bos never)");
        }
        return ids;
    }

    /** Of the file beside tokenizer.json; empty where there is none. */
    private Config config() throws IOException {
        Path beside = file.resolveSibling(CONFIG);
        if (!Files.isRegularFile(beside)) {
            return Config.of(Map.of());
        }
        try {
            return Config.parse(Files.readString(beside));
        } catch (IllegalArgumentException | CharacterCodingException e) {
            throw new IOException(beside + " is no JSON object that can be read", e);
        }
    }

    private NativeTokenizer.Pieces encoding(String text, boolean special) throws IOException {
        try {
            return tokenizerFor(text).encode(wellFormed(text), special);
        } catch (IOException e) {
            throw unreadable(file, json, e);
        }
    }

    private NativeTokenizer tokenizerFor(String text) throws IOException {
        return json.strange().isEmpty() && json.searches() && text.length() > HarmlessRegex.LONGEST_STRETCH && HarmlessRegex.hasLongStretch(text)
                ? apart()
                : tokenizer;
    }

    private synchronized NativeTokenizer apart() throws IOException {
        if (apart == null) {
            apart = TokenizerProcess.open(json.text());
        }
        return apart;
    }

    /** With U+FFFD for each half of a character, which native code can't be given. */
    private static String wellFormed(String text) {
        for (int i = 0; i < text.length(); i++) {
            if (Character.isSurrogate(text.charAt(i)) && !Character.isSupplementaryCodePoint(text.codePointAt(i))) {
                int[] points = text.codePoints().map(point -> point >= Character.MIN_SURROGATE && point <= Character.MAX_SURROGATE ? 0xfffd : point).toArray();
                return new String(points, 0, points.length);
            }
            i += Character.isSurrogate(text.charAt(i)) ? 1 : 0;
        }
        return text;
    }

    /** The text of tokens, without the special ones. Bytes that make no character come out as U+FFFD, unknown ids as nothing. */
    public String decode(long... ids) throws IOException {
        try {
            return tokenizer.decode(ids);
        } catch (IOException e) {
            throw unreadable(file, json, e);
        }
    }

    @Override
    public void close() {
        tokenizer.close();
        synchronized (this) {
            if (apart != null) {
                apart.close();
            }
        }
    }

    /** A text's tokens and where they stand in it. */
    public static final class Encoded {

        private final String text;
        private final NativeTokenizer.Pieces encoding;

        private Encoded(String text, NativeTokenizer.Pieces encoding) {
            this.text = text;
            this.encoding = encoding;
        }

        /** The tokens. */
        public long[] ids() {
            return encoding.ids();
        }

        /**
         * How many bytes of UTF-8 the tokens behind {@code first}, -1 for all from the beginning, up to and with {@code last}, stand for. A character that
         * several tokens share counts for the last of them, and what no token covers for the token behind it, or the very last.
         */
        public long bytes(int first, int last) {
            int from = first < 0 ? 0 : text.offsetByCodePoints(0, end(first));
            int to = last == ids().length - 1 ? text.length() : text.offsetByCodePoints(from, end(last) - (first < 0 ? 0 : end(first)));
            return text.substring(from, to).getBytes(StandardCharsets.UTF_8).length;
        }

        /** In code points, which the spans count. */
        private int end(int token) {
            CharSpan[] spans = encoding.spans();
            int end = spans[token].getEnd();
            return token + 1 < spans.length ? Math.min(end, spans[token + 1].getStart()) : end;
        }
    }
}
