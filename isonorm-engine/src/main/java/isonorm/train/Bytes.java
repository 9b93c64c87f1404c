package isonorm.train;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.Optional;
import java.util.zip.GZIPInputStream;

/** Text whose tokens are its bytes, and a tokenizer.json that says so: 256 of them, and one that ends a text. */
final class Bytes {

    static final int VOCABULARY = 257;
    static final int END_OF_TEXT = 256;

    private static final double VALIDATION = 0.05;

    private Bytes() {}

    /** The plays of Shakespeare that come with Isonorm, a megabyte; the last twentieth is for validation. */
    static Windows shakespeare(int length, long seed) throws IOException {
        try (InputStream packed = Bytes.class.getResourceAsStream("shakespeare.txt.gz"); InputStream text = new GZIPInputStream(packed)) {
            byte[] bytes = text.readAllBytes();
            int training = (int) (bytes.length * (1 - VALIDATION));
            return new Windows(
                    new Windows.Row(training, place -> bytes[(int) place] & 0xff),
                    new Windows.Row(bytes.length - training, place -> bytes[training + (int) place] & 0xff),
                    length, VOCABULARY, seed, Optional.of(tokenizer().getBytes(StandardCharsets.UTF_8)));
        }
    }

    /** A byte pair encoding without pairs, in the alphabet that GPT-2 writes bytes in. */
    static String tokenizer() throws IOException {
        ObjectMapper mapper = new ObjectMapper();
        ObjectNode json = mapper.createObjectNode();
        json.put("version", "1.0");
        json.putNull("truncation");
        json.putNull("padding");
        json.putArray("added_tokens").addObject().put("id", END_OF_TEXT).put("content", "<|endoftext|>").put("single_word", false)
                .put("lstrip", false).put("rstrip", false).put("normalized", false).put("special", true);
        json.putNull("normalizer");
        json.putObject("pre_tokenizer").put("type", "ByteLevel").put("add_prefix_space", false).put("trim_offsets", true).put("use_regex", false);
        json.putNull("post_processor");
        json.putObject("decoder").put("type", "ByteLevel").put("add_prefix_space", true).put("trim_offsets", true).put("use_regex", true);
        ObjectNode model = json.putObject("model");
        model.put("type", "BPE").putNull("dropout").putNull("unk_token").putNull("continuing_subword_prefix").putNull("end_of_word_suffix")
                .put("fuse_unk", false).put("byte_fallback", false).put("ignore_merges", false);
        ObjectNode vocabulary = model.putObject("vocab");
        int moved = 0;
        for (int value = 0; value < 256; value++) {
            boolean printed = value >= '!' && value <= '~' || value >= 0xa1 && value <= 0xac || value >= 0xae;
            vocabulary.put(Character.toString(printed ? value : 256 + moved), value);
            moved += printed ? 0 : 1;
        }
        model.putArray("merges");
        return mapper.writeValueAsString(json);
    }
}
