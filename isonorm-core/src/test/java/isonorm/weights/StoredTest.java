package isonorm.weights;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import isonorm.checkpoint.Checkpoint;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.CheckpointException.Reason;
import isonorm.checkpoint.Dtype;
import isonorm.weights.Matrix.Tile;
import isonorm.weights.Source.Piece;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.SplittableRandom;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;

class StoredTest {

    private static final List<Dtype> TYPES = List.of(Dtype.F64, Dtype.F32, Dtype.F16, Dtype.BF16);

    @TempDir
    private Path folder;

    private final SplittableRandom random = new SplittableRandom(7);
    private final SampleCheckpoint sample = SampleCheckpoint.empty();

    /** A source, the shape of its matrix (rows 0 for a vector), and what it should read, row by row. */
    private record Case(String name, Source source, int rows, int columns, double[][] values) {}

    private final List<Case> cases = new ArrayList<>();

    @AfterEach
    void unmap() {
        Stored.unmapLast();
    }

    private double[] put(String name, Dtype dtype, long... shape) {
        List<Long> dimensions = new ArrayList<>();
        int count = 1;
        for (long dimension : shape) {
            dimensions.add(dimension);
            count *= (int) dimension;
        }
        double[] values = random.doubles(count, -2, 2).map(v -> Math.rint(v * 64) / 64).toArray(); // exact in every type
        sample.put(name, dtype, dimensions, values);
        return values;
    }

    private static Source pieces(Piece... pieces) {
        return new Source(List.of(pieces), false, 0, Optional.empty());
    }

    @BeforeEach
    void makeCases() {
        for (Dtype dtype : TYPES) {
            int[][] sizes = {{2, 1}, {5, 7}, {64, 64}, {300, 129}, {18, 1030}, {530, 33}};
            for (int[] size : sizes) {
                int rows = size[0];
                int columns = size[1];
                String at = dtype + " " + rows + "x" + columns;
                double[] values = put("whole " + at, dtype, rows, columns);
                add(at, Source.whole("whole " + at, rows), rows, columns, (r, c) -> values[r * columns + c]);
                add(at + " plus one", Source.whole("whole " + at, rows).withOffset(1), rows, columns, (r, c) -> values[r * columns + c] + 1);
                double[] turned = put("turned " + at, dtype, columns, rows);
                add(at + " turned", Source.whole("turned " + at, rows).asTransposed(), rows, columns, (r, c) -> turned[c * rows + r]);
                add(at + " turned plus one", Source.whole("turned " + at, rows).asTransposed().withOffset(1), rows, columns,
                        (r, c) -> turned[c * rows + r] + 1);
                double[] vector = put("vector " + at, dtype, rows);
                add("vector " + at, Source.whole("vector " + at, rows), 0, rows, (_, c) -> vector[c]);
                add("vector " + at + " plus one", Source.whole("vector " + at, rows).withOffset(1), 0, rows, (_, c) -> vector[c] + 1);
            }
        }
        makeFusedCases();
        makeExpertCases();
        double[] convolution = put("convolution", Dtype.F32, 6, 3, 4, 4);
        add("convolution", Source.whole("convolution", 6).withShape(6L, 3L, 4L, 4L), 6, 48, (r, c) -> convolution[r * 48 + c]);
        double[] token = put("token", Dtype.F16, 1, 1, 37);
        add("token", Source.whole("token", 37).withShape(1L, 1L, 37L), 0, 37, (_, c) -> token[c]);
        add("token unshaped", Source.whole("token", 37), 0, 37, (_, c) -> token[c]);
        double[] positions = put("positions", Dtype.BF16, 1, 17, 9);
        add("positions", Source.whole("positions", 17).withShape(1L, 17L, 9L), 17, 9, (r, c) -> positions[r * 9 + c]);
    }

    /** Two groups of two query heads, a key and a value head each, width 3, in every order files have. */
    private void makeFusedCases() {
        int columns = 70;
        double[][] q = {put("q", Dtype.F32, 12, columns), put("k", Dtype.F32, 6, columns), put("v", Dtype.F32, 6, columns)};
        add("separate", pieces(new Piece("q", 0, 12), new Piece("k", 0, 6), new Piece("v", 0, 6)), 24, columns,
                (r, c) -> r < 12 ? q[0][r * columns + c] : r < 18 ? q[1][(r - 12) * columns + c] : q[2][(r - 18) * columns + c]);
        // A row of the file: group (12 rows), then queries 0 to 5, key 6 to 8, value 9 to 11.
        Source grouped = pieces(new Piece("grouped", 0, 6), new Piece("grouped", 12, 6), new Piece("grouped", 6, 3),
                new Piece("grouped", 18, 3), new Piece("grouped", 9, 3), new Piece("grouped", 21, 3));
        int[] order = {0, 1, 2, 3, 4, 5, 12, 13, 14, 15, 16, 17, 6, 7, 8, 18, 19, 20, 9, 10, 11, 21, 22, 23};
        double[] fused = put("grouped", Dtype.BF16, 24, columns);
        add("grouped", grouped, 24, columns, (r, c) -> fused[order[r] * columns + c]);
        double[] bias = put("grouped.bias", Dtype.F16, 24);
        add("grouped bias", new Source(grouped.pieces().stream().map(p -> new Piece("grouped.bias", p.from(), p.count())).toList(),
                false, 0, Optional.empty()), 0, 24, (_, c) -> bias[order[c]]);
        double[] turned = put("grouped turned", Dtype.F32, columns, 24);
        add("grouped turned", new Source(grouped.pieces().stream().map(p -> new Piece("grouped turned", p.from(), p.count())).toList(),
                true, 0, Optional.empty()), 24, columns, (r, c) -> turned[c * 24 + order[r]]);
        // Four runs of heads of width 2, each with its queries, values, keys.
        List<Piece> runs = new ArrayList<>();
        for (int part : new int[] {0, 2, 1}) {
            for (int run = 0; run < 4; run++) {
                runs.add(new Piece("runs", run * 6 + part * 2, 2));
            }
        }
        double[] four = put("runs", Dtype.F64, 24, columns);
        int[] kind = {0, 2, 1};
        add("four runs", new Source(runs, false, 0, Optional.empty()), 24, columns,
                (r, c) -> four[(r % 8 / 2 * 6 + kind[r / 8] * 2 + r % 2) * columns + c]);
        // The second half of a tensor that two parts share, and a vector of one tensor a head.
        double[] half = put("halves", Dtype.F32, 20, columns);
        add("second half", pieces(new Piece("halves", 10, 10)).withShape(20L, (long) columns), 10, columns, (r, c) -> half[(10 + r) * columns + c]);
        double[][] heads = {put("head 0", Dtype.F32, 5), put("head 1", Dtype.F32, 5), put("head 2", Dtype.F32, 5)};
        add("each head", pieces(new Piece("head 0", 0, 5), new Piece("head 1", 0, 5), new Piece("head 2", 0, 5)), 0, 15,
                (_, c) -> heads[c / 5][c % 5]);
    }

    /** Three experts of 8 rows in one tensor of two layers, in every order files have. */
    private void makeExpertCases() {
        int columns = 70;
        double[] rows = put("experts", Dtype.F32, 3, 16, columns);
        add("second layer of an expert", pieces(new Piece("experts", 2, 3, 8, 1, 8)).withShape(3L, 16L, (long) columns), 8, columns,
                (r, c) -> rows[(2 * 16 + 8 + r) * columns + c]);
        add("every second row of an expert", pieces(new Piece("experts", 1, 3, 1, 2, 8)).withShape(3L, 16L, (long) columns), 8, columns,
                (r, c) -> rows[(16 + 1 + 2 * r) * columns + c]);
        double[] turned = put("turned experts", Dtype.BF16, 3, columns, 16);
        Source shaped = pieces(new Piece("turned experts", 1, 3, 8, 1, 8)).withShape(3L, (long) columns, 16L);
        add("an expert turned", shaped.asTransposed(), 8, columns, (r, c) -> turned[(columns + c) * 16 + 8 + r]);
        add("an expert turned, every second column", pieces(new Piece("turned experts", 2, 3, 1, 2, 8)).withShape(3L, (long) columns, 16L).asTransposed(), 8,
                columns, (r, c) -> turned[(2 * columns + c) * 16 + 1 + 2 * r]);
        double[] bias = put("experts.bias", Dtype.F16, 3, 16);
        add("an expert's bias, every second value", pieces(new Piece("experts.bias", 1, 3, 1, 2, 8)).withShape(3L, 16L), 0, 8,
                (_, c) -> bias[16 + 1 + 2 * c]);
    }

    private interface Value {
        double at(int r, int c);
    }

    private void add(String name, Source source, int rows, int columns, Value value) {
        double[][] values = new double[Math.max(1, rows)][columns];
        for (int r = 0; r < values.length; r++) {
            for (int c = 0; c < columns; c++) {
                values[r][c] = value.at(r, c);
            }
        }
        cases.add(new Case(name, source, rows, columns, values));
    }

    private Checkpoint saved() throws IOException {
        return Checkpoint.open(sample.save(folder));
    }

    private Tile tile(Case each, int trial) {
        int rows = each.values().length;
        int columns = each.columns();
        if (trial == 0) {
            return new Tile(0, rows, 0, columns);
        }
        if (trial == 1) {
            return new Tile(rows - 1, 1, columns - 1, 1);
        }
        int row = random.nextInt(rows);
        int column = random.nextInt(columns);
        return new Tile(row, 1 + random.nextInt(rows - row), column, 1 + random.nextInt(columns - column));
    }

    @Test
    void everyTileHoldsWhatTheFileHoldsThere() throws IOException {
        Checkpoint checkpoint = saved();
        for (Case each : cases) {
            Stored stored = Stored.open(checkpoint, each.source(), each.rows(), each.columns());
            assertEquals(each.values().length, stored.rows(), each.name());
            assertEquals(each.columns(), stored.columns(), each.name());
            stored.prepare();
            for (int trial = 0; trial < 25; trial++) {
                Tile tile = tile(each, trial);
                double[] into = new double[tile.size() + 1];
                into[tile.size()] = 42;
                stored.read(tile, into);
                for (int i = 0; i < tile.size(); i++) {
                    int r = tile.row() + i / tile.columns();
                    int c = tile.column() + i % tile.columns();
                    assertEquals(each.values()[r][c], into[i], () -> each.name() + " at " + r + ", " + c + " of " + tile);
                }
                assertEquals(42, into[tile.size()], each.name());
            }
            stored.release();
        }
        assertTrue(cases.size() > 100);
    }

    @Test
    void vectorsAreReadAtOnce() throws IOException {
        Checkpoint checkpoint = saved();
        for (Case each : cases) {
            Stored stored = Stored.open(checkpoint, each.source(), each.rows(), each.columns());
            if (each.rows() == 0) {
                assertArrayEquals(each.values()[0], stored.vector(), each.name());
            } else {
                assertThrows(IllegalStateException.class, stored::vector, each.name());
            }
        }
    }

    /** The same matrix without its own ways to sums. */
    private record Plain(Stored of) implements Matrix {
        @Override
        public int rows() {
            return of.rows();
        }

        @Override
        public int columns() {
            return of.columns();
        }

        @Override
        public void prepare() throws IOException {
            of.prepare();
        }

        @Override
        public void read(Tile tile, double[] into) throws IOException {
            of.read(tile, into);
        }

        @Override
        public void release() {
            of.release();
        }

        @Override
        public void describe(List<String> steps) {}
    }

    @Test
    void productsAndSumsAreThoseOfTheDefinitionOnEitherWay() throws IOException {
        Checkpoint checkpoint = saved();
        for (Case each : cases) {
            Stored stored = Stored.open(checkpoint, each.source(), each.rows(), each.columns());
            stored.prepare();
            double[] by = random.doubles(each.columns(), -1, 1).toArray();
            for (int trial = 0; trial < 4; trial++) {
                Tile band = tile(each, trial);
                for (Matrix matrix : List.of(stored, new Plain(stored))) {
                    double[] products = new double[each.values().length];
                    double[] sums = new double[each.columns()];
                    Arrays.fill(products, 3);
                    Arrays.fill(sums, 3);
                    matrix.addProduct(band.row(), band.rows(), by, products);
                    matrix.addColumnSums(band.column(), band.columns(), sums);
                    for (int r = 0; r < products.length; r++) {
                        double wanted = 3;
                        for (int c = 0; c < each.columns() && r >= band.row() && r < band.row() + band.rows(); c++) {
                            wanted += each.values()[r][c] * by[c];
                        }
                        assertEquals(wanted, products[r], 1e-11, each.name());
                    }
                    for (int c = 0; c < sums.length; c++) {
                        double wanted = 3;
                        for (int r = 0; r < products.length && c >= band.column() && c < band.column() + band.columns(); r++) {
                            wanted += each.values()[r][c];
                        }
                        assertEquals(wanted, sums[c], 1e-11, each.name());
                    }
                }
            }
            stored.release();
        }
    }

    private static CheckpointException refused(Reason reason, Executable action, String... named) {
        CheckpointException e = assertThrows(CheckpointException.class, action);
        assertEquals(reason, e.reason(), e.getMessage());
        for (String name : named) {
            assertTrue(e.getMessage().contains(name), () -> name + " is not in: " + e.getMessage());
        }
        return e;
    }

    @Test
    void aShapeThatTheConfigDoesNotGiveIsRefused() throws IOException {
        Checkpoint checkpoint = saved();
        refused(Reason.CONFIG_DISAGREES, () -> Stored.open(checkpoint, Source.whole("q", 12), 12, 71), "q", "[12, 70]", "[12, 71]");
        refused(Reason.CONFIG_DISAGREES, () -> Stored.open(checkpoint, Source.whole("q", 13), 13, 70), "q");
        refused(Reason.CONFIG_DISAGREES, () -> Stored.open(checkpoint, Source.whole("q", 12).asTransposed(), 12, 70), "q", "[70, 12]");
        refused(Reason.CONFIG_DISAGREES, () -> Stored.open(checkpoint, Source.whole("token", 38), 0, 38), "token");
        refused(Reason.CONFIG_DISAGREES, () -> Stored.open(checkpoint, Source.whole("token", 37).withShape(1L, 37L), 0, 37), "token");
        refused(Reason.CONFIG_DISAGREES, () -> Stored.open(checkpoint, Source.whole("convolution", 6), 6, 48), "[6, 3, 4, 4]");
        refused(Reason.CONFIG_DISAGREES, () -> Stored.open(checkpoint, pieces(new Piece("halves", 10, 10)), 10, 70), "halves");
        refused(Reason.MISSING_TENSOR, () -> Stored.open(checkpoint, Source.whole("qq", 12), 12, 70), "qq");
        assertThrows(IllegalArgumentException.class, () -> Stored.open(checkpoint, Source.whole("q", 12), 11, 70));
    }

    @Test
    void aTypeThatIsNoWeightIsRefused() throws IOException {
        for (Dtype dtype : List.of(Dtype.I64, Dtype.I8, Dtype.BOOL, Dtype.F8_E4M3)) {
            put("of " + dtype, dtype, 4, 4);
        }
        Checkpoint checkpoint = saved();
        for (Dtype dtype : List.of(Dtype.I64, Dtype.I8, Dtype.BOOL, Dtype.F8_E4M3)) {
            refused(Reason.WRONG_DTYPE, () -> Stored.open(checkpoint, Source.whole("of " + dtype, 4), 4, 4), "of " + dtype, dtype.name());
        }
    }

    @Test
    void aValueThatIsNotFiniteNamesItsTensorOnEveryWay() throws IOException {
        for (double bad : new double[] {Double.NaN, Double.POSITIVE_INFINITY, Double.NEGATIVE_INFINITY}) {
            for (Dtype dtype : TYPES) {
                sample.tensors.clear();
                put("first", dtype, 20, 70);
                put("second", dtype, 20, 70);
                put("turned", dtype, 70, 20);
                put("bias", dtype, 40);
                sample.set("second", 7 * 70 + 66, bad).set("turned", 66 * 20 + 7, bad).set("bias", 39, bad);
                Checkpoint checkpoint = saved();
                Stored both = Stored.open(checkpoint, pieces(new Piece("first", 0, 20), new Piece("second", 0, 20)), 40, 70);
                Stored turned = Stored.open(checkpoint, Source.whole("turned", 20).asTransposed(), 20, 70);
                Stored bias = Stored.open(checkpoint, Source.whole("bias", 40), 0, 40);
                both.prepare();
                turned.prepare();
                double[] into = new double[40 * 70];
                both.read(new Tile(0, 20, 0, 70), into);
                both.read(new Tile(0, 40, 0, 66), into);
                both.read(new Tile(28, 12, 0, 70), into);
                refused(Reason.NOT_FINITE, () -> both.read(new Tile(0, 40, 0, 70), into), "second");
                refused(Reason.NOT_FINITE, () -> both.read(new Tile(27, 1, 66, 1), into), "second");
                refused(Reason.NOT_FINITE, () -> both.addProduct(0, 40, new double[70], new double[40]), "second");
                refused(Reason.NOT_FINITE, () -> both.addColumnSums(66, 1, new double[70]), "second");
                turned.read(new Tile(0, 20, 0, 66), into);
                refused(Reason.NOT_FINITE, () -> turned.read(new Tile(7, 1, 66, 1), into), "turned");
                refused(Reason.NOT_FINITE, () -> turned.addProduct(0, 20, new double[70], new double[20]), "turned");
                refused(Reason.NOT_FINITE, () -> turned.addColumnSums(0, 70, new double[70]), "turned");
                refused(Reason.NOT_FINITE, () -> bias.vector(), "bias");
                both.release();
                turned.release();
                assertUnmapped();
            }
        }
    }

    private void assertUnmapped() throws IOException {
        Stored.unmapLast();
        Path maps = Path.of("/proc/self/maps");
        assumeTrue(Files.exists(maps));
        assertFalse(Files.readString(maps).contains(folder.toString()), "a file is still mapped");
    }

    private boolean isMapped() throws IOException {
        Path maps = Path.of("/proc/self/maps");
        assumeTrue(Files.exists(maps));
        return Files.readString(maps).contains(folder.toString());
    }

    @Test
    void aMatrixUsedByTwoIsReadableUntilBothReleaseIt() throws IOException {
        Checkpoint checkpoint = saved();
        Stored q = Stored.open(checkpoint, Source.whole("q", 12), 12, 70);
        Stored k = Stored.open(checkpoint, Source.whole("k", 6), 6, 70);
        double[] into = new double[12 * 70];
        q.prepare();
        k.prepare();
        q.prepare();
        q.release();
        k.release();
        k.prepare();
        k.release();
        q.release();
        q.prepare(); // q was the last to be released and is in use again when k is released
        k.prepare();
        k.release();
        Stored.unmapLast();
        q.read(0, 12, into);
        assertEquals(sample.tensors.get("q").values()[839], into[839]);
        q.release();
        q.prepare();
        q.read(0, 12, into);
        q.release();
        assertUnmapped();
        q.prepare();
        q.read(0, 12, into);
        assertArrayEquals(sample.tensors.get("q").values(), into);
        q.release();
        assertUnmapped();
    }

    @Test
    void onlyWhatWasUsedLastStaysMapped() throws IOException {
        Checkpoint checkpoint = saved();
        Stored q = Stored.open(checkpoint, Source.whole("q", 12), 12, 70);
        assertFalse(isMapped());
        q.prepare();
        assertTrue(isMapped());
        q.release();
        assertTrue(isMapped(), "kept for the next reader");
        Path other = Files.createDirectory(folder.resolveSibling(folder.getFileName() + "-other"));
        try {
            SampleCheckpoint one = SampleCheckpoint.empty().put("a", Dtype.F32, List.of(2L), 1, 2);
            Stored a = Stored.open(Checkpoint.open(one.save(other)), Source.whole("a", 2), 0, 2);
            assertArrayEquals(new double[] {1, 2}, a.vector());
            assertFalse(Files.readString(Path.of("/proc/self/maps")).contains(folder + "/"), "something else was used since");
        } finally {
            Stored.unmapLast();
            Files.delete(other.resolve("config.json"));
            Files.delete(other.resolve("model.safetensors"));
            Files.delete(other);
        }
    }

    @Test
    void aFileThatChangedIsRefusedAndNothingStaysMapped() throws IOException {
        Checkpoint checkpoint = saved();
        Stored q = Stored.open(checkpoint, Source.whole("q", 12), 12, 70);
        byte[] bytes = Files.readAllBytes(folder.resolve("model.safetensors"));
        Files.write(folder.resolve("model.safetensors"), new byte[10]);
        refused(Reason.TRUNCATED, q::prepare, "q");
        assertUnmapped();
        Files.write(folder.resolve("model.safetensors"), bytes);
        q.prepare();
        q.release();
        assertUnmapped();
    }

    @Test
    void wordsSayWhereAMatrixComesFrom() {
        assertEquals("read a", Source.whole("a", 2).inWords());
        assertEquals("read a (stored (in, out), stored minus one)", Source.whole("a", 2).asTransposed().withOffset(1).inWords());
        assertEquals("read a (rows reordered to query, key, value)", pieces(new Piece("a", 2, 2), new Piece("a", 0, 2)).inWords());
        assertEquals("read a + b", pieces(new Piece("a", 0, 2), new Piece("b", 0, 2)).inWords());
    }

    @Test
    void aTensorHasTheRowsOfAllItsPieces() {
        Source source = pieces(new Piece("a", 2, 2), new Piece("b", 0, 1), new Piece("a", 0, 2));
        assertEquals(List.of("a", "b"), source.tensors());
        assertEquals(4, source.rowsIn("a"));
    }
}
