package isonorm.layer;

import isonorm.architecture.Embedding;
import isonorm.architecture.Experts;
import isonorm.checkpoint.Dtype;
import isonorm.checkpoint.SafetensorsFile;
import isonorm.convert.LoadedModel;
import isonorm.model.Batch;
import isonorm.weights.Model;
import isonorm.weights.Numbers;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.net.URISyntaxException;
import java.net.URL;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.BitSet;
import java.util.List;
import java.util.Optional;
import java.util.function.IntPredicate;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/** A tiny checkpoint with inputs and the reference implementation's outputs for them. */
public record Fixture(Path folder) {

    /** The largest part of the positions that may choose other experts in 16 bits than in float64. */
    private static final double OTHERWISE = .3;

    /** The fixture of this name. */
    public static Fixture named(String name) {
        return new Fixture(root().resolve(name));
    }

    /** Every fixture there is. */
    public static List<Fixture> all() throws IOException {
        try (Stream<Path> folders = Files.list(root())) {
            return folders.filter(folder -> Files.exists(folder.resolve("golden.safetensors"))).sorted().map(Fixture::new).toList();
        }
    }

    /** isonorm-core's test resources: files, in its folder or unpacked from its test-jar. */
    private static Path root() {
        URL url = Fixture.class.getResource("/fixtures/README.md");
        try {
            Path beside = Path.of("..", "isonorm-core", "src", "test", "resources", "fixtures");
            Path found = url != null && url.getProtocol().equals("file") ? Path.of(url.toURI()).getParent() : beside;
            if (!Files.isDirectory(found)) {
                throw new IllegalStateException("no fixtures at " + found.toAbsolutePath());
            }
            return found;
        } catch (URISyntaxException e) {
            throw new IllegalStateException(e);
        }
    }

    public String name() {
        return folder.getFileName().toString();
    }

    public Model model() throws IOException {
        return Model.of(LoadedModel.open(folder).model());
    }

    /** The inputs. */
    public Batch batch() throws IOException {
        SafetensorsFile golden = golden();
        if (golden.tensors().containsKey("pixel_values") && golden.tensors().containsKey("input_ids")) {
            return new Batch.Both(images(golden), new Batch.Tokens(whole("input_ids").orElseThrow(), whole("attention_mask")));
        }
        if (golden.tensors().containsKey("pixel_values")) {
            return images(golden);
        }
        if (golden.tensors().containsKey("input_values")) {
            List<Long> shape = golden.tensors().get("input_values").shape();
            double[] values = values("input_values").orElseThrow();
            float[] pixels = new float[values.length];
            for (int i = 0; i < pixels.length; i++) {
                pixels[i] = (float) values[i];
            }
            if (shape.size() == 2) {
                return new Batch.Sounds(pixels, shape.get(0).intValue(), 1, shape.get(1).intValue());
            }
            return new Batch.Images(pixels, shape.get(0).intValue(), 1, shape.get(1).intValue(), shape.get(2).intValue());
        }
        if (golden.tensors().containsKey("input_features")) {
            List<Long> shape = golden.tensors().get("input_features").shape();
            double[] values = values("input_features").orElseThrow();
            float[] sounds = new float[values.length];
            for (int i = 0; i < sounds.length; i++) {
                sounds[i] = (float) values[i];
            }
            boolean turned = Model.of(LoadedModel.open(folder).model()).architecture().companion().orElseThrow().architecture().embedding()
                    instanceof Embedding.Sound sound && sound.turned();
            return new Batch.Both(new Batch.Sounds(sounds, shape.get(0).intValue(), shape.get(turned ? 2 : 1).intValue(), shape.get(turned ? 1 : 2).intValue()),
                    Batch.Tokens.of(whole("decoder_input_ids").orElseThrow()));
        }
        Batch.Tokens tokens = new Batch.Tokens(whole("input_ids").orElseThrow(), whole("attention_mask"));
        Optional<long[][]> decoder = whole("decoder_input_ids");
        return decoder.isPresent() ? new Batch.Both(tokens, Batch.Tokens.of(decoder.get())) : tokens;
    }

    private Batch.Images images(SafetensorsFile golden) throws IOException {
        List<Long> shape = golden.tensors().get("pixel_values").shape();
        double[] values = values("pixel_values").orElseThrow();
        float[] pixels = new float[values.length];
        for (int i = 0; i < pixels.length; i++) {
            pixels[i] = (float) values[i];
        }
        return new Batch.Images(pixels, shape.get(0).intValue(), shape.get(1).intValue(), shape.get(2).intValue(),
                shape.get(3).intValue());
    }

    public double[] output() throws IOException {
        return values("output").orElseThrow();
    }

    public Optional<double[]> pooled() throws IOException {
        return values(golden().tensors().containsKey("text_embeds") ? "text_embeds" : "pooled");
    }

    /** What an encoder gives, or a tower of images, of models that have one. */
    public Optional<double[]> encoder() throws IOException {
        return values(golden().tensors().containsKey("image_embeds") ? "image_embeds" : "encoder");
    }

    private SafetensorsFile golden() throws IOException {
        return SafetensorsFile.open(folder.resolve("golden.safetensors"));
    }

    private Optional<double[]> values(String name) throws IOException {
        SafetensorsFile golden = golden();
        if (!golden.tensors().containsKey(name)) {
            return Optional.empty();
        }
        try (Arena arena = Arena.ofConfined()) {
            int count = (int) golden.tensors().get(name).elements();
            double[] values = new double[count];
            Numbers.decode(golden.map(name, arena), golden.tensors().get(name).dtype(), 0, count, values, 0);
            return Optional.of(values);
        }
    }

    private Optional<long[][]> whole(String name) throws IOException {
        SafetensorsFile golden = golden();
        if (!golden.tensors().containsKey(name)) {
            return Optional.empty();
        }
        List<Long> shape = golden.tensors().get(name).shape();
        boolean wide = golden.tensors().get(name).dtype() == Dtype.I64;
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment bytes = golden.map(name, arena);
            long[][] rows = new long[shape.get(0).intValue()][shape.get(1).intValue()];
            for (int r = 0, at = 0; r < rows.length; r++) {
                for (int i = 0; i < rows[r].length; i++, at++) {
                    rows[r][i] = wide
                            ? bytes.getAtIndex(ValueLayout.JAVA_LONG_UNALIGNED, at)
                            : bytes.getAtIndex(ValueLayout.JAVA_INT_UNALIGNED, at);
                }
            }
            return Optional.of(rows);
        }
    }

    /** The largest difference of two outputs at positions that are not padding, as a part of the first one's standard deviation. */
    public static double worst(double[] reference, double[] values, Batch batch) {
        if (reference.length != values.length) {
            throw new AssertionError("reference has " + reference.length + " values, got " + values.length);
        }
        // Scores of a whole text are fewer than its tokens, and none of them belongs to padding.
        int tokens = batch instanceof Batch.Tokens given ? given.count() * given.length() : 1;
        boolean each = reference.length >= tokens;
        int positions = each ? tokens : 1;
        int width = reference.length / positions;
        double sum = 0;
        double squares = 0;
        double worst = 0;
        long count = 0;
        for (int p = 0; p < positions; p++) {
            if (each && batch instanceof Batch.Tokens given && !given.seen(p / given.length(), p % given.length())) {
                continue;
            }
            for (int i = p * width; i < (p + 1) * width; i++) {
                sum += reference[i];
                squares += reference[i] * reference[i];
                worst = Math.max(worst, Double.isNaN(values[i]) ? Double.POSITIVE_INFINITY : Math.abs(reference[i] - values[i]));
                count++;
            }
        }
        return worst / Math.sqrt(squares / count - (sum / count) * (sum / count));
    }

    /** Whether a model sends tokens to experts, which roundings of 16 bits can make it do otherwise. */
    public static boolean routes(Model model) {
        return model.architecture().blocks().stream().anyMatch(block -> block.feedForward() instanceof Experts);
    }

    /**
     * The largest difference as {@link #worst(double[], double[], Batch)} has it, at the positions that see nothing of other experts: a position that is as
     * near to one expert as to another is sent the other way by a rounding of 16 bits, and what it gives then is what other experts give. Those behind it
     * in its row, sent where the reference sends them, read some of that and are held to twice {@link Tolerance#ORIGINAL_BF16}.
     *
     * @param otherwise the positions that chose other experts, {@link Routes#differing}, a part of {@link #OTHERWISE} of all at most
     */
    public static double worstOfSameExperts(double[] reference, double[] values, Batch.Tokens batch, BitSet otherwise) {
        int positions = batch.count() * batch.length();
        IntPredicate seen = p -> batch.seen(p / batch.length(), p % batch.length());
        long all = IntStream.range(0, positions).filter(seen).count();
        long apart = otherwise.stream().filter(seen).count();
        if (apart > OTHERWISE * all) {
            throw new AssertionError(apart + " of " + all + " positions chose other experts, allowed is a part of " + OTHERWISE);
        }
        double behind = worst(reference, without(reference, values, positions, otherwise::get), batch);
        if (!(behind <= 2 * Tolerance.ORIGINAL_BF16)) {
            throw new AssertionError("positions that chose the same experts are " + behind + " away, allowed are " + 2 * Tolerance.ORIGINAL_BF16);
        }
        return worst(reference, without(reference, values, positions, p -> {
            int before = otherwise.previousSetBit(p);
            return before >= p - p % batch.length();
        }), batch);
    }

    /** The values with the reference's at some positions. */
    private static double[] without(double[] reference, double[] values, int positions, IntPredicate some) {
        int width = reference.length / positions;
        double[] kept = values.clone();
        IntStream.range(0, positions).filter(some).forEach(p -> System.arraycopy(reference, p * width, kept, p * width, width));
        return kept;
    }

    /** The largest difference of two outputs as a part of the first one's standard deviation. */
    public static double worst(double[] reference, double[] values) {
        return worst(reference, values, new Batch.Images(new float[1], 1, 1, 1, 1));
    }

    @Override
    public String toString() {
        return name();
    }
}
