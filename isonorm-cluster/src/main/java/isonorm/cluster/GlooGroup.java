package isonorm.cluster;

import isonorm.train.ProcessGroup;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.javacpp.chrono.Milliseconds;
import org.bytedeco.pytorch.AllgatherOptions;
import org.bytedeco.pytorch.ProcessGroupGloo;
import org.bytedeco.pytorch.Store;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptions;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.Work;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;

/** Collectives of c10d on gloo. What is native is closed as soon as a collective has ended: nothing else would give it back. */
final class GlooGroup implements ProcessGroup {

    /** For an evaluation or a checkpoint. */
    private static final Duration LONG = Duration.ofMinutes(30);

    private final Launch launch;
    private final ProcessGroupGloo gloo;
    private final Store store;
    private final Duration step;
    private final List<String> addresses;

    private GlooGroup(Launch launch, ProcessGroupGloo gloo, Store store, Duration step, List<String> addresses) {
        this.launch = launch;
        this.gloo = gloo;
        this.store = store;
        this.step = step;
        this.addresses = addresses;
    }

    /**
     * A group whose ranks have told each other where they are.
     *
     * @throws Broken if one was lost meanwhile; what was given is still the caller's
     */
    static GlooGroup of(Launch launch, ProcessGroupGloo gloo, Store store, String address, Duration step) {
        byte[][] all = new GlooGroup(launch, gloo, store, step, List.of()).allGather(Patience.LONG, address.getBytes(StandardCharsets.UTF_8));
        return new GlooGroup(launch, gloo, store, step, Arrays.stream(all).map(each -> new String(each, StandardCharsets.UTF_8)).toList());
    }

    @Override
    public int rank() {
        return launch.rank();
    }

    @Override
    public int size() {
        return launch.size();
    }

    @Override
    public int local() {
        return launch.local().orElseGet(() -> (int) addresses.stream().filter(addresses.get(rank())::equals).count());
    }

    @Override
    public String address(int rank) {
        return addresses.get(rank);
    }

    /** Somebody else's memory as JavaCPP's. */
    private static final class Address extends Pointer {

        Address(MemorySegment segment) {
            super((Pointer) null);
            address = segment.address();
        }
    }

    private static Tensor tensor(MemorySegment values, ScalarType type, int bytes) {
        try (TensorOptions options = new TensorOptions(type)) {
            return torch.from_blob(new Address(values), new long[] {values.byteSize() / bytes}, options);
        }
    }

    @Override
    public Pending allReduce(MemorySegment values, Element element) {
        Tensor tensor = switch (element) {
            case F32 -> tensor(values, ScalarType.Float, Float.BYTES);
            case F64 -> tensor(values, ScalarType.Double, Double.BYTES);
        };
        TensorVector vector = new TensorVector(tensor);
        return begun(() -> gloo.allreduce(vector), vector, tensor);
    }

    @Override
    public Pending allGather(MemorySegment part, MemorySegment all) {
        Tensor from = tensor(part, ScalarType.Byte, Byte.BYTES);
        Tensor to = tensor(all, ScalarType.Byte, Byte.BYTES);
        return begun(() -> gloo._allgather_base(to, from), from, to);
    }

    private interface Begin {
        Work call();
    }

    private Pending begun(Begin begin, Pointer... used) {
        Work work;
        try {
            work = begin.call();
        } catch (RuntimeException e) {
            close(used);
            throw broken(e);
        }
        return () -> {
            try {
                work._wait();
            } catch (RuntimeException e) {
                throw broken(e);
            } finally {
                work.close();
                close(used);
            }
        };
    }

    private static void close(Pointer... used) {
        for (Pointer each : used) {
            each.close();
        }
    }

    private static Broken broken(RuntimeException e) {
        String message = firstLine(e);
        String lower = message.toLowerCase(Locale.ROOT);
        return new Broken(message, lower.contains("timed out") || lower.contains("timeout"), e);
    }

    static String firstLine(RuntimeException e) {
        return String.valueOf(e.getMessage()).lines().findFirst().orElse("");
    }

    private void allGather(Patience patience, MemorySegment part, MemorySegment all) {
        try (AllgatherOptions options = new AllgatherOptions(); Milliseconds most = new Milliseconds((patience == Patience.LONG ? LONG : step).toMillis())) {
            options.timeout(most);
            Tensor from = tensor(part, ScalarType.Byte, Byte.BYTES);
            Tensor to = tensor(all, ScalarType.Byte, Byte.BYTES);
            begun(() -> gloo._allgather_base(to, from, options), from, to).await();
        }
    }

    @Override
    public double[][] allGather(Patience patience, double... values) {
        int count = Math.max(1, values.length); // who says nothing is waited for too
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment part = arena.allocate(ValueLayout.JAVA_DOUBLE, count);
            MemorySegment all = arena.allocate(ValueLayout.JAVA_DOUBLE, (long) count * size());
            MemorySegment.copy(values, 0, part, ValueLayout.JAVA_DOUBLE, 0, values.length);
            allGather(patience, part, all);
            double[][] gathered = new double[size()][values.length];
            for (int rank = 0; rank < size(); rank++) {
                MemorySegment.copy(all, ValueLayout.JAVA_DOUBLE, (long) rank * count * Double.BYTES, gathered[rank], 0, values.length);
            }
            return gathered;
        }
    }

    @Override
    public byte[][] allGather(Patience patience, byte[] bytes) {
        int[] lengths = Arrays.stream(allGather(patience, (double) bytes.length)).mapToInt(each -> (int) each[0]).toArray();
        int longest = Math.max(1, Arrays.stream(lengths).max().orElse(1));
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment part = arena.allocate(longest);
            MemorySegment all = arena.allocate((long) longest * size());
            MemorySegment.copy(bytes, 0, part, ValueLayout.JAVA_BYTE, 0, bytes.length);
            allGather(patience, part, all);
            byte[][] gathered = new byte[size()][];
            for (int rank = 0; rank < size(); rank++) {
                gathered[rank] = all.asSlice((long) rank * longest, lengths[rank]).toArray(ValueLayout.JAVA_BYTE);
            }
            return gathered;
        }
    }

    @Override
    public void close() {
        gloo.close();
        store.close();
    }
}
