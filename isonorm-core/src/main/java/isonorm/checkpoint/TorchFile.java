package isonorm.checkpoint;

import static isonorm.checkpoint.CheckpointException.Reason.NOT_A_CHECKPOINT;
import static isonorm.checkpoint.CheckpointException.Reason.PICKLE_REFUSED;
import static isonorm.checkpoint.CheckpointException.Reason.TRUNCATED;
import static java.util.Objects.requireNonNull;

import isonorm.checkpoint.Unpickler.Storage;
import isonorm.checkpoint.Unpickler.Tensor;
import java.io.BufferedInputStream;
import java.io.ByteArrayInputStream;
import java.io.FilterInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.Channels;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * A {@code pytorch_model.bin}: a dictionary of tensors as {@code torch.save} writes it, read without running anything ({@link Unpickler}).
 *
 * <p>Since PyTorch 1.6 it is a zip archive of stored files, {@code NAME/data.pkl} and the elements of each storage in {@code NAME/data/KEY}.
 * Before, it was pickles one behind the other, a number that marks the format, its version, the system's sizes, the dictionary and a list of
 * keys, and behind them for each key the count of elements, 8 bytes, and the elements.
 */
final class TorchFile {

    private static final BigInteger MARK = new BigInteger("1950a86a20f9469cfc6c", 16);
    private static final long VERSION = 1001;
    private static final int LONGEST_PICKLE = 100_000_000;
    private static final String PICKLE = "/data.pkl";
    private static final String WRITE_AGAIN = "; write it again with transformers' save_pretrained";

    private TorchFile() {}

    /** Where elements of a storage begin in the file, and how many bytes there are. */
    private record Run(long begin, long bytes) {}

    /** The tensors of a file, where they lie. */
    static WeightFile read(Path path) throws CheckpointException {
        return WeightFile.read(path, (channel, length) -> {
            ByteBuffer eight = ByteBuffer.allocate(8);
            StoredZip.readFully(channel, 0, eight.limit((int) Math.min(8, length)), path);
            byte[] start = eight.array();
            if (new String(start, StandardCharsets.ISO_8859_1).equals("version ")) {
                throw new CheckpointException(NOT_A_CHECKPOINT, path + " is a Git LFS pointer and not the file itself; fetch the file with: git lfs pull");
            }
            Map<String, Run> storages = new HashMap<>();
            Object read = start[0] == 'P' && start[1] == 'K' ? zip(channel, length, path, storages)
                    : (start[0] & 0xff) == 0x80 ? old(channel, length, path, storages)
                    : none(path);
            return new WeightFile(path, length, placed(read, storages, path), Map.of("format", "pt"));
        });
    }

    private static Object none(Path path) throws CheckpointException {
        throw new CheckpointException(NOT_A_CHECKPOINT, path + " is not what torch.save writes, neither a zip archive nor a pickle");
    }

    private static Object zip(FileChannel channel, long length, Path path, Map<String, Run> storages) throws IOException {
        StoredZip zip = StoredZip.read(channel, length, path);
        String pickle = zip.names().stream().filter(name -> name.endsWith(PICKLE) && name.indexOf('/') == name.length() - PICKLE.length()).findFirst()
                .orElseThrow(() -> new CheckpointException(NOT_A_CHECKPOINT, path + " is a zip archive without the data.pkl that torch.save writes"));
        String folder = pickle.substring(0, pickle.length() - PICKLE.length() + 1);
        if (zip.names().contains(folder + "byteorder") && !new String(zip.bytes(folder + "byteorder", 16), StandardCharsets.US_ASCII).equals("little")) {
            throw new CheckpointException(PICKLE_REFUSED, path + " holds numbers whose highest byte comes first" + WRITE_AGAIN);
        }
        Object read = Unpickler.read(path, new ByteArrayInputStream(zip.bytes(pickle, LONGEST_PICKLE)));
        String data = folder + "data/";
        for (String name : zip.names()) {
            if (name.startsWith(data)) {
                StoredZip.Entry entry = zip.stored(name);
                storages.put(name.substring(data.length()), new Run(entry.begin(), entry.bytes()));
            }
        }
        return read;
    }

    /** Counts what is read, through whatever buffer lies below. */
    private static final class Counting extends FilterInputStream {
        private long count;

        Counting(InputStream in) {
            super(in);
        }

        @Override
        public int read() throws IOException {
            int next = in.read();
            count += next < 0 ? 0 : 1;
            return next;
        }

        @Override
        public int read(byte[] into, int offset, int length) throws IOException {
            int read = in.read(into, offset, length);
            count += Math.max(0, read);
            return read;
        }
    }

    private static Object old(FileChannel channel, long length, Path path, Map<String, Run> storages) throws IOException {
        Counting in = new Counting(new BufferedInputStream(Channels.newInputStream(channel.position(0)), 1 << 16));
        if (!MARK.equals(Unpickler.read(path, in))) {
            throw new CheckpointException(NOT_A_CHECKPOINT, path + " is a pickle, and none that torch.save wrote");
        }
        Object version = Unpickler.read(path, in);
        Object system = Unpickler.read(path, in);
        if (!version.equals(VERSION) || !(system instanceof Map<?, ?> sizes) || !Boolean.TRUE.equals(sizes.get("little_endian"))) {
            throw new CheckpointException(PICKLE_REFUSED, path + " is of another version than " + VERSION + ", or holds numbers whose highest byte comes first"
                    + WRITE_AGAIN);
        }
        Object read = Unpickler.read(path, in);
        Map<String, Integer> bytesOf = new HashMap<>();
        if (read instanceof Map<?, ?> named) {
            named.values().forEach(value -> {
                if (value instanceof Tensor tensor) {
                    bytesOf.put(tensor.storage().key(), tensor.storage().dtype().bytes());
                }
            });
        }
        if (!(Unpickler.read(path, in) instanceof List<?> keys)) {
            throw new CheckpointException(PICKLE_REFUSED, path + " has no list of its storages behind its tensors");
        }
        long at = in.count;
        ByteBuffer number = ByteBuffer.allocate(Long.BYTES).order(ByteOrder.LITTLE_ENDIAN);
        for (Object key : keys) {
            if (!(key instanceof String name) || !bytesOf.containsKey(name)) {
                throw new CheckpointException(PICKLE_REFUSED, path + " has a storage that no tensor reads");
            }
            StoredZip.readFully(channel, at, number.clear(), path);
            long count = number.getLong(0);
            int each = requireNonNull(bytesOf.get(name));
            if (count < 0 || count > (length - at - Long.BYTES) / each) {
                throw cut(path);
            }
            storages.put(name, new Run(at + Long.BYTES, count * each));
            at += Long.BYTES + count * each;
        }
        return read;
    }

    private static CheckpointException cut(Path path) {
        return new CheckpointException(TRUNCATED, path + " ends before its tensors do; is the download complete?");
    }

    private static List<WeightFile.Placed> placed(Object read, Map<String, Run> storages, Path path) throws CheckpointException {
        if (!(read instanceof Map<?, ?> named)) {
            throw new CheckpointException(PICKLE_REFUSED, path + " holds no dictionary of tensors; save the model's state_dict()");
        }
        List<WeightFile.Placed> placed = new ArrayList<>(named.size());
        for (Map.Entry<?, ?> entry : named.entrySet()) {
            if (!(entry.getKey() instanceof String name) || !(entry.getValue() instanceof Tensor tensor)) {
                throw new CheckpointException(PICKLE_REFUSED, path + " holds under " + entry.getKey()
                        + " what is no tensor, as checkpoints of training do; save the model's state_dict() alone");
            }
            placed.add(place(name, tensor, storages, path));
        }
        return placed;
    }

    private static WeightFile.Placed place(String name, Tensor tensor, Map<String, Run> storages, Path path) throws CheckpointException {
        Storage storage = tensor.storage();
        Dtype dtype = storage.dtype();
        Run run = storages.get(storage.key());
        if (TensorInfo.bytes(dtype, tensor.shape()).isEmpty()) {
            throw new CheckpointException(PICKLE_REFUSED, path + ": tensor " + name + " has more bytes than 63 bits can count, " + tensor.shape());
        }
        TensorInfo info = new TensorInfo(name, dtype, tensor.shape());
        if (run == null || run.bytes < storage.count() * dtype.bytes()) {
            throw cut(path);
        }
        if (tensor.offset() < 0 || tensor.offset() > storage.count() - info.elements()) {
            throw new CheckpointException(PICKLE_REFUSED, path + ": tensor " + name + " reads " + info.elements() + " elements from " + tensor.offset()
                    + " of a storage of " + storage.count());
        }
        long step = 1;
        for (int d = tensor.shape().size() - 1; d >= 0; d--) {
            long size = tensor.shape().get(d);
            if (size > 1 && info.elements() > 0 && tensor.strides().get(d) != step) {
                throw new CheckpointException(PICKLE_REFUSED, path + ": tensor " + name + " does not lie row by row, its shape is " + tensor.shape()
                        + " and its strides are " + tensor.strides() + WRITE_AGAIN);
            }
            step *= Math.max(1, size);
        }
        return new WeightFile.Placed(info, run.begin + tensor.offset() * dtype.bytes());
    }
}
