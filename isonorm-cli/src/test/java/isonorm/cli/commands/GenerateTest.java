package isonorm.cli.commands;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import isonorm.cli.Main;
import isonorm.cli.Run;
import isonorm.cli.terminal.Console;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** {@code isonorm generate} on a GPT-2 trained by PyTorch, whose texts are transformers' own, and on what it refuses. */
class GenerateTest {

    private static final Path EXAMPLE = Run.HOME.resolve("isonorm-cli/src/test/resources/shakespeare-gpt2-by-pytorch");

    /** What transformers' {@code generate(max_new_tokens=20, do_sample=False)} gives, in float32. */
    private static final String ROMEO = "\nI'll believe me, and I'll believe my busin";

    private static final String LIGHT = "'d,\nAnd in the body of the chamber,\nAnd in the";

    /** The same with {@code repetition_penalty=1.3}. */
    private static final String PENALIZED = "\nI'll believe me, and I am back to see.\n\nKING";

    @TempDir
    Path folder;

    @Test
    void greedyTextIsThatOfTransformers() {
        Run run = generate("--prompt", "ROMEO:", "--max-tokens", 20).ended(0);
        assertEquals(ROMEO + System.lineSeparator(), run.out());
        assertTrue(run.err().matches("prompt 2 tokens in [\\d.,]+ s; generated 20 tokens, [\\d.,]+ tokens/s\\R"), run.err());
        run = generate("--prompt", "ROMEO:", "--max-tokens", 20, "--repetition-penalty", 1.3, "--echo", "--quiet").ended(0);
        assertEquals("ROMEO:" + PENALIZED + System.lineSeparator(), run.out());
        assertEquals("", run.err());
    }

    @Test
    void aBatchGivesWhatEachPromptAloneGives() throws IOException {
        Object[] arguments = {"--prompt", "ROMEO:", "--prompt", "What light through yonder window", "--max-tokens", 20, "--json"};
        JsonNode json = generate(arguments).ended(0).json();
        assertEquals(ROMEO, json.at("/rows/0/text").asText());
        assertEquals(LIGHT, json.at("/rows/1/text").asText());
        assertEquals("length", json.at("/rows/1/ending").asText());
        assertEquals(20, json.at("/rows/1/ids").size());
        assertEquals(40, json.path("generated_tokens").asInt());
        assertEquals("f32", json.path("compute").asText());
        arguments[arguments.length - 1] = "--echo";
        String out = generate(arguments).ended(0).out();
        assertTrue(out.contains("1: ROMEO:" + System.lineSeparator() + "ROMEO:" + ROMEO + System.lineSeparator()), out);
        assertTrue(out.contains("window" + LIGHT + System.lineSeparator()), out);
    }

    @ParameterizedTest
    @ValueSource(strings = {"pre-rmsnorm", "pre-crmsnorm", "centred"})
    void everyFormContinuesAsTheOriginal(String form) {
        Path converted = folder.resolve(form);
        Run.of("convert", EXAMPLE, converted, "--to", form, "--no-verify", "--quiet").ended(0);
        assertEquals(ROMEO + System.lineSeparator(), Run.of("generate", converted, "--prompt", "ROMEO:", "--max-tokens", 20).ended(0).out());
    }

    @Test
    void aSeedDrawsTheSameAgain() {
        Object[] drawn = {"--prompt", "ROMEO:", "--max-tokens", 20, "--temperature", 1, "--top-k", 100, "--top-p", .95, "--min-p", .01,
            "--threads", 1, "--seed", 5};
        Run once = generate(drawn).ended(0);
        assertTrue(once.err().contains("; seed 5"), once.err());
        assertEquals(once.out(), generate(drawn).ended(0).out());
        drawn[drawn.length - 1] = 6;
        assertNotEquals(once.out(), generate(drawn).ended(0).out());
    }

    @Test
    void whereATextEnds() throws IOException {
        Path prompt = Files.writeString(folder.resolve("prompt.txt"), "ROMEO:\n"); // as editors end files
        JsonNode stopped = generate("--prompt-file", prompt, "--stop", ", and", "--stop", "zzz", "--json").ended(0).json();
        assertEquals("\nI'll believe me", stopped.at("/rows/0/text").asText());
        assertEquals("stop_string", stopped.at("/rows/0/ending").asText());
        assertEquals("ROMEO:", stopped.at("/rows/0/prompt").asText());
        Run full = generate("--prompt", "a".repeat(250), "--max-tokens", 1000).ended(0);
        assertTrue(full.err().contains("generated 7 tokens") && full.err().contains("; the context is full"), full.err());
    }

    @Test
    void aTextThatEndsAtOnceIsEmpty() throws IOException {
        Path ending = folder.resolve("ending");
        Files.createDirectory(ending);
        for (String file : Run.names(EXAMPLE)) {
            Files.copy(EXAMPLE.resolve(file), ending.resolve(file));
        }
        int first = generate("--prompt", "ROMEO:", "--max-tokens", 1, "--json").ended(0).json().at("/rows/0/ids/0").asInt();
        Files.writeString(ending.resolve("generation_config.json"), "{\"eos_token_id\": [5, " + first + "]}");
        Run run = Run.of("generate", ending, "--prompt", "ROMEO:", "--max-tokens", 5, "--echo").ended(0);
        assertEquals("ROMEO:" + System.lineSeparator(), run.out());
        run = Run.of("generate", ending, "--prompt", "ROMEO:", "--max-tokens", 20, "--ignore-end").ended(0);
        assertEquals(ROMEO + System.lineSeparator(), run.out());
    }

    /** As behind {@code | head -c 10}: no more is generated and nothing is said. */
    @Test
    void aClosedPipeEndsQuietly() {
        ByteArrayOutputStream taken = new ByteArrayOutputStream();
        OutputStream pipe = new OutputStream() {
            @Override
            public void write(int b) throws IOException {
                if (taken.size() == 10) {
                    throw new IOException("Broken pipe");
                }
                taken.write(b);
            }
        };
        ByteArrayOutputStream err = new ByteArrayOutputStream();
        Console console = new Console(new PrintStream(pipe, false, StandardCharsets.UTF_8), new PrintStream(err, true, StandardCharsets.UTF_8), false, false);
        assertEquals(1, Main.run(console, "generate", EXAMPLE.toString(), "--prompt", "ROMEO:", "--max-tokens", "200"));
        assertEquals(ROMEO.substring(0, 10), taken.toString(StandardCharsets.UTF_8));
        assertEquals("", err.toString(StandardCharsets.UTF_8));
    }

    @Test
    void anEncoderDecoderWritesAboutTokens() throws IOException {
        Path bart = Run.fixture("bart");
        JsonNode greedy = Run.of("generate", bart, "--input-tokens", "5,3,11,40", "--max-tokens", 8, "--json").ended(0).json();
        assertEquals(8, greedy.at("/rows/0/ids").size());
        assertEquals(2, greedy.at("/rows/0/ids/7").asInt()); // forced_eos_token_id
        assertEquals(4, greedy.at("/rows/0/prompt_tokens").asInt());
        Run beams = Run.of("generate", bart, "--input-tokens", "5,3,11,40", "--input-tokens", "7", "--max-tokens", 8, "--beams", 3, "--first-token", 9, "--quiet").ended(0);
        List<String> lines = beams.out().lines().toList();
        assertEquals(2, lines.size());
        assertTrue(lines.stream().allMatch(line -> line.matches("9(,\\d+){1,7}")), beams.out());
    }

    private static void writeTokenizer(Path folder) throws IOException {
        String words = IntStream.range(1, 160).mapToObj(i -> "\"w" + i + "\": " + i).collect(Collectors.joining(", "));
        Files.writeString(folder.resolve("tokenizer.json"), """
                {"version": "1.0", "added_tokens": [], "normalizer": null, "pre_tokenizer": {"type": "Whitespace"},
                 "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "w1", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                   {"SpecialToken": {"id": "w2", "type_id": 0}}], "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
                   "special_tokens": {"w1": {"id": "w1", "ids": [1], "tokens": ["w1"]}, "w2": {"id": "w2", "ids": [2], "tokens": ["w2"]}}},
                 "decoder": null, "model": {"type": "WordLevel", "vocab": {"?": 0, %s}, "unk_token": "?"}}""".formatted(words));
    }

    @Test
    void anEncoderDecoderWritesAboutTexts() throws IOException {
        Path bart = Files.createDirectory(folder.resolve("bart"));
        for (String file : List.of("config.json", "generation_config.json", "model.safetensors")) {
            Files.copy(Run.fixture("bart").resolve(file), bart.resolve(file));
        }
        writeTokenizer(bart);
        for (List<Object> options : List.<List<Object>>of(List.of(), List.of("--beams", 4), List.of("--first-token", "w9"))) {
            List<Object> text = new ArrayList<>(List.of("generate", bart, "--input-text", "w5 w3 w11 w40", "--max-tokens", 8, "--json"));
            text.addAll(options);
            List<Object> tokens = new ArrayList<>(List.of("generate", bart, "--input-tokens", "1,5,3,11,40,2", "--max-tokens", 8, "--json"));
            tokens.addAll(options.equals(List.of("--first-token", "w9")) ? List.of("--first-token", "9") : options);
            assertEquals(Run.of(tokens.toArray()).ended(0).json().at("/rows/0/ids"), Run.of(text.toArray()).ended(0).json().at("/rows/0/ids"));
        }
        refused("give --input-text TEXT or --input-tokens ID,... in place of a prompt", bart, "--prompt", "w5");
        refused("give --prompt in place of --input-text", EXAMPLE, "--input-text", "To be");
        refused("--first-token must be one token's text or its id, got w9 w8, which is 2 tokens", bart, "--input-text", "w5", "--first-token", "w9 w8");
        refused("the encoder of this whisper model reads sounds", Run.fixture("whisper"), "--input-tokens", "5");
        assertTrue(Run.of("generate", bart, "--input-text", "w5", "--beams", 2, "--temperature", 1).ended(2).err().contains("draws nothing"));
        assertTrue(Run.of("generate", bart, "--input-tokens", "w5").ended(2).err().contains("ids with commas"));
    }

    @Test
    void anEncoderOfSoundsIsWrittenAboutFromAFile() throws IOException {
        for (String name : List.of("whisper", "speech_to_text")) {
            Path model = Run.fixture(name);
            List<Object> plain = List.of("generate", model, "--input-features", model.resolve("golden.safetensors"), "--max-tokens", 12, "--json");
            JsonNode rows = Run.of(plain.toArray()).ended(0).json().path("rows");
            assertEquals(2, rows.size());
            int checked = 0;
            for (JsonNode row : new ObjectMapper().readTree(model.resolveSibling("generations.json").toFile())) {
                if (row.path("fixture").asText().equals(name) && row.path("name").asText().equals("greedy")) {
                    assertEquals(row.path("ids"), rows.path(row.path("row").asInt()).path("ids"));
                    checked++;
                }
            }
            assertTrue(checked > 0);
            int first = rows.at("/0/ids/0").asInt();
            Run begun = Run.of("generate", model, "--input-features", model.resolve("golden.safetensors"), "--input-tokens", first, "--max-tokens", 11, "--quiet").ended(0);
            String rest = rows.at("/0/ids").toString().replaceAll("[\\[\\]]", "").replaceFirst("\\d+,", "");
            assertEquals(rest, begun.out().lines().toList().getFirst());
        }
        Path texts = Files.createDirectory(folder.resolve("texts"));
        for (String file : List.of("config.json", "generation_config.json", "model.safetensors", "golden.safetensors")) {
            Files.copy(Run.fixture("whisper").resolve(file), texts.resolve(file));
        }
        writeTokenizer(texts);
        Run about = Run.of("generate", texts, "--input-features", texts.resolve("golden.safetensors"), "--max-tokens", 3, "--quiet").ended(0);
        assertEquals(List.of("w132 w132 w132", "w55 w55 w55"), about.out().lines().toList());
        assertEquals(Run.of("generate", Run.fixture("whisper"), "--input-features", texts.resolve("golden.safetensors"), "--input-tokens", "5,9", "--max-tokens", 4, "--json")
                .ended(0).json().at("/rows/1/ids"), Run.of("generate", texts, "--input-features", texts.resolve("golden.safetensors"), "--prompt", "w5 w9",
                "--max-tokens", 4, "--json").ended(0).json().at("/rows/1/ids"));
        Path whisper = Run.fixture("whisper");
        Path sounds = whisper.resolve("golden.safetensors");
        refused("with 20 lines for this model, got shape", Run.fixture("speech_to_text"), "--input-features", sounds);
        refused("has no input_features", whisper, "--input-features", Run.fixture("bart").resolve("golden.safetensors"));
        refused("this bart model is none", Run.fixture("bart"), "--input-features", sounds);
        refused("this whisper model is none", Run.fixture("whisper-base"), "--input-features", sounds);
        refused("has no tokenizer.json, which --prompt and --stop need", whisper, "--input-features", sounds, "--prompt", "a");
        assertTrue(Run.of("generate", whisper, "--input-features", sounds, "--input-text", "a").ended(2).err().contains("beside --input-features"));
    }

    @Test
    void whatItCannotDoIsOneLine() throws IOException {
        refused("the prompt must have a token to be continued, got none; give it some text", EXAMPLE, "--prompt", "");
        refused("the prompt must fit the model's context of 256 tokens, got 300; shorten it", EXAMPLE, "--prompt", "a".repeat(300));
        refused("prompt 2 must have a token", EXAMPLE, "--prompt", "a", "--prompt", "");
        refused("tokenizer.json does not exist; a text needs the model's tokenizer.json", Run.fixture("gpt2"), "--prompt", "a");
        refused("this bert model sees the tokens it would predict: take isonorm forward", Run.fixture("bert"), "--prompt", "a");
        refused("this gpt2 model gives hidden states", Run.fixture("gpt2-base"), "--prompt", "a");
        refused("this vit model reads images and gives scores", Run.fixture("vit"), "--prompt", "a");
        for (String way : List.of("--prompt", "--input-text")) {
            refused("this clip model is a tower of texts beside one of images and gives how near these are, and the vector of each: take isonorm forward or depth",
                    Run.fixture("clip"), way, "a");
            refused("this clip_vision_model model reads images and gives hidden states", Run.fixture("clip_vision"), way, "a");
            refused("this whisper model is an encoder beside a decoder, which has no head over words", Run.fixture("whisper-base"), way, "a");
        }
        refused("none.txt does not exist", EXAMPLE, "--prompt-file", folder.resolve("none.txt"));
        byte[] latin = "caf\u00e9".getBytes(StandardCharsets.ISO_8859_1);
        refused("latin.txt is not UTF-8: byte 3", EXAMPLE, "--prompt-file", Files.write(folder.resolve("latin.txt"), latin));
    }

    private static Run generate(Object... arguments) {
        List<Object> all = new ArrayList<>(List.of("generate", EXAMPLE));
        all.addAll(List.of(arguments));
        return Run.of(all.toArray());
    }

    private static void refused(String message, Object... arguments) {
        List<Object> all = new ArrayList<>(List.of("generate"));
        all.addAll(List.of(arguments));
        Run run = Run.of(all.toArray()).ended(1);
        assertEquals(1, run.errors().size(), run.err());
        assertEquals("", run.out());
        assertTrue(run.err().contains(message), run.err());
    }
}
