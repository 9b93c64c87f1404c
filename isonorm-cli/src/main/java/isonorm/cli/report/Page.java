package isonorm.cli.report;

import com.fasterxml.jackson.databind.node.ArrayNode;
import isonorm.cli.terminal.Json;
import isonorm.cli.terminal.Version;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeSet;
import java.util.stream.IntStream;

/**
 * A report as one HTML file that needs nothing else: facts, plots one can point at, tables, where it comes from, and what its measures are. It has a
 * light and a dark theme and fits a phone. The charts are drawn by Apache ECharts, which is part of the file.
 *
 * @param docs the page of the documentation that explains it
 * @param parts from top to bottom; cards and plots stand side by side where there is room
 */
public record Page(String title, String subtitle, Provenance provenance, String docs, List<Part> parts) {

    private static final String LIBRARY = "/META-INF/resources/webjars/echarts/5.3.1/";
    private static final String DOCUMENTATION = "https://github.com/isonorm/isonorm/blob/main/docs/";

    /** Nothing is loaded from anywhere. */
    private static final String POLICY = "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src 'unsafe-inline'; "
            + "style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'\">\n";

    /** What stands on a page. */
    sealed interface Part {}

    /** What one thing is, in sentences, one a line, and in facts. */
    record Card(String heading, String text, Map<String, String> facts) implements Part {}

    /** Plots of which one is shown, which the reader chooses; a single one's title needs no name above it. */
    record Group(String name, List<Plot> plots) implements Part {}

    /**
     * A table.
     *
     * @param file the same as CSV, without an ending
     */
    record Grid(String caption, Optional<String> file, List<String> heads, List<List<String>> rows) implements Part {}

    List<Group> groups() {
        return parts.stream().filter(Group.class::isInstance).map(Group.class::cast).toList();
    }

    /** The file. */
    String html() throws IOException {
        TreeSet<String> terms = new TreeSet<>();
        String body = body(terms);
        return assembled(Map.of("title", escaped(title), "policy", POLICY, "subtitle", Glossary.linked(subtitle, terms), "body", body, "plots", data(),
                "script", resource(Page.class, "page.js")));
    }

    /**
     * A page that a server gives.
     *
     * @param body as HTML; what measures mean is added behind it
     * @param data for the script, as JSON
     * @param script behind that of all pages
     */
    public static String live(String title, String subtitle, String body, List<String> terms, String data, String script) throws IOException {
        return assembled(Map.of("title", escaped(title), "policy", "", "subtitle", escaped(subtitle), "body", body + "<div class=\"grid\">\n" + Glossary.html(terms) + "</div>\n",
                "plots", embedded(data), "script", resource(Page.class, "page.js") + "\n" + script));
    }

    private static String assembled(Map<String, String> parts) throws IOException {
        StringBuilder page = new StringBuilder();
        String template = resource(Page.class, "page.html");
        int at = 0;
        for (int open = template.indexOf("{{"); open >= 0; open = template.indexOf("{{", at)) {
            int close = template.indexOf("}}", open);
            String name = template.substring(open + 2, close);
            String given = parts.get(name);
            page.append(template, at, open).append(given == null ? common(name) : given);
            at = close + 2;
        }
        return page.append(template, at, template.length()).toString();
    }

    private static String common(String name) throws IOException {
        return switch (name) {
            case "style" -> resource(Page.class, "page.css");
            case "footer" -> "Made by isonorm " + Version.isonorm() + ". Charts: Apache ECharts, Apache-2.0.";
            case "notices" -> library("NOTICE") + "\n\nInside it, d3.js:\n\n" + library("licenses/LICENSE-d3")
                    + "\n\nand ZRender:\n\n" + resource(Page.class, "zrender-license.txt");
            case "library" -> library("dist/echarts.min.js");
            default -> throw new IllegalStateException("a page has no part " + name);
        };
    }

    private static String library(String file) throws IOException {
        return resource(Page.class, LIBRARY + file);
    }

    /** Parts of one kind that follow each other stand side by side; a table has the whole width. */
    private String body(TreeSet<String> terms) {
        StringBuilder body = new StringBuilder();
        Class<?> before = null;
        for (Part part : parts) {
            if (part.getClass() != before || part instanceof Grid) {
                body.append(before == null ? "" : "</div>\n").append("<div class=\"grid\">\n");
            }
            before = part.getClass();
            body.append(switch (part) {
                case Card card -> card(card, terms);
                case Group group -> plots(group, terms);
                case Grid table -> table(table, terms);
            });
        }
        return body.append("</div>\n<div class=\"grid\">\n").append(origin()).append("</div>\n<div class=\"grid\">\n").append(Glossary.html(terms)).append("</div>\n")
                .toString();
    }

    private static String card(Card card, TreeSet<String> terms) {
        StringBuilder html = new StringBuilder("<section>\n<h2>" + escaped(card.heading) + "</h2>\n<p class=\"verdict\">" + Glossary.linked(card.text, terms)
                + "</p>\n<dl class=\"facts\">\n");
        card.facts.forEach((what, value) -> html.append(fact(Glossary.linked(what, terms), escaped(value))));
        return html.append("</dl>\n</section>\n").toString();
    }

    private static String fact(String what, String value) {
        return "<div><dt>" + what + "</dt><dd>" + value + "</dd></div>\n";
    }

    private static String plots(Group group, TreeSet<String> terms) {
        boolean one = group.plots.size() == 1;
        StringBuilder html = new StringBuilder("<section class=\"plots\">\n<div class=\"choices\"><h2>"
                + escaped(one ? group.plots.getFirst().title() : group.name) + "</h2>");
        if (!one) {
            html.append("<select aria-label=\"").append(escaped(group.name)).append("\">");
            group.plots.forEach(plot -> html.append("<option>").append(escaped(plot.title())).append("</option>"));
            html.append("</select>");
        }
        html.append("</div>\n");
        for (Plot plot : group.plots) {
            html.append("<p class=\"note\"").append(plot == group.plots.getFirst() ? "" : " hidden").append(">").append(Glossary.linked(plot.caption(), terms))
                    .append(" <a class=\"file\" href=\"").append(escaped(plot.file())).append(".svg\">SVG</a></p>\n");
        }
        return html.append("<ul class=\"legend\"></ul>\n<div class=\"plot\"></div>\n</section>\n").toString();
    }

    private static String table(Grid table, TreeSet<String> terms) {
        StringBuilder html = new StringBuilder("<section><div class=\"choices\"><h2>" + escaped(table.caption) + "</h2>");
        table.file.ifPresent(file -> html.append("<a class=\"file\" href=\"").append(escaped(file)).append(".csv\">CSV</a>"));
        html.append("</div><div class=\"scroll\"><table aria-label=\"").append(escaped(table.caption)).append("\">\n<thead><tr>");
        List<String> open = IntStream.range(0, table.heads.size()).mapToObj(c -> words(table, c) ? " class=\"words\">" : ">").toList();
        for (int c = 0; c < table.heads.size(); c++) {
            html.append("<th").append(open.get(c)).append(Glossary.linked(table.heads.get(c), terms)).append("</th>");
        }
        html.append("</tr></thead>\n<tbody>\n");
        for (List<String> row : table.rows) {
            html.append("<tr>");
            for (int c = 0; c < row.size(); c++) {
                html.append("<td").append(open.get(c)).append(escaped(row.get(c))).append("</td>");
            }
            html.append("</tr>\n");
        }
        return html.append("</tbody>\n</table></div></section>\n").toString();
    }

    /** Whether no cell of a column is a number. */
    private static boolean words(Grid table, int column) {
        return table.rows.stream().noneMatch(row -> row.get(column).matches("[-+]?([0-9].*)?"));
    }

    private String origin() {
        StringBuilder html = new StringBuilder("<section class=\"provenance\"><h2>How it was made</h2>\n<dl>\n");
        html.append(row("date", escaped(provenance.date()))).append(row("command", "<code>" + escaped(provenance.command()) + "</code>"))
                .append(row("version", "isonorm " + escaped(Version.isonorm()))).append(row("processor", escaped(provenance.processor())));
        provenance.sources().forEach(source -> html.append(row(escaped(source.what()), escaped(source.name()) + "<br><small>SHA-256 " + escaped(source.sha256()) + "</small>")));
        html.append(row("files", "<a href=\"report.json\">report.json</a>, and a CSV or SVG file beside each table and plot"));
        return html.append(row("documentation", "<a href=\"" + DOCUMENTATION + docs + "\">" + docs + "</a>, <a href=\"" + DOCUMENTATION + "glossary.md\">glossary.md</a>")).append("</dl></section>\n").toString();
    }

    private static String row(String what, String value) {
        return "<dt>" + what + "</dt><dd>" + value + "</dd>\n";
    }

    private String data() {
        ArrayNode all = Json.array();
        for (Group group : groups()) {
            ArrayNode one = all.addArray();
            group.plots.forEach(plot -> one.add(plot.json()));
        }
        return embedded(Json.line(all));
    }

    /** JSON in which nothing ends the element it stands in. */
    private static String embedded(String json) {
        return json.replace("<", "\\u003c");
    }

    static String escaped(String text) {
        return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\"", "&quot;");
    }

    /** A text file beside a class. */
    public static String resource(Class<?> beside, String name) throws IOException {
        try (InputStream in = beside.getResourceAsStream(name)) {
            if (in == null) {
                throw new IOException("this build lacks " + name);
            }
            return new String(in.readAllBytes(), StandardCharsets.UTF_8).strip();
        }
    }
}
