package isonorm.cli.commands;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import isonorm.cli.Run;
import isonorm.cli.report.DoctorReport;
import isonorm.cli.terminal.Console;
import isonorm.kernel.Kernels;
import isonorm.kernel.Type;
import isonorm.measure.Answer;
import isonorm.measure.InstructionSet;
import isonorm.measure.Machine;
import isonorm.tensor.Libraries.Library;
import isonorm.tensor.Products;
import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.OptionalLong;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** What {@code isonorm doctor} says of this machine, and of machines of which little is known. */
class DoctorTest {

    /** A machine that says nothing of itself and on which nothing could be loaded. */
    private static final Machine SILENT = new Machine(new Machine.Host("Plan 9", "4", "mips"),
            new Machine.Processor("mips", OptionalInt.empty(), OptionalInt.empty(), 1),
            List.of(new InstructionSet("AVX2", Answer.UNKNOWN, Answer.UNKNOWN, Answer.NO)),
            new Machine.Computing(OptionalInt.empty(), "unknown", Optional.empty()), List.of(), Optional.of("isonorm.products must be another"),
            new Machine.Memory(OptionalLong.empty(), OptionalLong.empty(), OptionalDouble.empty(), false, "unknown"),
            new Machine.Native(List.of(new Library("oneDNN", Optional.empty(), Optional.empty())), Optional.empty(), Optional.empty()),
            new Machine.Jvm("VM", "25", List.of(), 1L << 32, OptionalInt.empty()));

    @Test
    void textAndJsonNameWhatWasChosenHere() throws IOException {
        Run run = Run.of("doctor", "--quiet").ended(0);
        assertEquals("", run.err());
        String words = run.out().replaceAll("\\s+", " ");
        JsonNode json = Run.of("doctor", "--quiet", "--json").ended(0).json();
        assertEquals(Kernels.reason(), json.path("kernels").path("reason").asText());
        assertTrue(words.contains(" kernels " + Kernels.reason() + " "), run.out());
        for (Products.Choice choice : Products.choices()) {
            String name = choice.type().name().toLowerCase(Locale.ROOT);
            JsonNode product = json.path("products").path(name);
            assertEquals(choice.provider(), product.path("provider").asText());
            assertEquals(choice.reason(), product.path("reason").asText());
            assertEquals(Products.multiplies(choice.type()), product.path("direct").asBoolean());
            assertTrue(words.contains("products " + name + " " + choice.provider() + (choice.reason().isEmpty() ? "" : " (" + choice.reason() + ")")), run.out());
            if (choice.type().bytes() == 2) {
                assertEquals(Products.multiplies(choice.type()), bringing(json, name).contains("multiplied as they are"));
            }
        }
        assertTrue(json.path("memory").path("read_bandwidth_gb_per_s").asDouble() > 0, json.toString());
        assertTrue(run.out().contains(" GB/s read by "), run.out());
        String line = Machine.here().line(Runtime.getRuntime().availableProcessors());
        assertEquals(line, json.path("machine").asText());
        assertTrue(run.out().contains(line + System.lineSeparator()), run.out());
        assertTrue(words.contains(System.getProperty("java.vm.name")), run.out());
    }

    private static String bringing(JsonNode json, String type) {
        for (JsonNode sentence : json.path("sixteen_bits")) {
            if (List.of(sentence.asText().split(":")[0].split(" and ")).contains(type)) {
                return sentence.asText();
            }
        }
        return "";
    }

    @Test
    void loadedLibrariesHaveAPlaceOnDisk() {
        Machine machine = Machine.here();
        for (Library library : machine.libraries().all()) {
            assertTrue(library.place().isEmpty() || Files.isRegularFile(library.place().get()), library.toString());
        }
        Products.choices().stream().filter(choice -> choice.type() == Type.F32).filter(choice -> choice.provider().startsWith("oneDNN"))
                .forEach(_ -> assertTrue(machine.libraries().all().getFirst().place().isPresent(), machine.libraries().toString()));
    }

    @Test
    void whatNobodySaysIsUnknownOrNull() {
        DoctorReport report = new DoctorReport(SILENT, OptionalDouble.empty());
        String said = printed(report);
        assertTrue(said.contains("unknown, with unknown threads, 1 of them for java"), said);
        assertTrue(said.contains("unknown, container limit none or unknown"), said);
        assertFalse(said.contains("null"), said);
        assertFalse(said.contains("Optional"), said);
        JsonNode json = report.json();
        for (JsonNode unknown : List.of(json.path("processor").path("cores"), json.path("memory").path("physical_bytes"),
                json.path("memory").path("read_bandwidth_gb_per_s"), json.path("instructions").path("AVX2").path("processor"),
                json.path("libraries").path("oneDNN").path("place"), json.path("library_cache"))) {
            assertTrue(unknown.isNull(), json.toString());
        }
    }

    /** As when something else has all of the processor. */
    @Test
    void whatIsSlowIsNotNothing() {
        DoctorReport report = new DoctorReport(SILENT, OptionalDouble.of(0.004321));
        assertEquals(0.00432, report.json().path("memory").path("read_bandwidth_gb_per_s").asDouble());
        assertTrue(printed(report).contains("0.00432 GB/s read by 1 thread"), printed(report));
    }

    @Test
    void everyHintIsPrintedWithItsRemedyAndAFailureFails() {
        DoctorReport report = new DoctorReport(SILENT, OptionalDouble.empty());
        assertTrue(report.failed());
        String said = printed(report).replaceAll("\\s+", " ");
        assertFalse(SILENT.hints().isEmpty());
        SILENT.hints().forEach(hint -> assertTrue(said.contains("- " + hint.problem() + " " + hint.remedy()), said));
        assertEquals(SILENT.hints().size(), report.json().path("hints").size());
        assertEquals(SILENT.hints().getFirst().remedy(), report.json().path("hints").path(0).path("remedy").asText());
        assertFalse(new DoctorReport(Machine.here(), OptionalDouble.empty()).failed());
    }

    /** As a user's project that names no natives, on any platform. */
    @Test
    void withoutNativeLibrariesEverythingIsMultipliedInJavaAndWhatBringsThemIsNamed() throws Exception {
        String name = System.getProperty("os.name") + System.getProperty("os.arch");
        JsonNode json = new ObjectMapper().readTree(withoutNatives("doctor", "--quiet", "--json"));
        for (JsonNode product : List.of(json.path("products").path("f64"), json.path("products").path("f32"))) {
            assertFalse(product.path("provider").asText().matches(".*(oneDNN|OpenBLAS).*"), product.toString());
            if (name.equals("Linuxamd64")) {
                assertEquals("oneDNN is not on the class path: io.github.isonorm:isonorm-natives-linux-x86_64 brings it; "
                        + "OpenBLAS is not on the class path: io.github.isonorm:isonorm-natives-linux-x86_64 brings it", product.path("reason").asText());
            }
        }
        for (String library : List.of("oneDNN", "OpenBLAS")) {
            assertTrue(json.path("libraries").path(library).path("version").isNull(), json.toString());
        }
        assertTrue(json.path("hints").findValuesAsText("remedy").stream().anyMatch(remedy -> remedy.contains("isonorm-natives")), json.toString());
        Run with = Run.of("generate", Run.HOME.resolve("examples/shakespeare-gpt2"), "--prompt", "ROMEO:", "--max-tokens", 3, "--quiet").ended(0);
        assertEquals(with.out(), withoutNatives("generate", Run.HOME.resolve("examples/shakespeare-gpt2").toString(), "--prompt", "ROMEO:",
                "--max-tokens", "3", "--quiet"));
    }

    private static String withoutNatives(String... arguments) throws IOException, InterruptedException {
        String classPath = Stream.of(System.getProperty("java.class.path").split(File.pathSeparator))
                .filter(entry -> !entry.matches(".*(javacpp|openblas|dnnl)-[0-9.-]+-(linux|macosx|windows)-\\w+\\.jar")).collect(Collectors.joining(File.pathSeparator));
        List<String> command = new ArrayList<>(List.of(Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "@" + Run.HOME.resolve("isonorm-engine/src/main/resources/isonorm/jvm.args"), "-cp", classPath, "isonorm.cli.Main"));
        command.addAll(List.of(arguments));
        Process process = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.DISCARD).start();
        String out = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertEquals(0, process.waitFor(), out);
        return out;
    }

    private static String printed(DoctorReport report) {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        PrintStream stream = new PrintStream(out, true, StandardCharsets.UTF_8);
        report.print(new Console(stream, stream, false, false));
        return out.toString(StandardCharsets.UTF_8);
    }
}
