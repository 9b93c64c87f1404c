package isonorm.chat;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import isonorm.chat.Jinja.Function;
import isonorm.chat.Jinja.Wrong;
import java.math.BigDecimal;
import java.time.ZoneId;
import java.time.ZonedDateTime;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * The values of a template as Python has them, and what can be done with them: a text, a number (Long or Double), true or false, none (null), a list, a map, a
 * {@link Function}, and what is not defined.
 */
final class JinjaValues {

    private static final int LONGEST_RANGE = 100_000;
    private static final ObjectMapper JSON = new ObjectMapper();

    private JinjaValues() {}

    /** What has no value. */
    record Undefined(String name) {}

    /** A map whose fields a template may set. */
    private static final class Namespace extends LinkedHashMap<@Nullable Object, @Nullable Object> {
        private static final long serialVersionUID = 1L;
    }

    /** What every template can call. */
    static final Map<String, Object> FUNCTIONS = Map.of(
            "range", (Function) (arguments, _) -> range(arguments),
            "namespace", (Function) (_, named) -> {
                Namespace space = new Namespace();
                space.putAll(named);
                return space;
            },
            "dict", (Function) (_, named) -> new LinkedHashMap<Object, Object>(named),
            "raise_exception", (Function) (arguments, _) -> {
                throw new Wrong(text(arguments.isEmpty() ? "" : arguments.getFirst()));
            },
            "strftime_now", (Function) (arguments, _) -> now(string(arguments.getFirst())));

    private static List<@Nullable Object> range(List<@Nullable Object> arguments) {
        if (arguments.isEmpty() || arguments.size() > 3) {
            throw new Wrong("range takes one to three numbers");
        }
        long from = arguments.size() == 1 ? 0 : whole(arguments.get(0));
        long to = whole(arguments.get(arguments.size() == 1 ? 0 : 1));
        long step = arguments.size() == 3 ? whole(arguments.get(2)) : 1;
        if (step == 0 || (to - from) / step > LONGEST_RANGE) {
            throw new Wrong("a range must go on, and have " + LONGEST_RANGE + " numbers at the most");
        }
        List<@Nullable Object> all = new ArrayList<>();
        for (long i = from; step > 0 ? i < to : i > to; i += step) {
            all.add(i);
        }
        return all;
    }

    /** Now, as C's strftime writes it. */
    private static String now(String format) {
        ZonedDateTime now = ZonedDateTime.now(ZoneId.systemDefault());
        StringBuilder text = new StringBuilder();
        for (int i = 0; i < format.length(); i++) {
            if (format.charAt(i) != '%' || i + 1 == format.length()) {
                text.append(format.charAt(i));
                continue;
            }
            String pattern = switch (format.charAt(++i)) {
                case 'd' -> "dd";
                case 'm' -> "MM";
                case 'Y' -> "yyyy";
                case 'y' -> "yy";
                case 'b' -> "MMM";
                case 'B' -> "MMMM";
                case 'a' -> "EEE";
                case 'A' -> "EEEE";
                case 'H' -> "HH";
                case 'M' -> "mm";
                case 'S' -> "ss";
                case 'j' -> "DDD";
                default -> throw new Wrong("strftime_now does not know %" + format.charAt(i));
            };
            text.append(now.format(DateTimeFormatter.ofPattern(pattern, Locale.ENGLISH)));
        }
        return text.toString();
    }

    /** A value of Java's as a template has it. */
    static @Nullable Object of(@Nullable Object value) {
        return switch (value) {
            case null -> null;
            case String _, Boolean _, Long _, Double _, Undefined _, Function _ -> value;
            case Integer number -> number.longValue();
            case Number number -> number.doubleValue();
            case List<?> list -> {
                List<@Nullable Object> all = new ArrayList<>();
                list.forEach(each -> all.add(of(each)));
                yield all;
            }
            case Map<?, ?> map -> {
                Map<@Nullable Object, @Nullable Object> all = new LinkedHashMap<>();
                map.forEach((key, each) -> all.put(of(key), of(each)));
                yield all;
            }
            default -> throw new Wrong("a value is of no kind that templates have");
        };
    }

    static boolean isTrue(@Nullable Object value) {
        return switch (value) {
            case null -> false;
            case Boolean flag -> flag;
            case String text -> !text.isEmpty();
            case Long number -> number != 0;
            case Double number -> number != 0;
            case List<?> list -> !list.isEmpty();
            case Map<?, ?> map -> !map.isEmpty();
            case Undefined _ -> false;
            default -> true;
        };
    }

    /** As Python's str. */
    static String text(@Nullable Object value) {
        return switch (value) {
            case null -> "None";
            case String text -> text;
            case Undefined _ -> "";
            default -> written(value);
        };
    }

    /** As Python's repr. */
    private static String written(@Nullable Object value) {
        return switch (value) {
            case null -> "None";
            case Boolean flag -> flag ? "True" : "False";
            case String text -> quoted(text);
            case Double number -> number == Math.rint(number) && Math.abs(number) < 1e16 ? BigDecimal.valueOf(number).setScale(1).toPlainString() : String.valueOf(number);
            case List<?> list -> "[" + String.join(", ", list.stream().map(JinjaValues::written).toList()) + "]";
            case Map<?, ?> map -> "{" + String.join(", ", map.entrySet().stream().map(each -> written(each.getKey()) + ": " + written(each.getValue())).toList()) + "}";
            case Undefined _ -> "Undefined";
            case Function _ -> throw new Wrong("what can be called cannot be written");
            default -> String.valueOf(value);
        };
    }

    private static String quoted(String text) {
        String quote = text.contains("'") && !text.contains("\"") ? "\"" : "'";
        return quote + text.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r").replace(quote.equals("'") ? "'" : "\u0000", "\\'") + quote;
    }

    private static Wrong undefined(Undefined value) {
        return new Wrong(value.name + " is undefined");
    }

    private static String string(@Nullable Object value) {
        if (value instanceof String text) {
            return text;
        }
        throw value instanceof Undefined none ? undefined(none) : new Wrong("a text is needed, got " + written(value));
    }

    private static long whole(@Nullable Object value) {
        return switch (value) {
            case Long number -> number;
            case Boolean flag -> flag ? 1 : 0;
            case null, default -> throw value instanceof Undefined none ? undefined(none) : new Wrong("a whole number is needed, got " + written(value));
        };
    }

    private static boolean isNumber(@Nullable Object value) {
        return value instanceof Long || value instanceof Double || value instanceof Boolean;
    }

    private static double number(@Nullable Object value) {
        return value instanceof Double number ? number : whole(value);
    }

    /** What can be gone through: a list, a map's keys, a text's characters; nothing where there is nothing. */
    static List<@Nullable Object> list(@Nullable Object value) {
        return switch (value) {
            case List<?> list -> new ArrayList<@Nullable Object>(list);
            case Map<?, ?> map -> new ArrayList<@Nullable Object>(map.keySet());
            case String text -> new ArrayList<@Nullable Object>(text.codePoints().mapToObj(Character::toString).toList());
            case Undefined _ -> List.of();
            case null, default -> throw new Wrong(written(value) + " cannot be gone through");
        };
    }

    /** What a loop's body knows of it. */
    static Map<Object, @Nullable Object> loop(List<@Nullable Object> all, int index) {
        Map<Object, @Nullable Object> loop = new LinkedHashMap<>();
        long i = index;
        long n = all.size();
        loop.put("index", i + 1);
        loop.put("index0", i);
        loop.put("revindex", n - i);
        loop.put("revindex0", n - i - 1);
        loop.put("first", i == 0);
        loop.put("last", i == n - 1);
        loop.put("length", n);
        loop.put("previtem", i > 0 ? all.get(index - 1) : new Undefined("loop.previtem"));
        loop.put("nextitem", i < n - 1 ? all.get(index + 1) : new Undefined("loop.nextitem"));
        loop.put("cycle", (Function) (arguments, _) -> arguments.get(index % arguments.size()));
        return loop;
    }

    static boolean compare(String sign, @Nullable Object left, @Nullable Object right) {
        return switch (sign) {
            case "==" -> same(left, right);
            case "!=" -> !same(left, right);
            case "in" -> contains(right, left);
            case "not in" -> !contains(right, left);
            default -> {
                int order = order(left, right);
                yield switch (sign) {
                    case "<" -> order < 0;
                    case ">" -> order > 0;
                    case "<=" -> order <= 0;
                    default -> order >= 0;
                };
            }
        };
    }

    private static boolean same(@Nullable Object left, @Nullable Object right) {
        if (left instanceof Undefined || right instanceof Undefined) {
            return left instanceof Undefined && right instanceof Undefined;
        }
        return isNumber(left) && isNumber(right) ? number(left) == number(right) : Objects.equals(left, right);
    }

    private static int order(@Nullable Object left, @Nullable Object right) {
        if (left instanceof String a && right instanceof String b) {
            return a.compareTo(b);
        }
        return Double.compare(number(left), number(right));
    }

    private static boolean contains(@Nullable Object all, @Nullable Object one) {
        return switch (all) {
            case String text -> text.contains(string(one));
            case Map<?, ?> map -> map.containsKey(one);
            case List<?> list -> list.stream().anyMatch(each -> same(each, one));
            case Undefined _ -> false;
            case null, default -> throw new Wrong("nothing can be in " + written(all));
        };
    }

    static Object calculate(String sign, @Nullable Object left, @Nullable Object right) {
        if (left instanceof Undefined none) {
            throw undefined(none);
        }
        if (right instanceof Undefined none) {
            throw undefined(none);
        }
        if (sign.equals("+") && left instanceof String a && right instanceof String b) {
            return a + b;
        }
        if (sign.equals("+") && left instanceof List<?> a && right instanceof List<?> b) {
            List<@Nullable Object> both = new ArrayList<>(a);
            both.addAll(b);
            return both;
        }
        if (sign.equals("*") && left instanceof String text && right instanceof Long times) {
            if (text.length() * Math.max(0L, times) > LONGEST_RANGE) {
                throw new Wrong("a text is repeated too often");
            }
            return text.repeat((int) Math.max(0, times));
        }
        if (!isNumber(left) || !isNumber(right)) {
            throw new Wrong(written(left) + " " + sign + " " + written(right) + " makes no sense");
        }
        if (number(right) == 0 && Set.of("/", "//", "%").contains(sign)) {
            throw new Wrong("nothing can be divided by 0");
        }
        if (left instanceof Double || right instanceof Double || sign.equals("/") || sign.equals("**") && number(right) < 0) {
            double a = number(left);
            double b = number(right);
            return switch (sign) {
                case "+" -> a + b;
                case "-" -> a - b;
                case "*" -> a * b;
                case "/" -> a / b;
                case "//" -> Math.floor(a / b);
                case "%" -> a - b * Math.floor(a / b);
                default -> Math.pow(a, b);
            };
        }
        long a = whole(left);
        long b = whole(right);
        try {
            return switch (sign) {
                case "+" -> Math.addExact(a, b);
                case "-" -> Math.subtractExact(a, b);
                case "*" -> Math.multiplyExact(a, b);
                case "//" -> Math.floorDiv(a, b);
                case "%" -> Math.floorMod(a, b);
                default -> Math.powExact(a, Math.toIntExact(b));
            };
        } catch (ArithmeticException e) {
            throw new Wrong("a number becomes too large");
        }
    }

    static @Nullable Object item(@Nullable Object of, @Nullable Object index) {
        return switch (of) {
            case Map<?, ?> map -> map.containsKey(index) ? map.get(index) : new Undefined(written(index));
            case List<?> list -> {
                if (!(index instanceof Long)) {
                    yield new Undefined(written(index));
                }
                long at = whole(index) < 0 ? whole(index) + list.size() : whole(index);
                yield at >= 0 && at < list.size() ? list.get((int) at) : new Undefined("item " + index);
            }
            case String text -> {
                List<@Nullable Object> characters = list(text);
                yield index instanceof Long ? item(characters, index) : field(of, string(index));
            }
            case Undefined none -> throw undefined(none);
            case null, default -> new Undefined(written(index));
        };
    }

    static Object slice(@Nullable Object of, @Nullable Object from, @Nullable Object to, @Nullable Object step) {
        List<@Nullable Object> all = list(of instanceof Undefined none ? string(none) : of);
        long by = step == null ? 1 : whole(step);
        if (by == 0) {
            throw new Wrong("a slice must go on");
        }
        long n = all.size();
        long first = from == null ? by > 0 ? 0 : n - 1 : bound(whole(from), n, by);
        long last = to == null ? by > 0 ? n : -1 : bound(whole(to), n, by);
        List<@Nullable Object> some = new ArrayList<>();
        for (long i = first; by > 0 ? i < last : i > last; i += by) {
            some.add(all.get((int) i));
        }
        return of instanceof String ? String.join("", some.stream().map(String::valueOf).toList()) : some;
    }

    private static long bound(long index, long n, long by) {
        long at = index < 0 ? index + n : index;
        return by > 0 ? Math.clamp(at, 0, n) : Math.clamp(at, -1, n - 1);
    }

    static void put(@Nullable Object into, String field, @Nullable Object value) {
        if (!(into instanceof Namespace space)) {
            throw new Wrong("only the fields of a namespace can be set, not " + field);
        }
        space.put(field, value);
    }

    static @Nullable Object call(@Nullable Object function, List<@Nullable Object> arguments, Map<String, @Nullable Object> named) {
        return switch (function) {
            case Function known -> known.of(arguments, named);
            case Undefined none -> throw new Wrong(none.name + " is not known, and cannot be called");
            case null, default -> throw new Wrong(written(function) + " cannot be called");
        };
    }

    /** A value's field, or a method of its kind. */
    static @Nullable Object field(@Nullable Object of, String name) {
        return switch (of) {
            case Undefined none -> throw undefined(none);
            case Map<?, ?> map -> map.containsKey(name) ? map.get(name) : ofMap(map, name);
            case String text -> ofText(text, name);
            case null, default -> new Undefined(name);
        };
    }

    private static Object ofMap(Map<?, ?> map, String name) {
        return switch (name) {
            case "items" -> (Function) (_, _) -> items(map);
            case "keys" -> (Function) (_, _) -> list(map);
            case "values" -> (Function) (_, _) -> new ArrayList<@Nullable Object>(map.values());
            case "get" -> (Function) (arguments, _) -> map.containsKey(arguments.getFirst()) ? map.get(arguments.getFirst()) : arguments.size() > 1 ? arguments.get(1) : null;
            default -> new Undefined(name);
        };
    }

    private static List<@Nullable Object> items(Map<?, ?> map) {
        List<@Nullable Object> items = new ArrayList<>();
        map.forEach((key, value) -> {
            List<@Nullable Object> pair = new ArrayList<>();
            pair.add(key);
            pair.add(value);
            items.add(pair);
        });
        return items;
    }

    private static Object ofText(String text, String name) {
        return switch (name) {
            case "strip" -> (Function) (arguments, _) -> strip(text, arguments, true, true);
            case "lstrip" -> (Function) (arguments, _) -> strip(text, arguments, true, false);
            case "rstrip" -> (Function) (arguments, _) -> strip(text, arguments, false, true);
            case "startswith" -> (Function) (arguments, _) -> list1(arguments.getFirst()).stream().anyMatch(each -> text.startsWith(string(each)));
            case "endswith" -> (Function) (arguments, _) -> list1(arguments.getFirst()).stream().anyMatch(each -> text.endsWith(string(each)));
            case "upper", "lower", "title", "capitalize" -> (Function) (_, _) -> cased(text, name);
            case "replace" -> (Function) (arguments, _) -> replaced(text, arguments);
            case "split" -> (Function) (arguments, named) -> split(text, arguments, named);
            case "join" -> (Function) (arguments, _) -> String.join(text, list(arguments.getFirst()).stream().map(JinjaValues::string).toList());
            case "find" -> (Function) (arguments, _) -> (long) text.indexOf(string(arguments.getFirst()));
            case "count" -> (Function) (arguments, _) -> (long) text.split(java.util.regex.Pattern.quote(string(arguments.getFirst())), -1).length - 1;
            case "isdigit" -> (Function) (_, _) -> !text.isEmpty() && text.chars().allMatch(Character::isDigit);
            default -> new Undefined(name);
        };
    }

    private static List<@Nullable Object> list1(@Nullable Object value) {
        return value instanceof List<?> list ? new ArrayList<@Nullable Object>(list) : Collections.singletonList(value);
    }

    private static String cased(String text, String how) {
        return switch (how) {
            case "upper" -> text.toUpperCase(Locale.ROOT);
            case "lower" -> text.toLowerCase(Locale.ROOT);
            case "capitalize" -> text.isEmpty() ? text : text.substring(0, 1).toUpperCase(Locale.ROOT) + text.substring(1).toLowerCase(Locale.ROOT);
            default -> {
                StringBuilder title = new StringBuilder();
                boolean begins = true;
                for (int i = 0; i < text.length(); i++) {
                    char c = text.charAt(i);
                    title.append(begins ? Character.toUpperCase(c) : Character.toLowerCase(c));
                    begins = !Character.isLetter(c);
                }
                yield title.toString();
            }
        };
    }

    private static String strip(String text, List<@Nullable Object> arguments, boolean left, boolean right) {
        String characters = arguments.isEmpty() || arguments.getFirst() == null ? "" : string(arguments.getFirst());
        int from = 0;
        int to = text.length();
        while (left && from < to && stripped(text.charAt(from), characters)) {
            from++;
        }
        while (right && to > from && stripped(text.charAt(to - 1), characters)) {
            to--;
        }
        return text.substring(from, to);
    }

    private static boolean stripped(char c, String characters) {
        return characters.isEmpty() ? Character.isWhitespace(c) || c == '\u00a0' || c == '\u0085' : characters.indexOf(c) >= 0;
    }

    private static String replaced(String text, List<@Nullable Object> arguments) {
        if (arguments.size() < 2) {
            throw new Wrong("replace takes what is replaced and by what");
        }
        String old = string(arguments.get(0));
        String by = string(arguments.get(1));
        if (arguments.size() == 2 || arguments.get(2) == null) {
            return text.replace(old, by);
        }
        String all = text;
        int at = 0;
        for (long i = 0; i < whole(arguments.get(2)) && all.indexOf(old, at) >= 0; i++) {
            int found = all.indexOf(old, at);
            all = all.substring(0, found) + by + all.substring(found + old.length());
            at = found + by.length();
        }
        return all;
    }

    private static List<@Nullable Object> split(String text, List<@Nullable Object> arguments, Map<String, @Nullable Object> named) {
        Object by = arguments.isEmpty() ? named.get("sep") : arguments.getFirst();
        Object limit = arguments.size() > 1 ? arguments.get(1) : named.get("maxsplit");
        int most = limit == null || whole(limit) < 0 ? Integer.MAX_VALUE : (int) Math.min(Integer.MAX_VALUE - 1, whole(limit)) + 1;
        List<@Nullable Object> parts = new ArrayList<>();
        if (by == null) {
            for (String part : text.strip().split("\\s+", most == Integer.MAX_VALUE ? 0 : most)) {
                if (!part.isEmpty()) {
                    parts.add(part);
                }
            }
            return parts;
        }
        String between = string(by);
        if (between.isEmpty()) {
            throw new Wrong("a text cannot be split at nothing");
        }
        int from = 0;
        for (int found = text.indexOf(between); found >= 0 && parts.size() + 1 < most; found = text.indexOf(between, from)) {
            parts.add(text.substring(from, found));
            from = found + between.length();
        }
        parts.add(text.substring(from));
        return parts;
    }

    // Tests

    private static final Set<String> WITH_OPERAND = Set.of("equalto", "eq", "ne", "in", "lt", "gt", "le", "ge", "divisibleby", "sameas");
    private static final Set<String> TESTS = Set.of("defined", "undefined", "none", "string", "number", "integer", "float", "boolean", "true", "false", "mapping", "iterable",
            "sequence", "even", "odd", "callable");

    static void requireTest(String name) {
        if (!TESTS.contains(name) && !WITH_OPERAND.contains(name)) {
            throw new Wrong("the test " + name + " is not known here");
        }
    }

    static boolean takesOperand(String test) {
        return WITH_OPERAND.contains(test);
    }

    static boolean test(String name, @Nullable Object value, List<@Nullable Object> arguments) {
        if (WITH_OPERAND.contains(name)) {
            if (arguments.size() != 1) {
                throw new Wrong("the test " + name + " takes one value");
            }
            Object other = arguments.getFirst();
            return switch (name) {
                case "equalto", "eq" -> same(value, other);
                case "sameas" -> value == other || same(value, other) && (value instanceof Boolean) == (other instanceof Boolean);
                case "ne" -> !same(value, other);
                case "in" -> contains(other, value);
                case "lt" -> order(value, other) < 0;
                case "gt" -> order(value, other) > 0;
                case "le" -> order(value, other) <= 0;
                case "ge" -> order(value, other) >= 0;
                default -> whole(value) % whole(other) == 0;
            };
        }
        return switch (name) {
            case "defined" -> !(value instanceof Undefined);
            case "undefined" -> value instanceof Undefined;
            case "none" -> value == null;
            case "string" -> value instanceof String;
            case "number" -> isNumber(value);
            case "integer" -> value instanceof Long;
            case "float" -> value instanceof Double;
            case "boolean" -> value instanceof Boolean;
            case "true" -> Boolean.TRUE.equals(value);
            case "false" -> Boolean.FALSE.equals(value);
            case "mapping" -> value instanceof Map;
            case "iterable", "sequence" -> value instanceof String || value instanceof List || value instanceof Map || value instanceof Undefined;
            case "even" -> whole(value) % 2 == 0;
            case "odd" -> whole(value) % 2 != 0;
            default -> value instanceof Function;
        };
    }

    // Filters

    private static final Set<String> FILTERS = Set.of("trim", "upper", "lower", "title", "capitalize", "length", "count", "join", "default", "d", "first", "last", "list", "map",
            "select", "reject", "selectattr", "rejectattr", "replace", "tojson", "string", "int", "float", "abs", "reverse", "unique", "items", "dictsort", "safe", "indent", "sum",
            "sort", "min", "max");

    static void requireFilter(String name) {
        if (!FILTERS.contains(name)) {
            throw new Wrong("the filter " + name + " is not known here");
        }
    }

    static @Nullable Object filter(String name, @Nullable Object value, List<@Nullable Object> arguments, Map<String, @Nullable Object> named) {
        requireFilter(name);
        return switch (name) {
            case "trim" -> strip(text(value), arguments, true, true);
            case "upper", "lower", "title", "capitalize" -> cased(text(value), name);
            case "length", "count" -> value instanceof String text ? (long) text.codePointCount(0, text.length()) : (long) list(value).size();
            case "join" -> String.join(arguments.isEmpty() ? text(named.getOrDefault("d", "")) : text(arguments.getFirst()),
                    list(value).stream().map(each -> text(named.containsKey("attribute") ? attribute(each, named.get("attribute")) : each)).toList());
            case "default", "d" -> {
                Object other = arguments.isEmpty() ? named.getOrDefault("default_value", "") : arguments.getFirst();
                boolean empty = isTrue(arguments.size() > 1 ? arguments.get(1) : named.get("boolean"));
                yield value instanceof Undefined || empty && !isTrue(value) ? other : value;
            }
            case "first" -> list(value).isEmpty() ? new Undefined("the first of nothing") : list(value).getFirst();
            case "last" -> list(value).isEmpty() ? new Undefined("the last of nothing") : list(value).getLast();
            case "list" -> list(value);
            case "map" -> mapped(list(value), arguments, named);
            case "select", "reject" -> list(value).stream().filter(each -> name.equals("select") == tested(each, arguments)).toList();
            case "selectattr", "rejectattr" -> list(value).stream()
                    .filter(each -> name.equals("selectattr") == tested(attribute(each, arguments.getFirst()), arguments.subList(1, arguments.size()))).toList();
            case "replace" -> replaced(text(value), arguments);
            case "tojson" -> json(value, named.containsKey("indent") ? named.get("indent") : arguments.isEmpty() ? null : arguments.getFirst());
            case "string", "safe" -> text(value);
            case "int" -> toWhole(value, arguments.isEmpty() ? 0L : arguments.getFirst());
            case "float" -> value instanceof String text ? Double.valueOf(toNumber(text)) : Double.valueOf(number(value));
            case "abs" -> value instanceof Double number ? (Object) Math.abs(number) : (Object) Math.abs(whole(value));
            case "reverse" -> value instanceof String text ? new StringBuilder(text).reverse().toString() : list(value).reversed();
            case "unique" -> list(value).stream().distinct().toList();
            case "items" -> value instanceof Map<?, ?> map ? items(map) : List.of();
            case "dictsort" -> value instanceof Map<?, ?> map ? sorted(items(map), 0) : List.of();
            case "indent" -> indented(text(value), arguments, named);
            case "sum" -> list(value).stream().reduce(0L, (a, b) -> calculate("+", a, b));
            case "sort" -> list(value).stream().sorted(JinjaValues::order).toList();
            case "min" -> list(value).stream().min(JinjaValues::order).orElse(new Undefined("the least of nothing"));
            default -> list(value).stream().max(JinjaValues::order).orElse(new Undefined("the largest of nothing"));
        };
    }

    private static List<@Nullable Object> sorted(List<@Nullable Object> pairs, int by) {
        pairs.sort((a, b) -> order(list(a).get(by), list(b).get(by)));
        return pairs;
    }

    private static @Nullable Object attribute(@Nullable Object of, @Nullable Object name) {
        Object value = of;
        for (String part : string(name).split("\\.")) {
            value = part.matches("\\d+") ? item(value, Long.valueOf(part)) : field(value, part);
        }
        return value;
    }

    private static boolean tested(@Nullable Object value, List<@Nullable Object> arguments) {
        if (arguments.isEmpty()) {
            return isTrue(value);
        }
        String name = string(arguments.getFirst());
        String test = switch (name) {
            case "==" -> "eq";
            case "!=" -> "ne";
            case "<" -> "lt";
            case ">" -> "gt";
            default -> name;
        };
        requireTest(test);
        return test(test, value, arguments.subList(1, arguments.size()));
    }

    private static List<@Nullable Object> mapped(List<@Nullable Object> all, List<@Nullable Object> arguments, Map<String, @Nullable Object> named) {
        List<@Nullable Object> mapped = new ArrayList<>();
        for (Object each : all) {
            if (named.containsKey("attribute")) {
                Object value = attribute(each, named.get("attribute"));
                mapped.add(value instanceof Undefined && named.containsKey("default") ? named.get("default") : value);
            } else {
                mapped.add(filter(string(arguments.getFirst()), each, arguments.subList(1, arguments.size()), named));
            }
        }
        return mapped;
    }

    private static @Nullable Object toWhole(@Nullable Object value, @Nullable Object otherwise) {
        if (value instanceof String text) {
            try {
                return Long.valueOf(text.strip());
            } catch (NumberFormatException e) {
                return otherwise;
            }
        }
        return value instanceof Double number ? (Object) number.longValue() : (Object) whole(value);
    }

    private static double toNumber(String text) {
        try {
            return Double.parseDouble(text.strip());
        } catch (NumberFormatException e) {
            return 0;
        }
    }

    private static String indented(String text, List<@Nullable Object> arguments, Map<String, @Nullable Object> named) {
        Object width = arguments.isEmpty() ? named.getOrDefault("width", 4L) : arguments.getFirst();
        String by = width instanceof String own ? own : " ".repeat(Math.clamp(whole(width), 0, 100));
        boolean first = isTrue(arguments.size() > 1 ? arguments.get(1) : named.get("first"));
        boolean blank = isTrue(arguments.size() > 2 ? arguments.get(2) : named.get("blank"));
        String[] lines = text.split("\n", -1);
        StringBuilder all = new StringBuilder(first ? by : "").append(lines[0]);
        for (int i = 1; i < lines.length; i++) {
            all.append('\n').append(lines[i].isEmpty() && !blank ? "" : by).append(lines[i]);
        }
        return all.toString();
    }

    /** As Python's json.dumps, with characters as they are. */
    private static String json(@Nullable Object value, @Nullable Object indent) {
        StringBuilder text = new StringBuilder();
        json(value, indent == null ? -1 : Math.clamp(whole(indent), 0, 20), 0, text);
        return text.toString();
    }

    private static void json(@Nullable Object value, int indent, int depth, StringBuilder into) {
        switch (value) {
            case null -> into.append("null");
            case Boolean _, Long _ -> into.append(value);
            case Double _ -> into.append(written(value));
            case String text -> {
                try {
                    into.append(JSON.writeValueAsString(text));
                } catch (JsonProcessingException e) {
                    throw new Wrong("a text cannot be written as JSON");
                }
            }
            case List<?> list -> {
                into.append('[');
                for (int i = 0; i < list.size(); i++) {
                    between(into, i, indent, depth + 1);
                    json(list.get(i), indent, depth + 1, into);
                }
                close(into, list.isEmpty(), indent, depth).append(']');
            }
            case Map<?, ?> map -> {
                into.append('{');
                int i = 0;
                for (Map.Entry<?, ?> each : map.entrySet()) {
                    between(into, i++, indent, depth + 1);
                    json(text(each.getKey()), indent, depth + 1, into);
                    into.append(": ");
                    json(each.getValue(), indent, depth + 1, into);
                }
                close(into, map.isEmpty(), indent, depth).append('}');
            }
            default -> throw value instanceof Undefined none ? undefined(none) : new Wrong("what can be called is no JSON");
        }
    }

    private static void between(StringBuilder into, int number, int indent, int depth) {
        into.append(number == 0 ? "" : indent < 0 ? ", " : ",");
        if (indent >= 0) {
            into.append('\n').append(" ".repeat(indent * depth));
        }
    }

    private static StringBuilder close(StringBuilder into, boolean empty, int indent, int depth) {
        return indent < 0 || empty ? into : into.append('\n').append(" ".repeat(indent * depth));
    }
}
