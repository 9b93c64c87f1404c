package isonorm.checkpoint;

import static isonorm.checkpoint.CheckpointException.Reason.PICKLE_REFUSED;
import static isonorm.checkpoint.CheckpointException.Reason.TRUNCATED;

import java.io.IOException;
import java.io.InputStream;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * Reads pickles of tensors and runs nothing: Python's pickle is a program that names functions to call, and here only those are known that put
 * a tensor together. Whatever else is named ends the reading, by its name. What comes out is made of {@link Tensor}, {@link Storage},
 * {@link Map}, {@link List}, {@link Tuple}, strings, numbers, booleans and {@link #NOTHING}.
 *
 * @see <a href="https://docs.python.org/3/library/pickletools.html">The operations of a pickle</a>
 */
final class Unpickler {

    /** Elements that tensors are made of, which lie elsewhere. */
    record Storage(Dtype dtype, String key, long count) {}

    /** A view on a storage. */
    record Tensor(Storage storage, long offset, List<Long> shape, List<Long> strides) {}

    /** A tuple. */
    record Tuple(List<Object> values) {}

    private record Global(String name) {}

    private static final class Mark {}

    /** Python's None. */
    static final Object NOTHING = new Object();

    /** A hundred thousand tensors take some 4 million operations; what goes on much longer is no model. */
    private static final int MOST_OPERATIONS = 8_000_000;
    private static final long MOST_BYTES = 100_000_000;
    private static final int LONGEST_NUMBER = 64;

    private static final Map<String, Dtype> STORAGES = Map.of("DoubleStorage", Dtype.F64, "FloatStorage", Dtype.F32, "HalfStorage", Dtype.F16,
            "BFloat16Storage", Dtype.BF16, "LongStorage", Dtype.I64, "IntStorage", Dtype.I32, "ShortStorage", Dtype.I16, "CharStorage", Dtype.I8,
            "ByteStorage", Dtype.U8, "BoolStorage", Dtype.BOOL);

    private final Path file;
    private final InputStream in;
    private final List<Object> stack = new ArrayList<>();
    private final Map<Integer, Object> memo = new HashMap<>();
    private long bytes;

    private Unpickler(Path file, InputStream in) {
        this.file = file;
        this.in = in;
    }

    /** Reads one pickle from where the stream is to its end, and not further. */
    static Object read(Path file, InputStream in) throws IOException {
        return new Unpickler(file, in).read();
    }

    private Object read() throws IOException {
        for (int operation = 0; operation < MOST_OPERATIONS; operation++) {
            int code = one();
            switch (code) {
                case 0x80 -> requireProtocol(one());
                case 0x95 -> bytes(8); // a frame's length
                case '.' -> {
                    return pop();
                }
                case '(' -> stack.add(new Mark());
                case 'N' -> stack.add(NOTHING);
                case 0x88 -> stack.add(true);
                case 0x89 -> stack.add(false);
                case 'K' -> stack.add((long) one());
                case 'M' -> stack.add((long) Short.toUnsignedInt(numbers(2).getShort()));
                case 'J' -> stack.add((long) numbers(4).getInt());
                case 0x8a -> stack.add(number(one()));
                case 0x8b -> stack.add(number(length()));
                case 'G' -> stack.add(numbers(8).order(ByteOrder.BIG_ENDIAN).getDouble());
                case 'X', 'T' -> stack.add(text(length()));
                case 0x8c, 'U' -> stack.add(text(one()));
                case '}' -> stack.add(new LinkedHashMap<>());
                case ']' -> stack.add(new ArrayList<>());
                case ')' -> stack.add(new Tuple(List.of()));
                case 0x85 -> tuple(1);
                case 0x86 -> tuple(2);
                case 0x87 -> tuple(3);
                case 't' -> stack.add(new Tuple(sinceMark()));
                case 'a' -> append(List.of(pop()));
                case 'e' -> append(sinceMark());
                case 's' -> {
                    Object value = pop();
                    put(List.of(pop(), value));
                }
                case 'u' -> put(sinceMark());
                case 'q' -> memo.put(one(), peek());
                case 'r' -> memo.put(numbers(4).getInt(), peek());
                case 0x94 -> memo.put(memo.size(), peek());
                case 'h' -> stack.add(remembered(one()));
                case 'j' -> stack.add(remembered(numbers(4).getInt()));
                case 'c' -> stack.add(global(line(), line()));
                case 0x93 -> {
                    Object name = pop();
                    stack.add(global(String.valueOf(pop()), String.valueOf(name)));
                }
                case 'Q' -> stack.add(storage(pop()));
                case 'R' -> {
                    Object arguments = pop();
                    stack.add(call(pop(), arguments));
                }
                case 'b' -> build(pop(), peek());
                default -> throw refused("has an operation that no tensor needs, " + String.format("0x%02x", code));
            }
        }
        throw refused("has more than " + MOST_OPERATIONS + " operations");
    }

    private void requireProtocol(int version) throws CheckpointException {
        if (version > 5) {
            throw refused("is a pickle of protocol " + version + ", 0 to 5 are known");
        }
    }

    private Object global(String module, String name) throws CheckpointException {
        String whole = module + "." + name;
        boolean known = switch (whole) {
            case "collections.OrderedDict", "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor", "torch._utils._rebuild_parameter",
                    "torch.Size" -> true;
            default -> module.equals("torch") && STORAGES.containsKey(name);
        };
        if (!known) {
            throw refused("names " + whole + ", which is no part of a tensor, and nothing in a pickle is run; save the model's state_dict() alone");
        }
        return new Global(whole);
    }

    private Object call(Object function, Object arguments) throws CheckpointException {
        if (!(function instanceof Global(String name)) || !(arguments instanceof Tuple(List<Object> given))) {
            throw refused("calls what is no function");
        }
        return switch (name) {
            case "collections.OrderedDict" -> ordered(given);
            case "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor" -> tensor(given);
            case "torch._utils._rebuild_parameter" -> {
                if (given.isEmpty() || !(given.getFirst() instanceof Tensor tensor)) {
                    throw refused("has a parameter that is no tensor");
                }
                yield tensor;
            }
            case "torch.Size" -> given.size() == 1 && given.getFirst() instanceof List<?> sizes ? new Tuple(List.copyOf(sizes)) : given.getFirst();
            default -> throw refused("calls " + name);
        };
    }

    /** A dictionary, empty or of pairs, as Python 2 wrote it. */
    private Map<Object, Object> ordered(List<Object> given) throws CheckpointException {
        Map<Object, Object> map = new LinkedHashMap<>();
        if (!given.isEmpty() && given.getFirst() instanceof List<?> pairs) {
            for (Object pair : pairs) {
                List<?> both = pair instanceof Tuple(List<Object> values) ? values : pair instanceof List<?> list ? list : List.of();
                if (both.size() != 2) {
                    throw refused("has a dictionary of what are no pairs");
                }
                put(map, both.getFirst(), both.getLast());
            }
        }
        return map;
    }

    private Tensor tensor(List<Object> given) throws CheckpointException {
        if (given.size() >= 4 && given.getFirst() instanceof Storage storage && given.get(1) instanceof Long offset && given.get(2) instanceof Tuple shape
                && given.get(3) instanceof Tuple strides && shape.values.size() == strides.values.size()) {
            return new Tensor(storage, offset, longs(shape), longs(strides));
        }
        throw refused("has a tensor whose parts are not a storage, an offset, a shape and strides");
    }

    private List<Long> longs(Tuple tuple) throws CheckpointException {
        List<Long> longs = new ArrayList<>(tuple.values.size());
        for (Object value : tuple.values) {
            if (!(value instanceof Long number) || number < 0) {
                throw refused("has a shape or strides that are no whole numbers of zero or more");
            }
            longs.add(number);
        }
        return longs;
    }

    /** What stands for elements that are not in the pickle: {@code ("storage", type, key, device, count)}, and a view that nobody has had for long. */
    private Storage storage(Object id) throws CheckpointException {
        if (id instanceof Tuple(List<Object> parts) && parts.size() >= 5 && "storage".equals(parts.getFirst()) && parts.get(1) instanceof Global(String type)
                && parts.get(2) instanceof String key && parts.get(4) instanceof Long count && (parts.size() == 5 || parts.get(5) == NOTHING)) {
            Optional<Dtype> dtype = Optional.ofNullable(STORAGES.get(type.substring(type.indexOf('.') + 1)));
            if (dtype.isPresent() && count >= 0 && count <= Long.MAX_VALUE / Long.BYTES) {
                return new Storage(dtype.get(), key, count);
            }
        }
        throw refused("has a storage that is none of a known type");
    }

    /** What a dictionary of tensors is given besides them, the versions of its modules, says nothing about them. */
    private void build(Object state, Object on) throws CheckpointException {
        if (!(on instanceof Map) || !(state instanceof Map<?, ?> attributes) || !attributes.keySet().stream().allMatch("_metadata"::equals)) {
            throw refused("gives an object attributes, which no tensor needs");
        }
    }

    private void tuple(int count) throws CheckpointException {
        Object[] values = new Object[count];
        for (int i = count - 1; i >= 0; i--) {
            values[i] = pop();
        }
        stack.add(new Tuple(List.of(values)));
    }

    private void append(List<Object> values) throws CheckpointException {
        if (!(peek() instanceof List<?> list)) {
            throw refused("appends to what is no list");
        }
        @SuppressWarnings("unchecked") // only this class makes lists
        List<Object> to = (List<Object>) list;
        to.addAll(values);
    }

    private void put(List<Object> keysAndValues) throws CheckpointException {
        if (!(peek() instanceof Map<?, ?> map) || keysAndValues.size() % 2 != 0) {
            throw refused("puts pairs into what is no dictionary");
        }
        @SuppressWarnings("unchecked") // only this class makes maps
        Map<Object, Object> to = (Map<Object, Object>) map;
        for (int i = 0; i < keysAndValues.size(); i += 2) {
            put(to, keysAndValues.get(i), keysAndValues.get(i + 1));
        }
    }

    /** Keys are strings and numbers: to compare others may take for ever. */
    private void put(Map<Object, Object> map, Object key, Object value) throws CheckpointException {
        if (!(key instanceof String) && !(key instanceof Long)) {
            throw refused("has a dictionary whose keys are neither text nor numbers");
        }
        map.put(key, value);
    }

    private List<Object> sinceMark() throws CheckpointException {
        int at = stack.size() - 1;
        while (at >= 0 && !(stack.get(at) instanceof Mark)) {
            at--;
        }
        if (at < 0) {
            throw refused("ends a group that it did not begin");
        }
        List<Object> values = new ArrayList<>(stack.subList(at + 1, stack.size()));
        stack.subList(at, stack.size()).clear();
        return values;
    }

    private Object pop() throws CheckpointException {
        Object last = peek();
        stack.removeLast();
        return last;
    }

    private Object peek() throws CheckpointException {
        if (stack.isEmpty() || stack.getLast() instanceof Mark) {
            throw refused("takes more from its stack than it put there");
        }
        return stack.getLast();
    }

    private Object remembered(int place) throws CheckpointException {
        Object value = memo.get(place);
        if (value == null) {
            throw refused("remembers what it has not seen");
        }
        return value;
    }

    private Object number(int length) throws IOException {
        if (length > LONGEST_NUMBER) {
            throw refused("has a number of " + length + " bytes");
        }
        byte[] little = bytes(length);
        byte[] big = new byte[length + 1];
        for (int i = 0; i < length; i++) {
            big[length - i] = little[i];
        }
        big[0] = (byte) (length > 0 && little[length - 1] < 0 ? -1 : 0);
        BigInteger number = new BigInteger(big);
        return number.bitLength() < Long.SIZE ? (Object) number.longValue() : number;
    }

    private String text(int length) throws IOException {
        return new String(bytes(length), StandardCharsets.UTF_8);
    }

    private String line() throws IOException {
        StringBuilder line = new StringBuilder();
        for (int next = one(); next != '\n'; next = one()) {
            if (line.length() > 1000) {
                throw refused("has a name of more than 1000 letters");
            }
            line.append((char) next);
        }
        return line.toString();
    }

    private int length() throws IOException {
        int length = numbers(4).getInt();
        if (length < 0 || length > MOST_BYTES) {
            throw refused("has a text of " + Integer.toUnsignedString(length) + " bytes");
        }
        return length;
    }

    private ByteBuffer numbers(int count) throws IOException {
        return ByteBuffer.wrap(bytes(count)).order(ByteOrder.LITTLE_ENDIAN);
    }

    private int one() throws IOException {
        return bytes(1)[0] & 0xff;
    }

    private byte[] bytes(int count) throws IOException {
        bytes += count;
        if (bytes > MOST_BYTES) {
            throw refused("has more than " + MOST_BYTES + " bytes");
        }
        byte[] read = in.readNBytes(count);
        if (read.length < count) {
            throw new CheckpointException(TRUNCATED, file + " ends within its pickle; is the download complete?");
        }
        return read;
    }

    private CheckpointException refused(String what) {
        return new CheckpointException(PICKLE_REFUSED, file + " " + what);
    }
}
