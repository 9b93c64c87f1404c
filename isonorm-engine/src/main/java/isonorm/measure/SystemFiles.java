package isonorm.measure;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.OptionalLong;
import java.util.stream.IntStream;

/**
 * What Linux says of the machine in its files. Whatever is missing or reads otherwise than expected is nothing.
 *
 * @param root where they lie
 */
record SystemFiles(Path root) {

    private static final String CPU_INFO = "proc/cpuinfo";
    private static final String HUGE_PAGES = "sys/kernel/mm/transparent_hugepage/enabled";

    /** From here on a limit is none. */
    private static final long NO_LIMIT = 1L << 60;

    static SystemFiles here() {
        return new SystemFiles(Path.of("/"));
    }

    /** The processor's name, or on aarch64 the numbers that stand for it. */
    Optional<String> processor() {
        Map<String, String> first = firstProcessor();
        return Optional.ofNullable(first.get("model name")).or(() -> Optional.ofNullable(first.get("CPU part"))
                .map(part -> "aarch64, implementer " + first.getOrDefault("CPU implementer", "unknown") + ", part " + part));
    }

    /** The names of its instruction sets. */
    Optional<List<String>> flags() {
        Map<String, String> first = firstProcessor();
        return Optional.ofNullable(first.getOrDefault("flags", first.get("Features"))).map(flags -> List.of(flags.split("\\s+")));
    }

    private Map<String, String> firstProcessor() {
        Map<String, String> facts = new LinkedHashMap<>();
        for (String line : lines(CPU_INFO)) {
            int colon = line.indexOf(':');
            if (colon > 0) {
                facts.putIfAbsent(line.substring(0, colon).strip(), line.substring(colon + 1).strip());
            }
        }
        return facts;
    }

    /** The processors that programs see, of which a core can have two. */
    OptionalInt processors() {
        return counted(lines(CPU_INFO).stream().filter(line -> line.startsWith("processor")).count());
    }

    /** Pairs of a chip and a core in it. */
    OptionalInt cores() {
        List<String> chips = values("physical id");
        List<String> cores = values("core id");
        if (chips.size() != cores.size()) {
            return OptionalInt.empty();
        }
        return counted(IntStream.range(0, cores.size()).mapToObj(i -> chips.get(i) + " " + cores.get(i)).distinct().count());
    }

    private List<String> values(String key) {
        return lines(CPU_INFO).stream().filter(line -> line.startsWith(key))
                .map(line -> line.substring(line.indexOf(':') + 1).strip()).toList();
    }

    private static OptionalInt counted(long count) {
        return count == 0 ? OptionalInt.empty() : OptionalInt.of((int) count);
    }

    OptionalLong memory() {
        return lines("proc/meminfo").stream().filter(line -> line.startsWith("MemTotal:")).map(line -> line.replaceAll("\\D", ""))
                .filter(digits -> !digits.isEmpty()).mapToLong(digits -> 1024 * Long.parseLong(digits)).findFirst();
    }

    /** The system's words for how it gives huge pages, the one that holds in brackets. */
    Optional<String> hugePages() {
        return read(HUGE_PAGES);
    }

    /** The least memory that a group of processes which this one belongs to may use. */
    OptionalLong memoryLimit() {
        long limit = NO_LIMIT;
        for (String group : groups("", "sys/fs/cgroup")) {
            limit = Math.min(limit, number(read(group + "/memory.max")).orElse(NO_LIMIT));
        }
        for (String group : groups("memory", "sys/fs/cgroup/memory")) {
            limit = Math.min(limit, number(read(group + "/memory.limit_in_bytes")).orElse(NO_LIMIT));
        }
        return limit == NO_LIMIT ? OptionalLong.empty() : OptionalLong.of(limit);
    }

    /** The least processors, or parts of them, that such a group may use. */
    OptionalDouble processorLimit() {
        double limit = Double.POSITIVE_INFINITY;
        for (String group : groups("", "sys/fs/cgroup")) {
            String[] words = read(group + "/cpu.max").orElse("max").split("\\s+");
            if (words.length == 2) {
                limit = Math.min(limit, part(Optional.of(words[0]), Optional.of(words[1])));
            }
        }
        for (String group : groups("cpu", "sys/fs/cgroup/cpu")) {
            limit = Math.min(limit, part(read(group + "/cpu.cfs_quota_us"), read(group + "/cpu.cfs_period_us")));
        }
        return Double.isInfinite(limit) ? OptionalDouble.empty() : OptionalDouble.of(limit);
    }

    private static double part(Optional<String> quota, Optional<String> period) {
        OptionalLong of = number(quota);
        OptionalLong to = number(period);
        return of.isPresent() && of.getAsLong() > 0 && to.isPresent() && to.getAsLong() > 0
                ? (double) of.getAsLong() / to.getAsLong()
                : Double.POSITIVE_INFINITY;
    }

    private static OptionalLong number(Optional<String> word) {
        return word.isPresent() && word.get().matches("-?\\d{1,18}")
                ? OptionalLong.of(Long.parseLong(word.get()))
                : OptionalLong.empty();
    }

    /**
     * The folders of the groups that this process belongs to, the outermost first: each limits those in it. In a container the
     * outermost is often the container's own, whatever the process is told of its place.
     *
     * @param controller empty for version 2 of control groups, which has one tree for all
     */
    private List<String> groups(String controller, String folder) {
        List<String> all = new ArrayList<>(List.of(folder));
        for (String line : lines("proc/self/cgroup")) {
            String[] parts = line.split(":", 3);
            if (parts.length == 3 && List.of(parts[1].split(",")).contains(controller)) {
                String path = folder;
                for (String name : parts[2].split("/")) {
                    if (!name.isEmpty()) {
                        path += "/" + name;
                        all.add(path);
                    }
                }
            }
        }
        return all;
    }

    private List<String> lines(String file) {
        return read(file).map(text -> text.lines().toList()).orElse(List.of());
    }

    private Optional<String> read(String file) {
        try {
            return Optional.of(Files.readString(root.resolve(file)).strip());
        } catch (IOException | UncheckedIOException | IllegalArgumentException e) { // no such file, none for us, or none of text
            return Optional.empty();
        }
    }
}
