package isonorm.cli.report;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.cli.report.BarChart.Bar;
import isonorm.cli.report.BarChart.Group;
import isonorm.cli.report.BarChart.Panel;
import java.io.StringReader;
import java.util.ArrayList;
import java.util.List;
import javax.xml.parsers.DocumentBuilderFactory;
import org.junit.jupiter.api.Test;
import org.w3c.dom.Element;
import org.w3c.dom.NodeList;
import org.xml.sax.InputSource;

/** The image is well-formed, has a bar for each value, and each bar is where its value is. */
class BarChartTest {

    private static final BarChart CHART = new BarChart("Time <of> a \"pass\" & more", "What it shows.", "Pre-LN = 1", List.of("none", "rms"), List.of(
            new Panel("f32", List.of(
                    new Group("vit-ti", "batch 1", List.of(new Bar(.9, .88, .93), new Bar(1.04, 1.01, 1.05))),
                    new Group("vit-s", "batch 8", List.of(new Bar(.95, .95, .95), new Bar(1, 1, 1))))),
            new Panel("bf16", List.of(new Group("vit-ti", "batch 1", List.of(new Bar(.8, .7, .9), new Bar(.85, .8, 2)))))));

    @Test
    void hasABarForEachValueAndAKeyForEachSeries() throws Exception {
        Element svg = parsed(CHART);
        List<Element> bars = ofClass(svg, "g", "bar");
        assertEquals(6, bars.size());
        assertEquals(2, ofClass(svg, "rect", "key").size());
        assertEquals("f32, vit-ti, batch 1, none: 0.900 (0.880 to 0.930)", bars.getFirst().getElementsByTagName("title").item(0).getTextContent().strip());
        assertEquals("img", svg.getAttribute("role"));
        assertEquals("Time <of> a \"pass\" & more", svg.getElementsByTagName("title").item(0).getTextContent().strip());
        assertEquals("What it shows.", svg.getElementsByTagName("desc").item(0).getTextContent().strip());
    }

    @Test
    void barsHangFromOrStandOnTheLineAtOne() throws Exception {
        List<Element> bars = ofClass(parsed(CHART), "g", "bar");
        Element below = rectangle(bars.get(0));
        Element above = rectangle(bars.get(1));
        double one = number(below, "y");
        assertEquals(one, number(above, "y") + number(above, "height"), 0.02);
        assertEquals(0.10 / 0.04, number(below, "height") / number(above, "height"), 0.01);
        assertEquals(0, number(rectangle(bars.get(3)), "height"));
        Element whisker = (Element) bars.get(0).getElementsByTagName("line").item(0);
        double scale = number(below, "height") / 0.10;
        assertEquals(one + 0.07 * scale, number(whisker, "y1"), 0.02);
        assertEquals(one + 0.12 * scale, number(whisker, "y2"), 0.02);
    }

    /** Above what stands, below what hangs, clear of the whiskers. */
    @Test
    void barsHaveTheirValues() throws Exception {
        List<Element> bars = ofClass(parsed(CHART), "g", "bar");
        assertEquals(List.of("0.900", "1.040", "0.950", "1.000", "0.800", "0.850"), bars.stream().map(bar -> label(bar).getTextContent().strip()).toList());
        assertTrue(number(label(bars.get(0)), "y") > number((Element) bars.get(0).getElementsByTagName("line").item(0), "y2") + 7, "below");
        assertTrue(number(label(bars.get(1)), "y") < number((Element) bars.get(1).getElementsByTagName("line").item(0), "y1"), "above");
    }

    private static Element label(Element bar) {
        return (Element) bar.getElementsByTagName("text").item(0);
    }

    /** Whatever the values are, nothing lies outside the image. */
    @Test
    void everythingIsInside() throws Exception {
        for (Bar bar : List.of(new Bar(1, 1, 1), new Bar(.999, .998, 1.001), new Bar(30, 2, 50), new Bar(.01, .005, .02))) {
            Element svg = parsed(new BarChart("t", "d", "1", List.of("a"), List.of(new Panel("p", List.of(new Group("g", "h", List.of(bar)))))));
            double height = number(svg, "height");
            for (String name : List.of("y", "y1", "y2")) {
                NodeList all = svg.getElementsByTagName("*");
                for (int i = 0; i < all.getLength(); i++) {
                    Element each = (Element) all.item(i);
                    if (each.hasAttribute(name)) {
                        assertTrue(number(each, name) >= 0 && number(each, name) <= height, bar + " " + name + "=" + each.getAttribute(name));
                    }
                }
            }
        }
    }

    private static Element parsed(BarChart chart) throws Exception {
        DocumentBuilderFactory factory = DocumentBuilderFactory.newInstance();
        return factory.newDocumentBuilder().parse(new InputSource(new StringReader(chart.svg()))).getDocumentElement();
    }

    private static Element rectangle(Element bar) {
        return (Element) bar.getElementsByTagName("rect").item(0);
    }

    private static double number(Element element, String attribute) {
        return Double.parseDouble(element.getAttribute(attribute));
    }

    private static List<Element> ofClass(Element svg, String element, String name) {
        List<Element> found = new ArrayList<>();
        NodeList all = svg.getElementsByTagName(element);
        for (int i = 0; i < all.getLength(); i++) {
            if (((Element) all.item(i)).getAttribute("class").equals(name)) {
                found.add((Element) all.item(i));
            }
        }
        return found;
    }
}
