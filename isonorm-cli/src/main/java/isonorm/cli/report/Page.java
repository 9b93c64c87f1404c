package isonorm.cli.report;

import com.fasterxml.jackson.databind.node.ArrayNode;
import isonorm.cli.terminal.Json;
import isonorm.cli.terminal.Version;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;

/**
 * A report as one HTML file that needs nothing else: facts, plots one can point at, tables. It has a light and a dark theme and fits a
 * phone. The charts are drawn by Apache ECharts, which is part of the file.
 *
 * @param groups of plots
 */
public record Page(String title, String subtitle, List<Card> cards, List<Group> groups, List<Grid> tables) {

    private static final String LIBRARY = "/META-INF/resources/webjars/echarts/5.3.1/";

    /** What one thing is, in sentences and in facts. */
    record Card(String heading, String text, Map<String, String> facts) {}

    /** Plots of which one is shown, which the reader chooses; a single one's title needs no name above it. */
    public record Group(String name, List<Plot> plots) {}

    /** A table of numbers. */
    public record Grid(String caption, List<String> heads, List<List<String>> rows) {}

    /** The file. */
    String html() throws IOException {
        return html("");
    }

    /** A page with a further script, which goes on asking the address it came from for what is new. */
    public String live(String script) throws IOException {
        return html("\n" + script);
    }

    private String html(String script) throws IOException {
        StringBuilder page = new StringBuilder();
        String template = resource(Page.class, "page.html");
        int at = 0;
        for (int open = template.indexOf("{{"); open >= 0; open = template.indexOf("{{", at)) {
            int close = template.indexOf("}}", open);
            page.append(template, at, open).append(part(template.substring(open + 2, close)));
            if (template.startsWith("{{script}}", open)) {
                page.append(script);
            }
            at = close + 2;
        }
        return page.append(template, at, template.length()).toString();
    }

    private String part(String name) throws IOException {
        return switch (name) {
            case "title" -> escaped(title);
            case "subtitle" -> escaped(subtitle);
            case "style" -> resource(Page.class, "page.css");
            case "body" -> body();
            case "footer" -> "Made by isonorm " + Version.isonorm() + ". Charts: Apache ECharts, Apache-2.0.";
            case "plots" -> data();
            case "notices" -> library("NOTICE") + "\n\nInside it, d3.js:\n\n" + library("licenses/LICENSE-d3")
                    + "\n\nand ZRender:\n\n" + resource(Page.class, "zrender-license.txt");
            case "library" -> library("dist/echarts.min.js");
            case "script" -> resource(Page.class, "page.js");
            default -> throw new IllegalStateException("a page has no part " + name);
        };
    }

    private static String library(String file) throws IOException {
        return resource(Page.class, LIBRARY + file);
    }

    private String body() {
        StringBuilder below = new StringBuilder();
        tables.forEach(table -> below.append("<div class=\"grid\">\n").append(table(table)).append("</div>\n"));
        StringBuilder body = new StringBuilder();
        if (cards.isEmpty()) { // a table says what there is
            body.append(below);
            below.setLength(0);
        } else {
            body.append("<div class=\"grid\">\n");
            cards.forEach(card -> body.append(card(card)));
            body.append("</div>\n");
        }
        body.append("<div class=\"grid\">\n");
        groups.forEach(group -> body.append(plots(group)));
        return body.append("</div>\n").append(below).toString();
    }

    private static String card(Card card) {
        StringBuilder html = new StringBuilder("<section>\n<h2>" + escaped(card.heading) + "</h2>\n<p class=\"verdict\">" + escaped(card.text)
                + "</p>\n<dl class=\"facts\">\n");
        card.facts.forEach((what, value) -> html.append("<div><dt>").append(escaped(what)).append("</dt><dd>").append(escaped(value)).append("</dd></div>\n"));
        return html.append("</dl>\n</section>\n").toString();
    }

    private static String plots(Group group) {
        boolean one = group.plots.size() == 1;
        StringBuilder html = new StringBuilder("<section class=\"plots\">\n<div class=\"choices\"><h2>"
                + escaped(one ? group.plots.getFirst().title() : group.name) + "</h2>");
        if (!one) {
            html.append("<select aria-label=\"").append(escaped(group.name)).append("\">");
            group.plots.forEach(plot -> html.append("<option>").append(escaped(plot.title())).append("</option>"));
            html.append("</select>");
        }
        return html.append("</div>\n<p class=\"note\">").append(escaped(group.plots.getFirst().note()))
                .append("</p>\n<div class=\"plot\"></div>\n</section>\n").toString();
    }

    private static String table(Grid table) {
        StringBuilder html = new StringBuilder("<section><div class=\"scroll\"><table>\n<caption>" + escaped(table.caption) + "</caption>\n<thead><tr>");
        table.heads.forEach(head -> html.append("<th>").append(escaped(head)).append("</th>"));
        html.append("</tr></thead>\n<tbody>\n");
        for (List<String> row : table.rows) {
            html.append("<tr>");
            row.forEach(cell -> html.append("<td>").append(escaped(cell)).append("</td>"));
            html.append("</tr>\n");
        }
        return html.append("</tbody>\n</table></div></section>\n").toString();
    }

    /** The plots for the script; nothing in it ends the element it stands in. */
    private String data() throws IOException {
        ArrayNode all = Json.array();
        for (Group group : groups) {
            ArrayNode one = all.addArray();
            group.plots.forEach(plot -> one.add(plot.json()));
        }
        return Json.line(all).replace("<", "\\u003c");
    }

    private static String escaped(String text) {
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
