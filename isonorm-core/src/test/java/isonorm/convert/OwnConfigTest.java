package isonorm.convert;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Config;
import isonorm.family.Fixtures;
import isonorm.model.ConversionRefused;
import isonorm.model.Progress;
import isonorm.mutation.CleanLine;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Whatever stands at a place of a converted checkpoint's config.json, it is read, or refused in words; so is each way on from there. */
class OwnConfigTest {

    private static final Object ABSENT = new Object();

    private static final List<Object> VALUES = Arrays.asList(ABSENT, null, true, false, 0, 1, -1, 2, 3, 5, 7, 1000, 65537, Integer.MAX_VALUE, Integer.MIN_VALUE, 1L << 40,
            0.5, -0.0, 1e-30, 1e300, -2.5, "", "x", "1", "none", "rms", "layer", "pre", "post", "gelu", "pre-rmsnorm", "isonorm", "gpt2", "bert", "llama",
            List.of(), List.of(1), List.of("x"), List.of(Map.of()), Map.of(), Map.of("kind", "x"), Map.of("kind", "linear", "factor", -1));

    private static final Map<String, Form> FORMS = Map.ofEntries(Map.entry("gpt2", Form.PRE_CRMSNORM), Map.entry("bert", Form.RMSNORM), Map.entry("bloom", Form.PRE_CRMSNORM),
            Map.entry("phi", Form.PRE_RMSNORM), Map.entry("opt", Form.PRE_RMSNORM), Map.entry("vit", Form.PRE_CRMSNORM), Map.entry("gpt_neo", Form.PRE_RMSNORM));

    /** Of the values at a place so many are tried; all with {@code -Disonorm.all=true}. */
    private static final int SOME = Boolean.getBoolean("isonorm.all") ? VALUES.size() : 3;

    @TempDir
    Path folder;

    @Test
    void everyPlaceTakesAnyValueOrRefusesIt() throws IOException {
        SplittableRandom random = new SplittableRandom(17);
        Map<String, String> wrong = new LinkedHashMap<>();
        int opened = 0;
        int refused = 0;
        for (Map.Entry<String, Form> each : FORMS.entrySet()) {
            Path model = folder.resolve(each.getKey());
            Conversion.of(Fixtures.open(each.getKey()), each.getValue()).writeTo(model, Progress.NONE);
            Config config = LoadedModel.open(model).config();
            for (List<Object> place : places(config.values(), List.of())) {
                for (int i = 0; i < SOME; i++) {
                    Object value = VALUES.get(SOME == VALUES.size() ? i : random.nextInt(VALUES.size()));
                    Config.of(strings((Map<?, ?>) changed(config.values(), place, value))).writeTo(model.resolve("config.json"));
                    String what = each.getKey() + " " + place + " = " + (value == ABSENT ? "absent" : value);
                    try {
                        go(model);
                        opened++;
                    } catch (CheckpointException | ConversionRefused e) {
                        refused++;
                        Optional<String> complaint = CleanLine.complaint(e.getMessage());
                        complaint.ifPresent(why -> wrong.put(what, why + ": " + e.getMessage()));
                    } catch (RuntimeException | Error e) {
                        wrong.put(what, e + " at " + (e.getStackTrace().length == 0 ? "" : e.getStackTrace()[0]) + " " + own(e));
                    }
                }
            }
        }
        assertEquals("", String.join("\n", wrong.entrySet().stream().map(entry -> entry.getKey() + ": " + entry.getValue()).toList()));
        assertTrue(opened > 100 && refused > 100, opened + " opened, " + refused + " refused");
    }

    private static String own(Throwable e) {
        return Arrays.stream(e.getStackTrace()).filter(at -> at.getClassName().startsWith("isonorm.")).limit(4).toList().toString();
    }

    /** Opens a model, and asks for each form of it. */
    private static void go(Path model) throws IOException {
        LoadedModel loaded = LoadedModel.open(model);
        loaded.unknownKeys();
        for (Form form : Form.values()) {
            if (Conversion.refusals(loaded, form).isEmpty()) {
                Conversion.of(loaded, form).result().parameterCount();
            }
        }
    }

    private static Map<String, Object> strings(Map<?, ?> map) {
        Map<String, Object> strings = new LinkedHashMap<>();
        map.forEach((key, value) -> strings.put((String) key, value));
        return strings;
    }

    /** Every path to a value, of keys and numbers. */
    private static List<List<Object>> places(Object value, List<Object> path) {
        List<List<Object>> places = new ArrayList<>();
        if (!path.isEmpty()) {
            places.add(path);
        }
        if (value instanceof Map<?, ?> map) {
            map.forEach((key, inner) -> places.addAll(places(inner, with(path, key))));
        } else if (value instanceof List<?> list) {
            for (int i = 0; i < list.size(); i++) {
                places.addAll(places(list.get(i), with(path, i)));
            }
        }
        return places;
    }

    private static List<Object> with(List<Object> path, Object step) {
        List<Object> longer = new ArrayList<>(path);
        longer.add(step);
        return longer;
    }

    private static Object changed(Object tree, List<Object> path, Object value) {
        if (path.isEmpty()) {
            return value;
        }
        List<Object> rest = path.subList(1, path.size());
        if (tree instanceof Map<?, ?> map) {
            Map<String, Object> copy = strings(map);
            Object inner = changed(copy.get((String) path.getFirst()), rest, value);
            if (inner == ABSENT) {
                copy.remove((String) path.getFirst());
            } else {
                copy.put((String) path.getFirst(), inner);
            }
            return copy;
        }
        List<Object> copy = new ArrayList<>((List<?>) tree);
        int at = (Integer) path.getFirst();
        Object inner = changed(copy.get(at), rest, value);
        if (inner == ABSENT) {
            copy.remove(at);
        } else {
            copy.set(at, inner);
        }
        return copy;
    }
}
