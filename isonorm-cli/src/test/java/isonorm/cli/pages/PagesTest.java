package isonorm.cli.pages;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.fasterxml.jackson.databind.JsonNode;
import isonorm.cli.Run;
import isonorm.cli.watch.WatchServer;
import isonorm.cli.watch.WatchedRuns;
import isonorm.convert.LoadedModel;
import isonorm.convert.Pruning;
import isonorm.model.Progress;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/**
 * Every page in a headless Chromium, on a desk and on a phone, light and dark: it complains of nothing, asks nobody, fits, names every curve, and its menus
 * do what they say. Skipped where no Chromium is on the PATH.
 */
@Timeout(600)
class PagesTest {

    private static final Path EXAMPLE = Run.HOME.resolve("examples/shakespeare-gpt2");

    @TempDir
    static Path folder;

    private static Browser browser;

    @BeforeAll
    static void start() throws Exception {
        Optional<Path> program = Browser.installed();
        assumeTrue(program.isPresent(), "no chromium on the PATH: the pages are not looked at in a browser");
        browser = Browser.start(program.get(), folder.resolve("browser"));
    }

    @AfterAll
    static void stop() {
        if (browser != null) {
            browser.close();
        }
    }

    /** In every width and theme. */
    private static void requireWell(String address, String own) throws Exception {
        for (String theme : List.of("light", "dark")) {
            for (int width : new int[] {1280, 390}) {
                browser.open(address, width, 900, theme);
                String where = address + " at " + width + " in " + theme;
                assertEquals(theme, browser.value("document.documentElement.dataset.theme").asText(), where);
                requireFits(width, where);
                requireLegends(where);
                if (theme.equals("light")) {
                    requireMenus(width, where);
                }
                assertEquals(List.of(), browser.complaints(), where);
                assertTrue(browser.requests().stream().allMatch(url -> url.startsWith(own) || url.startsWith("about:") || url.startsWith("data:")), () -> where + ": " + browser.requests());
            }
        }
    }

    private static void requireFits(int width, String where) throws Exception {
        assertTrue(browser.value("document.documentElement.scrollWidth").asInt() <= width, where + " is wider than the window");
        assertEquals("[]", browser.value("JSON.stringify([...document.querySelectorAll('section')].filter(each => each.scrollWidth > each.clientWidth + 1).map(each => each.innerText.slice(0, 40)))")
                .asText(), where);
    }

    /** Every curve or bar that is drawn has a name that is seen, if there is more than one. */
    private static void requireLegends(String where) throws Exception {
        assertEquals("[]", browser.value("""
                JSON.stringify(isonorm.charts.flatMap(chart => {
                  const plot = chart.plots[chart.select ? chart.select.selectedIndex : 0];
                  const names = isonorm.names(plot).map(each => each.name);
                  const shown = [...chart.section.querySelectorAll('.legend button')].filter(each => each.offsetWidth > 0 && each.getBoundingClientRect().right <= innerWidth)
                    .map(each => each.textContent);
                  const inTable = [...document.querySelectorAll('#runs .name')].map(each => each.textContent);
                  const missing = names.length < 2 ? [] : names.filter(name => !shown.includes(name) && !(plot.legend === false
                    && inTable.some(run => name === run || name === run + ', validation')));
                  return missing.map(name => plot.title + ': ' + name);
                }))""").asText(), where);
    }

    /** Each choice of each menu of plots draws its own, with its own note, and within the page. */
    private static void requireMenus(int width, String where) throws Exception {
        JsonNode counts = browser.value("isonorm.charts.map(chart => chart.plots.length)");
        for (int chart = 0; chart < counts.size(); chart++) {
            for (int plot = 1; plot < Math.min(4, counts.get(chart).asInt()); plot++) {
                String which = "isonorm.charts[" + chart + "]";
                browser.value(which + ".select.selectedIndex = " + plot + "; " + which + ".select.dispatchEvent(new Event('change'))");
                assertEquals(browser.value(which + ".plots[" + plot + "].title"), browser.value(which + ".place.getAttribute('aria-label')"), where);
                assertEquals(plot, browser.value(which + ".notes.findIndex(note => !note.hidden)").asInt(), where);
                assertEquals(1, browser.value(which + ".section.querySelectorAll('.note:not([hidden])').length").asInt(), where);
                browser.await(which + ".place.querySelectorAll('path').length > 2");
            }
        }
        requireFits(width, where);
        requireLegends(where);
    }

    private static Path ofOneCheckpoint() {
        Path out = folder.resolve("one");
        if (Files.notExists(out)) {
            Run.of("depth", EXAMPLE, "--tokens", 1100, "--window", 64, "--sensitivity", "--gradients", "--basis", "--sensitivity-tokens", 192, "--out", out, "--quiet").ended(0);
        }
        return out;
    }

    @Test
    void aReportOfOneCheckpointIsWell() throws Exception {
        Path out = ofOneCheckpoint();
        requireWell(out.resolve("report.html").toUri().toString(), out.toUri().toString());
        browser.open(out.resolve("report.html").toUri().toString(), 1280, 900, "light");
        // Block 0 must not hide the others: the axis ends before it, which is said, and its value is written.
        String bars = "isonorm.charts.find(chart => chart.plots[0].title === 'Perplexity without one block')";
        assertTrue(browser.value(bars + ".plots[0].limit").asDouble() < 100, "a robust limit");
        assertTrue(browser.value(bars + ".section.textContent").asText().contains("The axis ends at"), "said so");
        assertTrue(browser.value(bars + ".place.textContent").asText().matches("(?s).*\u25b2 \\+[0-9,]+ %.*"), "the value of a bar that is cut");
        assertEquals(8, browser.value("(" + bars + ".place.textContent.match(/[+-][0-9.,]+ %/g) || []).length").asInt(), "bars with values");
        // The colours of a heat map say what they are.
        String heat = "isonorm.charts.find(chart => chart.plots[0].kind === 'heat')";
        assertTrue(browser.value(heat + ".place.textContent").asText().contains("angular distance"), "a title of the colours");
        // A name in a legend hides its curve; a theme redraws.
        String legend = "isonorm.charts.find(chart => chart.section.querySelectorAll('.legend button').length > 1)";
        int paths = browser.value(legend + ".place.querySelectorAll('path').length").asInt();
        browser.value(legend + ".section.querySelector('.legend button').click()");
        assertEquals("false", browser.value(legend + ".section.querySelector('.legend button').getAttribute('aria-pressed')").asText());
        browser.await(legend + ".place.querySelectorAll('path').length < " + paths); // drawn with the next frame
        browser.value("document.getElementById('theme').click()");
        assertEquals("dark", browser.value("document.documentElement.dataset.theme").asText());
        // Heads of tables sort; a term says what it is and leads to the glossary.
        browser.value("document.querySelector('table th:nth-child(2)').click()");
        browser.value("document.querySelector('table th:nth-child(2)').click()");
        assertEquals("7", browser.value("document.querySelector('tbody tr td').textContent").asText());
        assertTrue(browser.value("document.querySelector('a.term').title").asText().length() > 20, "on hover");
        assertTrue(browser.value("[...document.querySelectorAll('a.term')].every(each => document.getElementById(each.hash.slice(1)))").asBoolean(), "at the end");
    }

    /** Of two the colour is the checkpoint's, and what is measured has frames or line styles. */
    @Test
    void aReportOfTwoCheckpointsIsWell() throws Exception {
        Path out = folder.resolve("two");
        Path six = folder.resolve("six");
        Pruning.of(LoadedModel.open(EXAMPLE), List.of(3, 4)).writeTo(six, Progress.NONE);
        Run.of("depth", EXAMPLE, six, "--tokens", 256, "--window", 64, "--sensitivity", "--gradients", "--sensitivity-tokens", 64, "--out", out, "--quiet").ended(0);
        requireWell(out.resolve("report.html").toUri().toString(), out.toUri().toString());
        assertEquals("[\"0,shakespeare-gpt2\",\"1,six\"]", browser.value("""
                JSON.stringify([...new Set(isonorm.charts.flatMap(chart => chart.plots).flatMap(plot => isonorm.names(plot)).map(each => each.colour + ',' + each.name.split(', ')[0]))].sort())""")
                .asText(), "colours");
        assertEquals("[2]", browser.value("JSON.stringify([...new Set(isonorm.charts.flatMap(chart => chart.plots).filter(plot => plot.panels?.length > 2).flatMap(plot => plot.panels)"
                + ".map(panel => panel.curves.length))])").asText(), "a curve of each in every frame");
        assertTrue(browser.value("isonorm.charts.flatMap(chart => chart.plots).every(plot => isonorm.names(plot).length <= 4)").asBoolean(), "no plot of many lines");
    }

    /** Where orders of magnitude are drawn too, the axis ends at its limit, and what lies beyond has its triangle there. */
    @Test
    void anAxisEndsAtItsLimit() throws Exception {
        browser.open(ofOneCheckpoint().resolve("report.html").toUri().toString(), 1280, 900, "light");
        for (boolean logarithmic : new boolean[] {true, false}) {
            browser.value("isonorm.charts[0].plots[0] = " + "{ kind: 'lines', title: 'limit', x: 'block', y: 'variance', logarithmic: " + logarithmic
                    + ", near: false, limit: 250, panels: [{ name: '', curves: [{ name: 'a', colour: 0, style: 0, pointsShown: true, points: [[0, 1], [1, 200], [2, 90000]] }] }] }");
            browser.value("isonorm.show(isonorm.charts[0])");
            String option = "isonorm.charts[0].chart.getOption()";
            assertEquals(250, browser.value(option + ".yAxis[0].max").asDouble());
            assertEquals("[[2,250]]", browser.value("JSON.stringify(" + option + ".series.filter(each => each.symbol === 'triangle').flatMap(each => each.data.map(one => one.value)))").asText());
            assertTrue(browser.value("Math.abs(isonorm.charts[0].chart.convertToPixel({ gridIndex: 0 }, [2, 250])[1] - 14) < 1").asBoolean(), "the top of the frame");
        }
        // Nothing above zero is no reason to complain.
        browser.value("isonorm.charts[0].plots[0] = { kind: 'lines', title: 'zero', x: 'block', y: 'variance', logarithmic: false, near: false, panels: [{ name: '', curves: [{ name: 'a', "
                + "colour: 0, style: 0, pointsShown: true, points: [[0, 0], [1, 0]], spread: 'bars', around: [[0, 0, 0], [1, 0, 0]] }] }] }");
        browser.value("isonorm.show(isonorm.charts[0])");
        assertFalse(browser.value("Number.isNaN(isonorm.charts[0].chart.getOption().yAxis[0].max)").asBoolean(), "an axis");
        assertEquals(List.of(), browser.complaints());
    }

    @Test
    void aComparisonIsWell() throws Exception {
        Path out = folder.resolve("compare");
        Path grid = Run.tinyGrid(folder);
        Run.of("compare", grid, "--out", out, "--quiet").ended(0);
        requireWell(out.resolve("report.html").toUri().toString(), out.toUri().toString());
        browser.open(out.resolve("report.html").toUri().toString(), 1280, 900, "light");
        assertEquals("Validation loss, each at its best rate", browser.value("isonorm.charts[0].select.value").asText());
        assertTrue(browser.value("isonorm.charts[0].chart.getOption().series.some(each => each.type === 'custom')").asBoolean(), "a band");
    }

    // Runs that are watched

    private static Path run(String name, String strategy, int seed, int lines) throws IOException {
        Path run = Files.createDirectories(folder.resolve(name));
        Files.writeString(run.resolve("config.yaml"), "strategy: '" + strategy + "'\nseed: '" + seed + "'\nsteps: '10000'\nlr: '0.001'\n");
        add(run, 1, lines, 2 + seed * 0.1 + strategy.length());
        return run;
    }

    private static void add(Path run, int from, int count, double loss) throws IOException {
        StringBuilder text = new StringBuilder();
        for (int i = from; i < from + count; i++) {
            text.append(String.format(Locale.ROOT, "{\"step\":%d,\"loss\":%.5f,\"gradient_norm\":%s,\"learning_rate\":1e-3,\"tokens_per_second\":1000,\"seconds\":2%s}%n", 10 * i,
                    loss + 3.0 / i, i == 30 ? 50 : 1, i % 5 == 0 ? ",\"validation_loss\":" + (loss + 0.1) : ""));
            if (i % 10 == 0) {
                text.append(String.format(Locale.ROOT, "{\"step\":%d,\"blocks\":[{\"block\":0,\"variance\":1.5,\"max_abs\":3,\"gradient_norm\":0.1},"
                        + "{\"block\":1,\"variance\":%.4f,\"max_abs\":4,\"gradient_norm\":0.2}]}%n", 10 * i, i * loss));
            }
        }
        Files.writeString(run.resolve("metrics.jsonl"), text.toString(), StandardOpenOption.CREATE, StandardOpenOption.APPEND);
    }

    @Test
    void runsAreWatchedWell() throws Exception {
        Path first = run("runs/a<b>run", "pre-ln", 1, 40);
        run("runs/second", "pre-ln", 2, 40);
        run("runs/third", "peri-ln", 1, 40);
        try (WatchServer server = WatchServer.start(WatchedRuns.of(List.of(folder.resolve("runs"))), 0)) {
            requireWell(server.url(), server.url());
            browser.open(server.url(), 1280, 1000, "light");
            assertTrue(browser.value("document.title").asText().startsWith("runs"), "the folder's name");
            assertEquals("a<b>run", browser.value("document.querySelector('#runs .name').textContent").asText());
            // What is new comes by itself.
            add(first, 41, 3, 8.1);
            browser.await("document.querySelector('#runs tbody').textContent.includes('430 of 10000')");
            assertEquals(43, browser.value("isonorm.data.runs[0].loss.length").asInt());
            // Groups over seeds, smoothing, scales, what is below, search, sorting and hiding; and all of it in the address.
            choose("group", "strategy");
            assertEquals("[\"pre-ln\",\"peri-ln\"]", browser.value("JSON.stringify(" + LOSS + ".panels[0].curves.filter(each => !each.name.includes('validation')).map(each => each.name))").asText());
            assertEquals(8.15, browser.value("(p => p[p.length - 1][1] - 3 / 40)(" + LOSS + ".panels[0].curves[0].points)").asDouble(), 1e-3, "the mean of 8.1 and 8.2 at step 400");
            assertEquals("band", browser.value(LOSS + ".panels[0].curves[0].spread").asText());
            requireLegends("means");
            choose("over", "time");
            assertEquals("minutes", browser.value(LOSS + ".x").asText());
            assertEquals(40 * 2 / 60.0, browser.value("(p => p[p.length - 1][0])(" + LOSS + ".panels[0].curves[1].points)").asDouble(), 1e-9);
            choose("over", "tokens");
            assertEquals(40 * 2 * 1000, browser.value("(p => p[p.length - 1][0])(" + LOSS + ".panels[0].curves[1].points)").asDouble(), 1e-6);
            choose("scale", "log");
            assertTrue(browser.value(LOSS + ".logarithmic").asBoolean());
            choose("group", "run");
            browser.value("(e => { e.value = 0.9; e.dispatchEvent(new Event('input')) })(document.getElementById('smooth'))");
            browser.await(LOSS + ".panels[0].curves.some(curve => curve.faint)");
            browser.value("document.querySelectorAll('#runs tbody input')[1].click()");
            browser.value("(e => { e.value = 'pre-ln'; e.dispatchEvent(new Event('input')) })(document.getElementById('search'))");
            browser.await("document.querySelectorAll('#runs tbody tr:not([hidden])').length === 2");
            browser.value("[...document.querySelectorAll('#runs th')].find(each => each.textContent === 'loss').click()");
            browser.value("[...document.querySelectorAll('#runs th')].find(each => each.textContent === 'loss').click()");
            String top = "document.querySelector('#runs tr:not([hidden]) .name')";
            assertEquals("second", browser.value(top + ".textContent").asText());
            browser.value(top + ".click()");
            assertTrue(browser.value("document.getElementById('configuration').innerText").asText().contains("second"), "what it was told");
            String address = browser.value("location.href").asText();
            String before = browser.value(STATE).asText();
            assertEquals(List.of(), browser.complaints());
            browser.open(address, 1280, 1000, "light");
            assertEquals(before, browser.value(STATE).asText(), "what was chosen is in " + address);
            assertEquals("[\"a<b>run\"]", browser.value("JSON.stringify([...new Set(" + LOSS + ".panels[0].curves.map(each => each.name.split(',')[0]))])").asText());
        }
    }

    /** From the eighth run on colours come again, with other dashes than those of a validation loss; and an address that says what there is not is put right. */
    @Test
    void linesAreToldApartAndAnAddressIsChecked() throws Exception {
        for (int i = 0; i < 9; i++) {
            run("nine/run|{b}" + i, "pre-ln", i, 40);
        }
        try (WatchServer server = WatchServer.start(WatchedRuns.of(List.of(folder.resolve("nine"))), 0)) {
            browser.open(server.url() + "#sort=77&smooth=7&off=%25&plots=-1.x&none=1", 1280, 1000, "light");
            assertEquals(List.of(), browser.complaints());
            assertEquals("0.99", browser.value("document.getElementById('smooth').value").asText());
            String looks = "each => each.colour % 7 + ' ' + each.style";
            assertEquals(9, browser.value("new Set(" + LOSS + ".panels[0].curves.filter(each => !each.faint && !each.name.includes('validation')).map(" + looks + ")).size").asInt());
            assertEquals("[1]", browser.value("JSON.stringify([...new Set(" + LOSS + ".panels[0].curves.filter(each => each.name.includes('validation')).map(each => each.style))])").asText());
            assertTrue(browser.value(LOSS + ".panels[0].curves.filter(each => !each.name.includes('validation')).every(each => each.style !== 1)").asBoolean());
            assertEquals(9, browser.value("new Set([...document.querySelectorAll('#runs .swatch')].map(each => each.innerHTML)).size").asInt(), "as the lines");
            // A name is no template of the library that draws.
            browser.value("isonorm.charts[1].chart.dispatchAction({ type: 'highlight', seriesName: 'marks' })");
            browser.await("isonorm.charts[1].place.textContent.includes('run|{b}0 spiked at step 300')");
            // Of a page that is open for long, what is smoothed is thinned, and not the other way around: (0 + 0.01 / 0.0199) / 2.
            browser.value("Object.assign(isonorm.data.runs[0], { loss: Array.from({ length: 1800 }, (_, i) => i), at: { step: Array.from({ length: 1800 }, (_, i) => i) } })");
            assertEquals(0.251256, browser.value(LOSS + ".panels[0].curves[1].points[0][1]").asDouble(), 1e-6);
            browser.value("document.querySelectorAll('#runs tbody input')[1].click()");
            String address = browser.value("location.href").asText();
            assertTrue(!address.contains("none=") && !address.contains("sort="), address);
            browser.open(address, 1280, 1000, "light");
            assertEquals("[true,false,true]", browser.value("JSON.stringify([...document.querySelectorAll('#runs tbody input')].slice(0, 3).map(each => each.checked))").asText());
        }
    }

    private static final String LOSS = "isonorm.charts[0].plots[0]";
    private static final String STATE = "JSON.stringify([...document.querySelectorAll('#options select, #options input, #search')].map(each => each.value)) + document.getElementById('shown').textContent"
            + " + [...document.querySelectorAll('#runs .name')].map(each => each.textContent)";

    private static void choose(String id, String value) throws Exception {
        browser.value("(e => { e.value = '" + value + "'; e.dispatchEvent(new Event('change')) })(document.getElementById('" + id + "'))");
        browser.await("isonorm.charts.every(chart => !chart.waits)");
    }

    /** Fifty runs of two thousand lines: no more points are sent than are seen. */
    @Test
    void ofManyLongRunsFewPointsAreSent() throws Exception {
        List<Path> runs = new ArrayList<>();
        for (int i = 0; i < 50; i++) {
            runs.add(run("many/run-" + i, i % 2 == 0 ? "pre-ln" : "lns", i / 2, 2000));
        }
        try (WatchServer server = WatchServer.start(WatchedRuns.of(runs), 0)) {
            browser.open(server.url(), 1280, 900, "light");
            assertTrue(browser.value("isonorm.data.runs.every(run => run.step.length <= 400)").asBoolean());
            assertTrue(browser.value("document.getElementById('plots').textContent.length").asInt() < 3_000_000, "what is sent");
            assertEquals(50, browser.value("document.querySelectorAll('#runs tbody tr').length").asInt());
            assertEquals(String.format(Locale.ROOT, "%.4f", 2 + 6 + 3 / 2000.), browser.value("document.querySelector('#runs tbody tr').cells[5].textContent").asText(), "the newest window");
        }
    }
}
