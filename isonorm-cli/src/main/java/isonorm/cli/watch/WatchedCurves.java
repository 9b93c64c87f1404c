package isonorm.cli.watch;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.cli.terminal.Json;
import isonorm.train.Metrics;
import isonorm.train.MetricsTail;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.ToDoubleFunction;
import java.util.stream.DoubleStream;
import java.util.stream.IntStream;

/**
 * What the page of a run is told to draw: columns of numbers, one of each measure, and the blocks at some moments. A page that is loaded gets no more
 * than so many points and moments of a run, however long it is; what comes while it is open is added to these as it is.
 */
final class WatchedCurves {

    /** A page has no more points of a run than twice as many; those of a longer one are of several windows of steps. */
    static final int POINTS = 400;

    /** A page has no more moments of a run. */
    static final int MOMENTS = 96;

    /** Digits that are told. */
    private static final int DIGITS = 6;

    /** What each column of a point is: of several windows the mean of what is a mean, the largest of what is one, and the last of the others, each of finite values. */
    private static final Map<String, ToDoubleFunction<List<Metrics.Line>>> COLUMNS = new LinkedHashMap<>();

    static {
        COLUMNS.put("step", some -> some.getLast().step());
        COLUMNS.put("loss", some -> mean(some, Metrics.Line::loss));
        COLUMNS.put("validation", some -> last(some, Metrics.Line::validation));
        COLUMNS.put("accuracy", some -> last(some, Metrics.Line::accuracy));
        COLUMNS.put("gradient", some -> finite(some, Metrics.Line::gradientNorm).max().orElse(Double.NaN));
        COLUMNS.put("rate", some -> some.getLast().rate());
        COLUMNS.put("throughput", some -> mean(some, Metrics.Line::tokensPerSecond));
        COLUMNS.put("tokens", some -> finite(some, line -> line.tokensPerSecond() * line.seconds()).sum());
        COLUMNS.put("seconds", some -> finite(some, Metrics.Line::seconds).sum());
    }

    private static final Map<String, ToDoubleFunction<Metrics.BlockLine>> OF_BLOCKS = new LinkedHashMap<>();

    static {
        OF_BLOCKS.put("variance", Metrics.BlockLine::variance);
        OF_BLOCKS.put("largest", Metrics.BlockLine::largest);
        OF_BLOCKS.put("gradient", Metrics.BlockLine::gradientNorm);
    }

    private WatchedCurves() {}

    /** Everything of a run in no more points than a page gets. */
    static void all(WatchedRun run, ObjectNode into) {
        int each = run.lines().size() <= 2 * POINTS ? 1 : Math.ceilDiv(run.lines().size() - 1, POINTS - 1);
        columns(run.lines().stream().map(WatchedRun.Row::value).toList(), each, into);
        List<MetricsTail.Blocks> moments = run.blocks().stream().map(WatchedRun.Row::value).toList();
        int every = Math.max(1, Math.ceilDiv(moments.size(), MOMENTS));
        moments(IntStream.range(0, moments.size()).filter(i -> i % every == 0 || i == moments.size() - 1).mapToObj(moments::get).toList(), into);
        events(run, 0, into);
    }

    /** What came behind the row of this number. */
    static void since(WatchedRun run, long seen, ObjectNode into) {
        columns(newer(run.lines(), seen), 1, into);
        moments(newer(run.blocks(), seen), into);
        events(run, seen, into);
    }

    /** Rows lie in the order of their numbers. */
    private static <T> List<T> newer(List<WatchedRun.Row<T>> rows, long seen) {
        int from = rows.size();
        while (from > 0 && rows.get(from - 1).number() > seen) {
            from--;
        }
        return rows.subList(from, rows.size()).stream().map(WatchedRun.Row::value).toList();
    }

    /** The last line is a point of its own: the newest window of steps, as tables have it. */
    private static void columns(List<Metrics.Line> lines, int each, ObjectNode into) {
        List<List<Metrics.Line>> points = new ArrayList<>();
        int last = lines.size() - 1;
        for (int from = 0; from < last; from += each) {
            points.add(lines.subList(from, Math.min(last, from + each)));
        }
        if (last >= 0) {
            points.add(lines.subList(last, last + 1));
        }
        COLUMNS.forEach((name, value) -> {
            ArrayNode column = Json.array();
            points.forEach(some -> number(column, value.applyAsDouble(some)));
            into.set(name, column);
        });
    }

    private static void moments(List<MetricsTail.Blocks> some, ObjectNode into) {
        ArrayNode moments = into.putArray("moments");
        for (MetricsTail.Blocks measured : some) {
            ObjectNode moment = moments.addObject().put("step", measured.step());
            List<Metrics.BlockLine> blocks = measured.blocks().stream().sorted(Comparator.comparingInt(Metrics.BlockLine::block)).toList();
            OF_BLOCKS.forEach((name, value) -> {
                ArrayNode column = moment.putArray(name);
                blocks.forEach(block -> number(column, value.applyAsDouble(block)));
            });
        }
    }

    private static void events(WatchedRun run, long seen, ObjectNode into) {
        ArrayNode events = into.putArray("events");
        run.events().stream().filter(event -> event.number() > seen).forEach(event -> events.addObject().put("step", event.line().step()).put("diverged", event.diverged())
                .put("loss", event.loss()).put("gradient", event.gradient()));
    }

    private static DoubleStream finite(List<Metrics.Line> some, ToDoubleFunction<Metrics.Line> value) {
        return some.stream().mapToDouble(value).filter(Double::isFinite);
    }

    private static double mean(List<Metrics.Line> some, ToDoubleFunction<Metrics.Line> value) {
        return finite(some, value).average().orElse(Double.NaN);
    }

    private static double last(List<Metrics.Line> some, ToDoubleFunction<Metrics.Line> value) {
        return finite(some, value).reduce(Double.NaN, (_, next) -> next);
    }

    /** What is no finite number has no place. */
    private static void number(ArrayNode into, double value) {
        if (!Double.isFinite(value)) {
            into.addNull();
        } else if (value == Math.rint(value) && Math.abs(value) < 1L << 53) {
            into.add((long) value);
        } else {
            double scale = Math.pow(10, DIGITS - 1 - Math.floor(Math.log10(Math.abs(value))));
            into.add(Double.isFinite(scale) ? Math.round(value * scale) / scale : value);
        }
    }
}
