package isonorm.cli.report;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import isonorm.cli.terminal.Json;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Predicate;
import java.util.stream.Stream;

/** A report as files: report.json, its lists as CSV, each plot as SVG, and report.html. Each of them is complete or not there. */
final class ReportFolder {

    private static final String JSON = "report.json";
    private static final String HTML = "report.html";

    private ReportFolder() {}

    /**
     * Writes all of them.
     *
     * @param lists names of the JSON's lists of rows
     */
    static void write(Path folder, JsonNode json, List<String> lists, Page page) throws IOException {
        try {
            Files.createDirectories(folder);
        } catch (IOException e) {
            throw OutputFile.notWritten(folder, e);
        }
        Map<String, String> files = new LinkedHashMap<>();
        files.put(JSON, Json.text(json) + "\n");
        for (String list : lists) {
            if (!json.path(list).isEmpty()) {
                files.put(list + ".csv", csv(json.path(list)));
            }
        }
        page.groups().forEach(group -> group.plots().forEach(plot -> files.put(plot.file() + ".svg", PlotSvg.of(plot))));
        files.put(HTML, page.html());
        for (Map.Entry<String, String> file : files.entrySet()) {
            OutputFile.write(folder.resolve(file.getKey()), temporary -> Files.writeString(temporary, file.getValue(), StandardCharsets.UTF_8,
                    StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE, StandardOpenOption.SYNC));
        }
    }

    /**
     * Refuses a folder that is not a report's own, or where nothing can be written, before there is anything to write.
     *
     * @param kind a list that report.json of this kind alone has
     * @param others what else there may be in a folder that has no report yet
     */
    static void require(Path folder, String kind, Predicate<Path> others) throws IOException {
        if (Files.isDirectory(folder)) {
            requireOwn(folder, kind, others);
            OutputFile.require(folder.resolve(JSON));
            return;
        }
        Path made = folder.toAbsolutePath();
        for (Path parent = made.getParent(); parent != null && !Files.exists(parent); parent = parent.getParent()) {
            made = parent;
        }
        try {
            Files.createDirectory(made); // takes this to know
            Files.delete(made);
        } catch (IOException e) {
            throw OutputFile.notWritten(folder, e);
        }
    }

    private static void requireOwn(Path folder, String kind, Predicate<Path> others) throws IOException {
        List<Path> entries;
        try (Stream<Path> files = Files.list(folder)) {
            entries = files.toList();
        }
        Path report = folder.resolve(JSON);
        boolean foreign = List.of("config.json", "dataset.json", ".git").stream().anyMatch(name -> Files.exists(folder.resolve(name)));
        boolean own = Files.isRegularFile(report) ? Files.exists(folder.resolve(HTML)) && isOf(report, kind) : entries.stream().allMatch(others);
        if (foreign || !own) {
            throw new IOException(folder + " is not empty and is no report of this command, so nothing is written there; choose another name");
        }
    }

    private static boolean isOf(Path report, String kind) throws IOException {
        try {
            return Json.read(report).path(kind).isArray();
        } catch (JsonProcessingException e) {
            return false;
        }
    }

    /** One line a row, its columns those that any row has. */
    private static String csv(JsonNode rows) {
        Set<String> names = new LinkedHashSet<>();
        rows.forEach(row -> row.fieldNames().forEachRemaining(names::add));
        StringBuilder csv = new StringBuilder(String.join(",", names)).append('\n');
        for (JsonNode row : rows) {
            csv.append(String.join(",", names.stream().map(name -> cell(row.path(name))).toList())).append('\n');
        }
        return csv.toString();
    }

    private static String cell(JsonNode value) {
        String text = value.isNull() ? "" : value.asText();
        return text.matches("(?s).*[\",\\r\\n].*") ? '"' + text.replace("\"", "\"\"") + '"' : text;
    }
}
