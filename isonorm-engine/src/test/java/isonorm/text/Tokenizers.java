package isonorm.text;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** Tokenizers of each kind that decoding must get right. */
public final class Tokenizers {

    private Tokenizers() {}

    /** Byte-level BPE, as GPT-2 and Llama 3 have it: a token may hold a part of a character. */
    public static Tokenizer bytes() throws IOException {
        return Tokenizer.open(Path.of("..", "examples", "shakespeare-gpt2", "tokenizer.json"));
    }

    /** As Llama 2's: a space in front of every text, which decoding drops; bytes where there is no token for a character. */
    public static Tokenizer llama(Path folder) throws IOException {
        return open(folder, """
                {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, %s]}""".formatted(REPLACE), "null", """
                {"type": "Sequence", "decoders": [%s, {"type": "ByteFallback"}, {"type": "Fuse"},
                                                  {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}""".formatted(RETURN));
    }

    /** As Gemma's: spaces as they are. */
    public static Tokenizer gemma(Path folder) throws IOException {
        return open(folder, REPLACE, "null", """
                {"type": "Sequence", "decoders": [%s, {"type": "ByteFallback"}, {"type": "Fuse"}]}""".formatted(RETURN));
    }

    /** As Llama 2's in newer files; without its bytes, which this decoder leaves as they are. */
    public static Tokenizer metaspace(Path folder) throws IOException {
        String metaspace = "{\"type\": \"Metaspace\", \"replacement\": \"▁\", \"prepend_scheme\": \"always\", \"split\": false}";
        return open(folder, "null", metaspace, metaspace);
    }

    private static final String REPLACE = "{\"type\": \"Replace\", \"pattern\": {\"String\": \" \"}, \"content\": \"▁\"}";
    private static final String RETURN = "{\"type\": \"Replace\", \"pattern\": {\"String\": \"▁\"}, \"content\": \" \"}";

    private static Tokenizer open(Path folder, String normalizer, String splitter, String decoder) throws IOException {
        StringBuilder vocabulary = new StringBuilder("\"<unk>\": 0, \"<s>\": 1, \"</s>\": 2");
        for (int i = 0; i < 256; i++) {
            vocabulary.append(String.format(", \"<0x%02X>\": %d", i, 3 + i));
        }
        int id = 259;
        for (String piece : List.of("▁", "a", "b", "H", "i", "!", ",", "▁H", "▁Hi", "▁a", "▁b", "▁▁", "é")) {
            vocabulary.append(", \"").append(piece).append("\": ").append(id++);
        }
        Path file = folder.resolve("tokenizer-" + Integer.toHexString(decoder.hashCode()) + ".json");
        return Tokenizer.open(Files.writeString(file, """
                {"version": "1.0", "truncation": null, "padding": null,
                 "added_tokens": [%s, %s, %s],
                 "normalizer": %s, "pre_tokenizer": %s, "decoder": %s,
                 "post_processor": {"type": "TemplateProcessing",
                   "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                   "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
                   "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}},
                 "model": {"type": "BPE", "unk_token": "<unk>", "fuse_unk": true, "byte_fallback": true, "vocab": {%s},
                   "merges": ["▁ H", "▁H i", "▁ a", "▁ b", "▁ ▁"]}}
                """.formatted(special(0, "<unk>"), special(1, "<s>"), special(2, "</s>"), normalizer, splitter, decoder, vocabulary)));
    }

    private static String special(int id, String content) {
        return String.format("{\"id\": %d, \"content\": \"%s\", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, "
                + "\"normalized\": false, \"special\": true}", id, content);
    }
}
