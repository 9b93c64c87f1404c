package isonorm.weights;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;

import isonorm.checkpoint.Dtype;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import java.util.regex.Pattern;
import java.util.stream.LongStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

class SeedTest {

    private static final int COUNT = 20_000;

    /** What SplittableRandom adds before each draw: the distance at which its own seeds give the same values, moved. */
    private static final long GAMMA = 0x9e3779b97f4a7c15L;

    private static final Pattern GENERATOR = Pattern.compile("new (Splittable|java\\.util\\.)?Random\\(|RandomGenerator(Factory)?\\.(of|getDefault)"
            + "|ThreadLocalRandom|Math\\.random|(?i:0x9e3779b97f4a7c15)");

    @Test
    void seedsHoweverNearHaveNothingInCommon() {
        double[] one = draws(Seed.of(1));
        for (long other : new long[] {0, 2, 3, -1, 1 + GAMMA, 1 - GAMMA, 1 + 3 * GAMMA}) {
            Independence.require("seeds 1 and " + other, one, draws(Seed.of(other)));
        }
    }

    @Test
    void partsHaveNothingInCommonWithEachOtherNorWithTheirWhole() {
        Seed seed = Seed.of(7);
        Independence.require("parts 0 and 1", draws(seed.at(0)), draws(seed.at(1)));
        Independence.require("a whole and part 0", draws(seed), draws(seed.at(0)));
        Independence.require("a whole and its parts", draws(seed), values(LongStream.range(0, COUNT).map(i -> seed.at(i).value())));
        Independence.require("names", draws(seed.at("a")), draws(seed.at("b")));
        Independence.require("part 1 of 2 and part 2 of 1", draws(seed.at(1).at(2)), draws(seed.at(2).at(1)));
        assertNotEquals(seed.at("ab"), seed.at("a").at("b"));
    }

    @Test
    void aNumberIsWhatIsDrawnAtItsPosition() {
        SplittableRandom random = Seed.of(3).random();
        for (long position = 0; position < 10; position++) {
            assertEquals(random.nextLong(), Seed.of(3).number(position));
        }
    }

    @Test
    void drawsOfARoundingHaveNothingInCommon() throws IOException {
        double[] held = new double[COUNT];
        Arrays.fill(held, 1);
        Independence.require("roundings", rounded(held, Seed.of(1)), rounded(held, Seed.of(2)));
    }

    private static double[] rounded(double[] values, Seed seed) throws IOException {
        double[] into = new double[values.length];
        new Rounded(Dense.of(1, values.length, values), Dtype.BF16, seed).read(new Matrix.Tile(0, 1, 0, values.length), into);
        return into;
    }

    private static double[] draws(Seed seed) {
        return seed.random().doubles(COUNT).toArray();
    }

    private static double[] values(LongStream numbers) {
        return numbers.mapToDouble(number -> (number >>> 11) * 0x1p-53).toArray();
    }

    /** Whoever seeds a generator without mixing the seed makes what only looks like chance; a SecureRandom is not seeded. */
    @Test
    void onlySeedMakesGenerators() throws IOException {
        List<String> others = new ArrayList<>();
        try (Stream<Path> modules = Files.list(Path.of(".."))) {
            for (Path sources : modules.map(module -> module.resolve("src/main/java")).filter(Files::isDirectory).toList()) {
                try (Stream<Path> files = Files.walk(sources)) {
                    for (Path file : files.filter(path -> path.toString().endsWith(".java")).toList()) {
                        if (GENERATOR.matcher(Files.readString(file)).find()) {
                            others.add(file.getFileName().toString());
                        }
                    }
                }
            }
        }
        assertEquals(List.of("Seed.java"), others);
    }
}
