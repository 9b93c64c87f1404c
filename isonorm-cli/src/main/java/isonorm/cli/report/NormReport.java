package isonorm.cli.report;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import isonorm.cli.terminal.Table;
import java.io.PrintStream;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** The rows of {@code bench norms} as people read them. */
public final class NormReport {

    private static final String BASE = "pre-ln";

    private NormReport() {}

    public static void table(ArrayNode rows, PrintStream out) {
        out.println(machine(rows));
        Table table = Table.ofNumbers("", "median ms", "quartiles", "to " + BASE);
        String before = "";
        for (JsonNode row : rows) {
            String model = model(row) + ", " + text(row, "dtype");
            if (!model.equals(before)) {
                table.row(model);
            }
            before = model;
            table.row("  " + text(row, "form"), milliseconds(row, "median_ms"), quartiles(row), ratio(row));
        }
        table.print(out);
    }

    public static void markdown(ArrayNode rows, PrintStream out) {
        out.println(machine(rows));
        out.println();
        out.println("| model | batch | type | form | median ms | quartiles | to " + BASE + " |");
        out.println("|---|--:|---|---|--:|--:|--:|");
        for (JsonNode row : rows) {
            out.println("| " + String.join(" | ", text(row, "model"), text(row, "batch"), text(row, "dtype"), "`" + text(row, "form") + "`",
                    milliseconds(row, "median_ms"), quartiles(row), ratio(row)) + " |");
        }
    }

    public static void csv(ArrayNode rows, PrintStream out) {
        out.println(String.join(",", names(rows.path(0))));
        for (JsonNode row : rows) {
            out.println(String.join(",", names(row).stream().map(name -> quoted(text(row, name))).toList()));
        }
    }

    /** As it stands, or in quotes where there is a comma in it. */
    private static String quoted(String text) {
        return text.contains(",") || text.contains("\"") ? '"' + text.replace("\"", "\"\"") + '"' : text;
    }

    /** What all of them were measured on. */
    private static String machine(ArrayNode rows) {
        return text(rows.path(0), "machine");
    }

    /** A panel for each type, a group of bars for each model and batch, each bar a form's time as a part of Pre-LN's. */
    public static BarChart chart(ArrayNode rows) {
        Map<String, Map<String, List<JsonNode>>> panels = new LinkedHashMap<>();
        List<String> series = new ArrayList<>();
        for (JsonNode row : rows) {
            if (text(row, "form").equals(BASE)) {
                continue; // it is the line at 1
            }
            if (!series.contains(text(row, "form"))) {
                series.add(text(row, "form"));
            }
            panels.computeIfAbsent(text(row, "dtype"), _ -> new LinkedHashMap<>()).computeIfAbsent(model(row), _ -> new ArrayList<>()).add(row);
        }
        return new BarChart("Time of a forward pass as a part of Pre-LN's",
                "Below the line at 1 is faster than Pre-LN. Bars are medians, whiskers the quartiles.", "Pre-LN = 1", series,
                panels.entrySet().stream().map(panel -> new BarChart.Panel(panel.getKey(), panel.getValue().values().stream().map(NormReport::group).toList()))
                        .toList());
    }

    private static BarChart.Group group(List<JsonNode> rows) {
        return new BarChart.Group(text(rows.getFirst(), "model"), "batch " + text(rows.getFirst(), "batch"),
                rows.stream().map(row -> new BarChart.Bar(row.path("ratio_to_pre_ln").asDouble(), row.path("ratio_q25").asDouble(),
                        row.path("ratio_q75").asDouble())).toList());
    }

    private static List<String> names(JsonNode row) {
        return row.properties().stream().map(Map.Entry::getKey).toList();
    }

    private static String model(JsonNode row) {
        return text(row, "model") + ", batch " + text(row, "batch");
    }

    private static String text(JsonNode row, String name) {
        return row.path(name).asText();
    }

    private static String quartiles(JsonNode row) {
        return milliseconds(row, "q25_ms") + " to " + milliseconds(row, "q75_ms");
    }

    private static String milliseconds(JsonNode row, String name) {
        double value = row.path(name).asDouble();
        return String.format(Locale.ROOT, value < 100 ? "%.2f" : "%.0f", value);
    }

    private static String ratio(JsonNode row) {
        return String.format(Locale.ROOT, "%.3f", row.path("ratio_to_pre_ln").asDouble());
    }
}
