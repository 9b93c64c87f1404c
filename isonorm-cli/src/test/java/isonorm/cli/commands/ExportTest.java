package isonorm.cli.commands;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import isonorm.cli.Run;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

/** {@code isonorm export} where there is no ONNX Runtime; with it isonorm-onnx has tests. */
class ExportTest {

    @TempDir
    private Path folder;

    @Test
    void aGraphIsWrittenAndSaidNotToBeVerified() {
        Run run = Run.of("export", Run.fixture("gpt2"), folder.resolve("gpt2.onnx"), "--quiet").ended(0);
        assertEquals("", run.err());
        List<String> lines = run.out().lines().toList();
        assertTrue(lines.getLast().startsWith("Not verified: ONNX Runtime was not found; put the jar com.microsoft.onnxruntime:"), lines.getLast());
        assertTrue(run.words().contains("past_key_values.N.key, past_key_values.N.value"), run.out());
        assertTrue(Files.exists(folder.resolve("gpt2.onnx")));
    }

    /** Not even root can make a file there, and the system says of one that is to be made that it does not exist. */
    @Test
    @EnabledOnOs(OS.LINUX)
    void aPlaceThatTakesNoFilesIsSaidToBeOne() {
        for (String file : List.of("/proc/x.gguf", "/proc/x.onnx")) {
            assertEquals(List.of("isonorm: " + file + " cannot be written: nothing can be made in /proc"), Run.of("export", Run.fixture("llama"), file, "--quiet").ended(1).errors());
        }
        assertEquals(List.of("isonorm: /dev/null/x.gguf cannot be written: Not a directory"),
                Run.of("export", Run.fixture("llama"), "/dev/null/x.gguf", "--quiet").ended(1).errors());
    }

    @Test
    void programsAreToldTheSame() throws IOException {
        JsonNode node = Run.of("export", Run.fixture("vit"), folder.resolve("vit.onnx"), "--json", "--external-data", "--opset", 20).ended(0).json();
        assertEquals(2, node.path("files").size());
        assertEquals("[\"pixel_values\"]", node.path("inputs").toString());
        assertEquals(20, node.path("opset").asInt());
        assertFalse(node.path("verified").asBoolean(true));
    }

    @Test
    void anExportedGraphIsConvertedAsAnyOther() throws IOException {
        Path pre = folder.resolve("pre-ln.onnx");
        Path rms = folder.resolve("rms.onnx");
        Run.of("export", Run.fixture("gpt2"), pre, "--quiet").ended(0);
        Run run = Run.of("convert", pre, rms, "--quiet").ended(0);
        assertTrue(run.out().contains("7 of 7 read centred streams"), run.out());
        assertTrue(run.out().lines().toList().getLast().startsWith("Not verified: ONNX Runtime was not found; "), run.out());
        JsonNode refused = Run.of("convert", rms, folder.resolve("again.onnx"), "--json").ended(1).json();
        assertEquals("[\"its norms are RMSNorm already, which see the mean of what they read\"]", refused.path("refused").toString());
        assertEquals(List.of("isonorm: " + folder.resolve("none.onnx") + " does not exist, or is no file"),
                Run.of("convert", folder.resolve("none.onnx"), folder.resolve("again.onnx")).ended(1).errors());
        assertEquals(List.of("pre-ln.onnx", "rms.onnx", "rms.onnx.report.json"), Run.names(folder));
        JsonNode report = Run.of("convert", pre, rms, "--overwrite", "--keep-layernorm", "--json").ended(0).json();
        assertEquals(List.of("centred", 7, rms.toString(), rms + ".report.json"), List.of(report.path("to").asText(), report.path("changed").asInt(),
                report.path("files").path(0).asText(), report.path("report").asText()));
    }

    @Test
    void aLlamaIsWrittenInGguf() throws IOException {
        Path file = folder.resolve("llama.gguf");
        JsonNode node = Run.of("export", Run.fixture("llama"), file, "--dtype", "bf16", "--json").ended(0).json();
        assertEquals(Files.size(file), node.path("bytes").asLong());
        assertTrue(node.path("tokenizer").isNull() && !node.path("verified").asBoolean(true), node::toString);
        assertTrue(Run.of("export", Run.fixture("llama"), file).ended(1).err().contains("exists already"));
        Run run = Run.of("export", Run.fixture("llama"), file, "--overwrite", "--quiet").ended(0);
        assertEquals("Not verified: nothing here runs GGUF.", run.out().lines().toList().getLast());
        assertEquals(1, Run.of("export", Run.fixture("gpt2"), folder.resolve("gpt2.gguf")).ended(1).errors().size());
        assertEquals("isonorm: --opset, --part, --external-data and --no-verify are of ONNX graphs",
                Run.of("export", Run.fixture("llama"), file, "--overwrite", "--opset", 23).ended(2).errors().getFirst());
        assertEquals(List.of("llama.gguf"), Run.names(folder));
    }

    @Test
    void refusalsAreOneLineAndLeaveNothing() throws IOException {
        Path file = folder.resolve("x.onnx");
        assertEquals(List.of("isonorm: opset 20 lacks RMSNormalization (23), which this model needs; ask for a later --opset, 23 for instance"),
                Run.of("export", Run.fixture("llama"), file, "--opset", 20).ended(1).errors());
        assertEquals("isonorm: --opset: a graph is of an opset from 18 to 25, got 17",
                Run.of("export", Run.fixture("gpt2"), file, "--opset", 17).ended(2).errors().getFirst());
        assertEquals("isonorm: OUT ends in .onnx or .gguf, which says what is written, got " + folder.resolve("x.txt"),
                Run.of("export", Run.fixture("gpt2"), folder.resolve("x.txt")).ended(2).errors().getFirst());
        assertEquals(List.of("isonorm: " + folder + " is a folder; name a file, model.onnx in it for instance"),
                Run.of("export", Run.fixture("gpt2"), folder).ended(1).errors());
        assertEquals(List.of(), Run.names(folder));
        Files.writeString(file, "mine");
        assertEquals(List.of("isonorm: " + file + " exists already; replace it with --overwrite"),
                Run.of("export", Run.fixture("gpt2"), file).ended(1).errors());
        assertEquals("mine", Files.readString(file));
    }
}
