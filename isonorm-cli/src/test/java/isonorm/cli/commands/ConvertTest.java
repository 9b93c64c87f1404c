package isonorm.cli.commands;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import isonorm.checkpoint.SafetensorsFile;
import isonorm.cli.Run;
import isonorm.layer.Tolerance;
import isonorm.weights.Fingerprint;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** {@code isonorm convert} and {@code isonorm verify}, end to end. */
class ConvertTest {

    @TempDir
    Path folder;

    @ParameterizedTest
    @CsvSource({"gpt2, centred, keep", "gpt2, pre-rmsnorm, keep", "gpt2, pre-crmsnorm, bf16", "gpt2-bf16, pre-crmsnorm, keep",
        "gpt2-f16, pre-rmsnorm, keep", "bert, rmsnorm, keep", "vit, pre-crmsnorm, f32", "gpt_neox-sharded, pre-crmsnorm, f16"})
    void convertsAndVerifies(String fixture, String form, String dtype) throws IOException {
        Path out = folder.resolve("out");
        JsonNode summary = Run.of("convert", Run.fixture(fixture), out, "--to", form, "--dtype", dtype, "--json").ended(0).json();
        JsonNode verification = summary.path("verification");
        List<JsonNode> rows = verification.path("comparisons").valueStream().toList();
        boolean rounds = dtype.endsWith("16") || dtype.equals("keep") && fixture.endsWith("16");
        assertEquals(rounds ? List.of("before rounding", "written", "original, rounded", "written", "original") : List.of("written", "written", "original"),
                rows.stream().map(row -> row.path("model").asText()).toList());
        JsonNode converted = rows.get(rounds ? 1 : 0);
        assertTrue(converted.path("largest_error").asDouble() <= verification.path("tolerance").asDouble());
        if (rounds) {
            assertTrue(rows.getFirst().path("largest_error").asDouble() <= Tolerance.REWRITTEN_F64);
            assertTrue(converted.path("largest_error").asDouble() > 1e-5, "16 bits must show");
        }
        assertEquals(Fingerprint.sha256(out.resolve("model.safetensors")), summary.path("result_files").path(0).path("sha256").asText());
        assertTrue(Run.names(out).containsAll(List.of("config.json", "model.safetensors", "report.json")));
        assertEquals(List.of("out"), Run.names(folder));

        JsonNode equality = Run.of("verify", Run.fixture(fixture), out, "--json").ended(0).json();
        assertEquals(converted.path("largest_error").asDouble(), equality.path("largest_error").asDouble());
    }

    @Test
    void aDamagedFileIsDifferentAndTheTensorIsNamed() throws IOException {
        Path out = folder.resolve("out");
        Run converted = Run.of("convert", Run.fixture("gpt2"), out, "--to", "pre-rmsnorm", "--dtype", "bf16").ended(0);
        assertTrue(converted.out().contains("Verified equal up to bf16 rounding: as far from the original as its own rounding to bf16 (x "), converted.out());
        assertTrue(converted.out().contains("original, rounded "), converted.out());
        Run equal = Run.of("verify", Run.fixture("gpt2"), out).ended(0);
        assertTrue(equal.out().startsWith("Equal up to bf16 rounding: as far from the original as its own rounding to bf16 (x "), equal.out());
        assertTrue(equal.out().contains("each of its values is the rounding of what A gives"), equal.out());
        assertTrue(equal.out().contains("original, rounded "), equal.out());
        byte[] bytes = Files.readAllBytes(out.resolve("model.safetensors"));
        SafetensorsFile file = SafetensorsFile.open(out.resolve("model.safetensors"));
        int length = (int) file.tensors().get("blocks.1.mlp.down.weight").bytes();
        int begin = new String(bytes, StandardCharsets.ISO_8859_1).indexOf("\"blocks.1.mlp.down.weight\":");
        int header = (int) ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).getLong();
        String offsets = new String(bytes, begin, 300, StandardCharsets.ISO_8859_1).split("data_offsets\":\\[")[1].split(",")[0];
        int at = 8 + header + Integer.parseInt(offsets);
        Arrays.fill(bytes, at, at + length, (byte) 0);
        Files.write(out.resolve("model.safetensors"), bytes);
        Run run = Run.of("verify", Run.fixture("gpt2"), out).ended(1);
        assertTrue(run.out().startsWith("Different: "), run.out());
        assertTrue(run.out().contains("Tensor blocks.1.mlp.down.weight is not the rounding of what A gives: "), run.out());
        assertTrue(run.out().contains("behind block 1"), run.out());
        JsonNode json = Run.of("verify", Run.fixture("gpt2"), out, "--json").ended(1).json();
        assertEquals("blocks.1.mlp.down.weight", json.path("deviations").path(0).path("tensor").asText());
        assertTrue(json.path("rms_error").asDouble() > 3 * json.path("original_rounded").path("rms_error").asDouble(), json.toString());
        Run.of("verify", Run.fixture("gpt2"), out, "--tolerance", "10").ended(0);
    }

    @Test
    void theWayBackIsEqualToo() {
        Path there = folder.resolve("there");
        Path back = folder.resolve("back");
        Run.of("convert", Run.fixture("gpt2"), there, "--to", "pre-crmsnorm", "--no-verify").ended(0);
        Run.of("convert", there, back, "--to", "pre-ln", "--no-verify").ended(0);
        String shown = Run.of("verify", Run.fixture("gpt2"), back).ended(0).out();
        assertTrue(shown.startsWith("Equal: logits at "), shown);
    }

    @Test
    void theTableSaysWhatWasDone() {
        Run run = Run.of("convert", Run.fixture("gpt2"), folder.resolve("out"), "--to", "pre-crmsnorm").ended(0);
        assertEquals("", run.err());
        String shown = run.out().replaceAll("\\s+", " ");
        for (String part : List.of("parameters before", "parameters after", "tensors ", "subtracted the last column", "sha256 ",
                "Verified equal: logits", "largest error", "written", "original")) {
            assertTrue(shown.contains(part), run.out());
        }
    }

    @Test
    void aRefusalGivesEveryReasonAndWritesNothing() throws IOException {
        Run run = Run.of("convert", Run.fixture("olmo2"), folder.resolve("out"), "--to", "pre-rmsnorm", "--json").ended(1);
        assertEquals("isonorm: cannot convert " + Run.fixture("olmo2") + " to pre-rmsnorm:", run.errors().getFirst());
        assertTrue(run.errors().size() > 2, run.err());
        assertTrue(run.errors().stream().skip(1).allMatch(line -> line.startsWith("  - ")), run.err());
        assertEquals(run.errors().size() - 1, run.json().path("refused").size());
        assertEquals(List.of(), Run.names(folder));
    }

    @Test
    void aRotatedModelIsVerifiedAndMadeAgain() throws IOException {
        Path out = folder.resolve("out");
        JsonNode summary = Run.of("convert", Run.fixture("gpt2"), out, "--to", "pre-rmsnorm", "--rotate", "random", "--seed", "7", "--width", "47", "--json").ended(0).json();
        assertEquals("{\"kind\":\"random\",\"seed\":7,\"width\":47}", summary.path("rotation").toString());
        assertTrue(summary.path("verification").path("output_deviation").asDouble() > 0);
        assertTrue(summary.path("work").toString().contains("rotated each column to 47 of 48 values"), summary.toString());
        assertTrue(Run.of("verify", Run.fixture("gpt2"), out, "--json").ended(0).json().path("as_made_from_a").asBoolean());
        String info = Run.of("info", out).ended(0).out().replaceAll("\\s+", " ");
        assertTrue(info.contains("random, seed 7") && info.contains("convert the checkpoint it came from"), info);
        Run again = Run.of("convert", out, folder.resolve("no"), "--to", "pre-ln").ended(1);
        assertTrue(again.err().contains("its stream is rotated (random, seed 7)"), again.err());
        Run post = Run.of("convert", Run.fixture("bert"), folder.resolve("no"), "--to", "pre-rmsnorm", "--rotate", "hadamard").ended(1);
        assertEquals("isonorm: cannot convert " + Run.fixture("bert") + " to pre-rmsnorm, rotated:", post.errors().getFirst());
    }

    @Test
    void whatIsWrongWithARotationIsOneClearLine() throws IOException {
        for (String[] wrong : new String[][] {{"--rotate", "random", "--width", "0"}, {"--seed", "3"}, {"--width", "40"}, {"--rotate", "twisted"},
            {"--pad", "64"}, {"--rotate-heads"}, {"--rotate", "random", "--width", "47", "--pad", "46"},
            {"--rotate", "principal"}, {"--rotate", "principal", "--width", "40", "--data", "a.txt", "--seed", "1"}, {"--rotate", "random", "--data", "a.txt"},
            {"--data", "a.txt"}}) {
            List<String> arguments = new ArrayList<>(List.of("convert", Run.fixture("gpt2").toString(), folder.resolve("out").toString(), "--to", "pre-rmsnorm"));
            arguments.addAll(List.of(wrong));
            assertEquals(1, Run.of(arguments.toArray()).ended(2).errors().stream().filter(line -> line.startsWith("isonorm:")).count());
        }
        Run.of("convert", Run.fixture("gpt2"), folder.resolve("out"), "--to", "centred", "--rotate", "random").ended(2);
        for (int width : List.of(46, 49)) {
            Run refused = Run.of("convert", Run.fixture("gpt2"), folder.resolve("out"), "--to", "pre-rmsnorm", "--rotate", "random", "--width", width).ended(1);
            assertEquals(2, refused.errors().size(), refused.err());
        }
        assertEquals(List.of(), Run.names(folder));
    }

    @Test
    void aRotatedModelIsWrittenAsTheFamilyThatHasAPlaceForItsWidth() throws IOException {
        String[] rotation = {"--rotate", "random", "--width", "47", "--rotate-heads"};
        List<String> arguments = new ArrayList<>(List.of("convert", Run.fixture("olmo").toString(), folder.resolve("out").toString(), "--as", "auto"));
        arguments.addAll(List.of(rotation));
        Run.of(arguments.toArray()).ended(0);
        assertTrue(Files.readString(folder.resolve("out/config.json")).contains("\"ernie4_5_moe\""));
        arguments.set(4, "llama");
        assertTrue(Run.of(arguments.toArray()).ended(1).err().contains("whose 4 heads must divide it; the nearest that they do are 44"));
        arguments.addAll(List.of("--pad", "48", "--overwrite"));
        Run padded = Run.of(arguments.toArray()).ended(0);
        assertTrue(padded.out().contains("(olmo, llama, rotated: random, seed 0, width 47 of 48)"), padded.out());
        assertTrue(Run.of("verify", Run.fixture("olmo"), folder.resolve("out")).ended(0).out().contains("each of its values is the rounding of what A gives"));
    }

    @Test
    void aSliceShowsWhatIsLeftAndWhatThatDoes() throws IOException {
        Path example = Run.HOME.resolve("examples/shakespeare-gpt2");
        Path text = Run.HOME.resolve("examples/tinyshakespeare-heldout.txt");
        Run run = Run.of("convert", example, folder.resolve("out"), "--to", "pre-rmsnorm", "--rotate", "principal", "--width", "112", "--data", text, "--tokens", "4096", "--json").ended(0);
        JsonNode slice = run.json().path("slice");
        assertEquals(9, slice.path("kept_by_block").size());
        assertEquals("[96,128]", slice.path("fast_widths").toString());
        double before = slice.path("perplexity_before").asDouble();
        assertTrue(Math.abs(slice.path("perplexity_after").asDouble() / before - 1) < .1, slice.toString());
        assertTrue(run.json().path("verification").path("output_deviation").asDouble() > 0);
        Run judged = Run.of("verify", example, folder.resolve("out"), "--text", text, "--tokens", "1024").ended(1);
        assertTrue(judged.out().contains("B is a slice: of 128 values of A's stream it has 112."), judged.out());
        Run other = Run.of("convert", Run.fixture("gpt2"), folder.resolve("no"), "--to", "pre-rmsnorm", "--rotate", "principal", "--width", "40", "--data", text).ended(1);
        assertEquals(1, other.errors().size(), other.err()); // there is no tokenizer
        Run images = Run.of("convert", Run.fixture("vit"), folder.resolve("no"), "--to", "pre-rmsnorm", "--rotate", "principal", "--width", "40", "--data", text).ended(1);
        assertEquals(1, images.errors().size(), images.err());
        assertEquals(List.of("out"), Run.names(folder));
    }

    /** A basis for each sub-layer keeps more of what each reads than one for all, and has a product on each skip. */
    @Test
    void aBasisForEachSubLayerIsComparedWithOne() throws IOException {
        Path example = Run.HOME.resolve("examples/shakespeare-gpt2");
        Path text = Run.HOME.resolve("examples/tinyshakespeare-heldout.txt");
        List<Object> arguments = new ArrayList<>(List.of("convert", example, folder.resolve("one"), "--to", "pre-rmsnorm", "--rotate", "principal", "--width", "80", "--data", text,
                "--tokens", "1024", "--no-verify", "--json"));
        JsonNode one = Run.of(arguments.toArray()).ended(0).json();
        arguments.set(2, folder.resolve("several"));
        arguments.addAll(List.of("--basis", "per-block"));
        JsonNode several = Run.of(arguments.toArray()).ended(0).json();
        for (int block = 1; block < 9; block++) { // before block 0 there is the embedding alone, of which all take a little
            assertTrue(several.at("/slice/kept_by_block/" + block).asDouble() > one.at("/slice/kept_by_block/" + block).asDouble() - .02, several.toString());
        }
        JsonNode bases = several.at("/slice/bases");
        assertEquals("[none, the source, one, per-block]", bases.valueStream().map(row -> row.path("basis").asText()).toList().toString());
        assertEquals(one.path("parameters_after").asLong(), bases.at("/1/parameters").asLong());
        assertEquals(one.path("parameters_after").asLong() + 8 * 2 * 80 * 80, bases.at("/2/parameters").asLong());
        assertEquals(one.at("/slice/perplexity_after").asDouble(), bases.at("/1/perplexity").asDouble(), 1e-6);
        assertEquals(several.at("/slice/perplexity_after").asDouble(), bases.at("/2/perplexity").asDouble(), 1e-6);
        assertEquals(1, bases.at("/2/perplexity").asDouble() / bases.at("/0/perplexity").asDouble(), .1);
        assertTrue(bases.valueStream().allMatch(row -> row.path("tokens_per_second").asDouble() > 0));
        assertTrue(Files.readString(folder.resolve("several/config.json")).contains("\"per-block\""));
        Run depth = Run.of("depth", folder.resolve("several"), "--text", text).ended(1);
        assertTrue(depth.err().contains("goes from basis to basis"), depth.err());
        Run back = Run.of("convert", folder.resolve("several"), folder.resolve("no"), "--to", "pre-ln").ended(1);
        assertTrue(back.err().contains("its stream is rotated (principal, a basis for each sub-layer)"), back.err());
        Run drawn = Run.of("convert", example, folder.resolve("no"), "--to", "pre-rmsnorm", "--rotate", "random", "--basis", "per-block").ended(2);
        assertTrue(drawn.err().contains("--basis is of --rotate principal"), drawn.err());
        assertEquals(List.of("one", "several"), Run.names(folder));
    }

    @Test
    void aSliceOfAModelOfImagesIsMeasuredByItsLogits() throws IOException {
        SplittableRandom random = new SplittableRandom(3);
        for (int i = 0; i < 12; i++) {
            BufferedImage image = new BufferedImage(40, 40, BufferedImage.TYPE_INT_RGB);
            for (int p = 0; p < 1600; p++) {
                image.setRGB(p % 40, p / 40, random.nextInt(1 << 24));
            }
            Path of = Files.createDirectories(folder.resolve("images").resolve(i < 6 ? "one" : "two"));
            ImageIO.write(image, "png", of.resolve(i + ".png").toFile());
        }
        Run run = Run.of("convert", Run.fixture("vit"), folder.resolve("out"), "--to", "pre-rmsnorm", "--rotate", "principal", "--width", "32", "--data", folder.resolve("images"),
                "--json").ended(0);
        JsonNode slice = run.json().path("slice");
        assertTrue(slice.path("kl").asDouble() > 1e-9 && slice.path("top1_agreement").isNumber(), slice.toString());
        assertEquals(slice.path("held_images").asInt(), slice.path("positions").asInt());
        Run none = Run.of("convert", Run.fixture("vit"), folder.resolve("no"), "--to", "pre-rmsnorm", "--rotate", "principal", "--data", folder.resolve("images/one")).ended(1);
        assertEquals(1, none.errors().size(), none.err()); // no folders in it
    }

    /** Between its two renames, which takes no time at all, a replacement has nothing under the name. */
    @Test
    void whatAKilledReplacementLeftIsPutBackAndSaid() throws IOException {
        Path out = folder.resolve("out");
        Run.of("convert", Run.fixture("gpt2"), out, "--to", "pre-rmsnorm", "--no-verify", "--quiet").ended(0);
        Path left = Files.move(out, folder.resolve(".out.old-0123456789ab"));
        assertTrue(Run.of("info", out).ended(1).err().contains(out + " does not exist; " + left + " is what it was before a replacement that was killed"));
        Run again = Run.of("convert", Run.fixture("gpt2"), out, "--to", "pre-crmsnorm", "--no-verify", "--quiet").ended(1);
        assertTrue(again.err().contains("note: a replacement of " + out + " was killed; what was there, and lay in " + left + ", is there again"), again.err());
        assertTrue(again.err().contains("--overwrite"), again.err());
        assertTrue(Run.of("info", out).ended(0).out().contains("pre-rmsnorm"));
        assertFalse(Files.exists(left));
    }

    @Test
    void onlyACheckpointIsOverwrittenAndOnlyWhenAsked() throws IOException {
        Path out = folder.resolve("out");
        Run.of("convert", Run.fixture("gpt2"), out, "--to", "centred", "--no-verify").ended(0);
        byte[] before = Files.readAllBytes(out.resolve("model.safetensors"));
        Run refused = Run.of("convert", Run.fixture("gpt2"), out, "--to", "pre-rmsnorm", "--no-verify").ended(1);
        assertTrue(refused.err().contains("--overwrite"), refused.err());
        assertArrayEquals(before, Files.readAllBytes(out.resolve("model.safetensors")));
        Run.of("convert", Run.fixture("gpt2"), out, "--to", "pre-rmsnorm", "--no-verify", "--overwrite").ended(0);
        assertTrue(Files.readString(out.resolve("config.json")).contains("\"isonorm\""), "the config is the new form's");
        assertEquals(List.of("out"), Run.names(folder));
    }

    @Test
    void differentModelsAreToldApart() {
        Run run = Run.of("verify", Run.fixture("gpt2"), Run.fixture("gpt2-untied")).ended(1);
        assertTrue(run.out().startsWith("Different: "), run.out() + run.err());
        Run incomparable = Run.of("verify", Run.fixture("gpt2"), Run.fixture("vit")).ended(1);
        assertEquals(1, incomparable.errors().size(), incomparable.err());
        assertTrue(incomparable.err().contains("must read and give the same"), incomparable.err());
    }

    @Test
    void aTextNeedsATokenizer() throws IOException {
        Path text = Files.writeString(folder.resolve("text.txt"), "To be, or not to be");
        Run run = Run.of("verify", Run.fixture("gpt2"), Run.fixture("gpt2"), "--text", text).ended(1);
        assertTrue(run.err().contains("tokenizer.json"), run.err());
        Path shakespeare = Run.HOME.resolve("examples/shakespeare-gpt2");
        JsonNode equality = Run.of("verify", shakespeare, shakespeare, "--text", text, "--json").ended(0).json();
        assertEquals(0, equality.path("largest_error").asDouble());
        assertTrue(equality.path("perplexity_a").asDouble() > 1);
        Run.of("verify", shakespeare, shakespeare, "--text", folder.resolve("missing.txt")).ended(1);
    }

    @Test
    void aModelIsWrittenAsAnotherFamilyWhereThatFits() {
        Path llama = folder.resolve("llama");
        Run run = Run.of("convert", Run.fixture("olmo"), llama, "--as", "auto").ended(0);
        assertTrue(run.out().contains("(olmo, llama)") && run.out().contains("Verified equal"), run.out());
        assertTrue(Run.of("info", Run.fixture("olmo")).ended(0).out().contains("as llama "));
        Run refused = Run.of("convert", Run.fixture("gpt2"), folder.resolve("no"), "--as", "auto").ended(1);
        assertTrue(refused.err().contains("to another family:") && refused.err().contains("  - llama: it has no rotary positions")
                && refused.err().contains("  - cohere2_moe: its MLP has no gate")
                && refused.err().contains("  - ernie4_5_moe: it adds learned positions to its tokens"), refused.err());
        assertFalse(Files.exists(folder.resolve("no")));
    }
}
