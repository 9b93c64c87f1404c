package isonorm.cli.report;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.cli.terminal.Console;
import isonorm.cli.terminal.Json;
import isonorm.cli.terminal.Table;
import isonorm.cli.terminal.Version;
import isonorm.kernel.JvmOptions;
import isonorm.kernel.Type;
import isonorm.measure.Answer;
import isonorm.measure.Bandwidth;
import isonorm.measure.Hint;
import isonorm.measure.InstructionSet;
import isonorm.measure.Machine;
import isonorm.measure.Machine.Product;
import isonorm.tensor.Libraries.Library;
import java.math.BigDecimal;
import java.math.MathContext;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.OptionalLong;
import org.jspecify.annotations.Nullable;

/**
 * What {@code isonorm doctor} shows of a machine, for people and for programs.
 *
 * @param bandwidth gigabytes a second; empty where it could not be measured
 */
public record DoctorReport(Machine machine, OptionalDouble bandwidth) {

    public static DoctorReport here() {
        return new DoctorReport(Machine.here(), measured());
    }

    /** Bandwidth needs memory that a small container may not have. */
    private static OptionalDouble measured() {
        try {
            return OptionalDouble.of(Bandwidth.with(Runtime.getRuntime().availableProcessors()).gigabytesPerSecond());
        } catch (OutOfMemoryError e) {
            return OptionalDouble.empty();
        }
    }

    public boolean failed() {
        return machine.failure().isPresent();
    }

    public void print(Console console) {
        console.out().println(console.bold("isonorm " + Version.isonorm()) + ", "
                + String.join(" ", machine.host().name(), machine.host().version(), machine.host().architecture()));
        console.out().println(machine.line(machine.processor().available()));
        section(console, "Machine", Table.ofFacts()
                .row("processor", machine.processor().name())
                .row("cores", said(machine.processor().cores()) + ", with " + said(machine.processor().threads()) + " threads, "
                        + machine.processor().available() + " of them for java" + limit())
                .row("memory", bytes(machine.memory().physical()) + ", container limit " + (machine.memory().limit().isPresent()
                        ? bytes(machine.memory().limit()) : "none or unknown"))
                .row("bandwidth", bandwidth.isPresent()
                        ? String.format(Locale.ROOT, "%.3g GB/s read by ", bandwidth.getAsDouble())
                                + Table.count(machine.processor().available(), "thread")
                        : "not measured: not enough memory")
                .row("huge pages", (machine.memory().hugePagesAsked() ? "asked for" : "not asked for") + ", the system says "
                        + machine.memory().hugePages()));
        if (!machine.instructions().isEmpty()) {
            Table table = Table.ofNumbers("", "processor", "java", "oneDNN");
            machine.instructions().forEach(set -> table.row(set.name(), word(set.found()), word(set.java()), word(set.oneDnn())));
            section(console, "Instruction sets, and who may use them", table);
        }
        Table computing = Table.ofFacts().row("kernels", machine.kernels().reason());
        for (Product product : machine.products()) {
            computing.row("products " + name(product.type()),
                    product.provider() + (product.reason().isEmpty() ? "" : " (" + product.reason() + ")"));
        }
        sixteenBits().forEach(sentence -> computing.row("16 bits", sentence));
        section(console, "What computes", computing);
        Table libraries = Table.ofFacts();
        for (Library library : machine.libraries().all()) {
            libraries.row(library.name(), library.version().orElse("not on the class path"),
                    library.place().map(Object::toString).orElse("not loaded"));
        }
        libraries.row("cache", "", machine.libraries().cache().map(Object::toString).orElse(Machine.UNKNOWN));
        section(console, "Native libraries", libraries);
        section(console, "Java", Table.ofFacts()
                .row("JVM", machine.jvm().name() + " " + machine.jvm().version())
                .row("heap", "up to " + Table.bytes(machine.jvm().heap()))
                .row("options", options()));
        List<Hint> hints = machine.hints();
        console.out().println();
        if (hints.isEmpty()) {
            console.out().println(console.green("Nothing is wrong, and nothing known to be slow."));
            return;
        }
        console.out().println(console.bold(Table.count(hints.size(), "hint")));
        for (Hint hint : hints) {
            Table.ofFacts().row("-", hint.problem()).row(" ", hint.remedy()).print(console.out());
        }
    }

    /** Those of the engine's file, if all are there, by its name. */
    private String options() {
        List<String> options = new ArrayList<>(machine.jvm().arguments());
        if (options.containsAll(JvmOptions.all())) {
            options.removeAll(JvmOptions.all());
            options.addFirst("those of isonorm/jvm.args");
        }
        return options.isEmpty() ? "none" : String.join(" ", options);
    }

    private static void section(Console console, String title, Table table) {
        console.out().println();
        console.out().println(console.bold(title));
        table.print(console.out());
    }

    private String limit() {
        OptionalDouble limit = machine.memory().processorLimit();
        return limit.isPresent() ? ", container limit " + limit.getAsDouble() : "";
    }

    /** What 16 bits bring: once where both types are the same. */
    private List<String> sixteenBits() {
        List<Product> halves = machine.products().stream().filter(product -> product.type().bytes() == 2).toList();
        if (halves.stream().map(Product::direct).distinct().count() == 1) {
            String types = String.join(" and ", halves.stream().map(half -> name(half.type())).toList());
            return List.of(brought(types, halves.getFirst()));
        }
        return halves.stream().map(half -> brought(name(half.type()), half)).toList();
    }

    private static String brought(String types, Product product) {
        return product.direct()
                ? types + ": multiplied as they are; half the memory, and faster prompts, training and decoding"
                : types + ": widened; half the memory, prompts and training about as fast as f32, and decoding reads half "
                        + "the bytes";
    }

    public ObjectNode json() {
        ObjectNode json = Json.object();
        json.put("isonorm", Version.isonorm()).put("machine", machine.line(machine.processor().available()));
        json.putObject("system").put("name", machine.host().name()).put("version", machine.host().version())
                .put("architecture", machine.host().architecture());
        json.putObject("processor").put("name", machine.processor().name()).put("cores", boxed(machine.processor().cores()))
                .put("threads", boxed(machine.processor().threads())).put("available", machine.processor().available());
        ObjectNode sets = json.putObject("instructions");
        for (InstructionSet set : machine.instructions()) {
            sets.putObject(set.name()).put("processor", truth(set.found())).put("java", truth(set.java()))
                    .put("onednn", truth(set.oneDnn()));
        }
        json.putObject("kernels").put("bits", boxed(machine.kernels().bits())).put("reason", machine.kernels().reason());
        ObjectNode products = json.putObject("products");
        for (Product product : machine.products()) {
            products.putObject(name(product.type())).put("provider", product.provider()).put("reason", product.reason())
                    .put("direct", product.direct());
        }
        json.set("sixteen_bits", strings(sixteenBits()));
        json.putObject("memory").put("physical_bytes", boxed(machine.memory().physical()))
                .put("limit_bytes", boxed(machine.memory().limit()))
                .put("processor_limit", boxed(machine.memory().processorLimit()))
                .put("read_bandwidth_gb_per_s", boxed(rounded(bandwidth)))
                .put("huge_pages_asked", machine.memory().hugePagesAsked())
                .put("huge_pages", machine.memory().hugePages());
        ObjectNode libraries = json.putObject("libraries");
        for (Library library : machine.libraries().all()) {
            libraries.putObject(library.name()).put("version", library.version().orElse(null))
                    .put("place", library.place().map(Object::toString).orElse(null));
        }
        json.put("library_cache", machine.libraries().cache().map(Object::toString).orElse(null));
        json.putObject("java").put("name", machine.jvm().name()).put("version", machine.jvm().version())
                .put("heap_bytes", machine.jvm().heap()).set("options", strings(machine.jvm().arguments()));
        ArrayNode hints = json.putArray("hints");
        machine.hints().forEach(hint -> hints.addObject().put("problem", hint.problem()).put("remedy", hint.remedy()));
        return json;
    }

    private static ArrayNode strings(List<String> words) {
        ArrayNode array = Json.array();
        words.forEach(array::add);
        return array;
    }

    private static String name(Type type) {
        return type.name().toLowerCase(Locale.ROOT);
    }

    private static String word(Answer answer) {
        return answer.name().toLowerCase(Locale.ROOT);
    }

    /** Null for what nobody says, here and below. */
    private static @Nullable Boolean truth(Answer answer) {
        return answer == Answer.UNKNOWN ? null : Boolean.valueOf(answer == Answer.YES);
    }

    private static @Nullable Integer boxed(OptionalInt value) {
        return value.isPresent() ? value.getAsInt() : null;
    }

    private static @Nullable Long boxed(OptionalLong value) {
        return value.isPresent() ? value.getAsLong() : null;
    }

    private static @Nullable Double boxed(OptionalDouble value) {
        return value.isPresent() ? value.getAsDouble() : null;
    }

    /** To three digits, so that what is slow is not nothing. */
    private static OptionalDouble rounded(OptionalDouble value) {
        return value.isPresent() ? OptionalDouble.of(new BigDecimal(value.getAsDouble()).round(new MathContext(3)).doubleValue()) : value;
    }

    private static String said(OptionalInt value) {
        return value.isPresent() ? Table.count(value.getAsInt()) : Machine.UNKNOWN;
    }

    private static String bytes(OptionalLong value) {
        return value.isPresent() ? Table.bytes(value.getAsLong()) : Machine.UNKNOWN;
    }
}
