package isonorm.cli.report;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
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

/** A report as files: report.json, its lists as CSV, each plot as SVG, and report.html. Each of them is complete or not there. */
final class ReportFolder {

    private ReportFolder() {}

    /**
     * Writes all of them.
     *
     * @param lists names of the JSON's lists of rows
     */
    static void write(Path folder, JsonNode json, List<String> lists, Page page) throws IOException {
        Files.createDirectories(folder);
        Map<String, String> files = new LinkedHashMap<>();
        files.put("report.json", new ObjectMapper().enable(SerializationFeature.INDENT_OUTPUT).writeValueAsString(json) + "\n");
        for (String list : lists) {
            if (!json.path(list).isEmpty()) {
                files.put(list + ".csv", csv(json.path(list)));
            }
        }
        page.groups().forEach(group -> group.plots().forEach(plot -> files.put(plot.file() + ".svg", PlotSvg.of(plot))));
        files.put("report.html", page.html());
        for (Map.Entry<String, String> file : files.entrySet()) {
            OutputFile.write(folder.resolve(file.getKey()), temporary -> Files.writeString(temporary, file.getValue(), StandardCharsets.UTF_8,
                    StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE, StandardOpenOption.SYNC));
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
