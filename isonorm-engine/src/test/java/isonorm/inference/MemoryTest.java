package isonorm.inference;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.layer.Fixture;
import isonorm.model.Compute;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;

/** Generation in a JVM of its own, whose heap has its size from the beginning, so that all that grows is ours. */
class MemoryTest {

    private static final int SETTLING = 10_000;
    private static final int TOKENS = 2_000;
    private static final int TIMES = 5;

    /** The compiler and the allocator grow now and then, what a token leaves behind grows every time. */
    @Test
    @EnabledOnOs(OS.LINUX)
    void tokensLeaveResidentMemoryWhereItWas() throws IOException, InterruptedException {
        Process process = new ProcessBuilder(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "@src/main/resources/isonorm/jvm.args",
                "-XX:+UseSerialGC", "-Xms64m", "-Xmx64m", "-XX:+AlwaysPreTouch",
                "-cp", System.getProperty("java.class.path"), MemoryTest.class.getName())
                .redirectErrorStream(true).start();
        String output = new String(process.getInputStream().readAllBytes());
        assertEquals(0, process.waitFor(), output);
        long[] grown = Arrays.stream(output.strip().lines().toList().getLast().split(" "))
                .mapToLong(Long::parseLong).sorted().toArray();
        assertEquals(TIMES, grown.length, output);
        assertTrue(grown[TIMES / 2] < 100L * TOKENS,
                TOKENS + " tokens left " + Arrays.toString(grown) + " bytes");
    }

    public static void main(String[] arguments) throws IOException {
        try (Inference inference = Inference.load(Fixture.named("gpt2").model(), Compute.BF16, 2)) {
            generate(inference, SETTLING);
            List<String> grown = new ArrayList<>();
            for (int i = 0; i < TIMES; i++) {
                long before = residentBytes();
                generate(inference, TOKENS);
                grown.add(Long.toString(residentBytes() - before));
            }
            System.out.println(String.join(" ", grown));
        }
    }

    private static void generate(Inference inference, int tokens) throws IOException {
        for (int left = tokens; left > 0; ) {
            try (Sequence sequence = inference.start()) {
                for (int i = 0; i < inference.context() && left > 0; i++, left--) {
                    inference.next(List.of(sequence), List.of(new int[] {i % 50}));
                }
            }
        }
    }

    private static long residentBytes() throws IOException {
        System.gc();
        try (Stream<String> lines = Files.lines(Path.of("/proc/self/status"))) {
            String line = lines.filter(each -> each.startsWith("VmRSS:")).findFirst().orElseThrow();
            return Long.parseLong(line.replaceAll("\\D", "")) * 1024;
        }
    }
}
