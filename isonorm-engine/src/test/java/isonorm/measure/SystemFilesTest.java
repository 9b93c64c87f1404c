package isonorm.measure;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.OptionalLong;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What is read of a system's files, and that nothing fails where they are missing or say nothing. */
class SystemFilesTest {

    @TempDir
    Path root;

    private SystemFiles with(String file, String text) throws IOException {
        Path path = root.resolve(file);
        Files.createDirectories(path.getParent());
        Files.writeString(path, text);
        return new SystemFiles(root);
    }

    @Test
    void missingFilesAreUnknown() {
        nothing(new SystemFiles(root));
        Machine machine = Machine.read(new SystemFiles(root));
        assertEquals(Machine.UNKNOWN, machine.memory().hugePages());
        assertTrue(machine.line(1).endsWith("; 1 thread"), machine.line(1));
        machine.hints();
    }

    @Test
    void filesOfNonsenseAreUnknown() throws IOException {
        for (String file : List.of("proc/cpuinfo", "proc/meminfo", "proc/self/cgroup", "sys/fs/cgroup/memory.max", "sys/fs/cgroup/cpu.max",
                "sys/fs/cgroup/memory/memory.limit_in_bytes", "sys/fs/cgroup/cpu/cpu.cfs_quota_us", "sys/fs/cgroup/cpu/cpu.cfs_period_us")) {
            with(file, "nonsense\n:\nMemTotal:\n99999999999999999999999");
        }
        nothing(new SystemFiles(root));
    }

    private static void nothing(SystemFiles files) {
        assertEquals(Optional.empty(), files.processor());
        assertEquals(Optional.empty(), files.flags());
        assertEquals(OptionalInt.empty(), files.cores());
        assertEquals(OptionalInt.empty(), files.processors());
        assertEquals(OptionalLong.empty(), files.memory());
        assertEquals(OptionalLong.empty(), files.memoryLimit());
        assertEquals(OptionalDouble.empty(), files.processorLimit());
        assertEquals(Optional.empty(), files.hugePages());
    }

    @Test
    void coresAreNotThreads() throws IOException {
        String thread = "processor\t: %d\nmodel name\t: A Processor\nphysical id\t: 0\ncore id\t\t: %d\nflags\t\t: fma avx2\n\n";
        SystemFiles files = with("proc/cpuinfo", thread.formatted(0, 0) + thread.formatted(1, 1) + thread.formatted(2, 0) + thread.formatted(3, 1));
        assertEquals(Optional.of("A Processor"), files.processor());
        assertEquals(Optional.of(List.of("fma", "avx2")), files.flags());
        assertEquals(OptionalInt.of(2), files.cores());
        assertEquals(OptionalInt.of(4), files.processors());
    }

    @Test
    void anArmProcessorIsItsNumbers() throws IOException {
        SystemFiles files = with("proc/cpuinfo", "processor\t: 0\nFeatures\t: asimd sve bf16\nCPU implementer\t: 0x41\nCPU part\t: 0xd40\n");
        assertEquals(Optional.of("aarch64, implementer 0x41, part 0xd40"), files.processor());
        assertEquals(Optional.of(List.of("asimd", "sve", "bf16")), files.flags());
    }

    @Test
    void memoryIsInBytes() throws IOException {
        assertEquals(OptionalLong.of(1024L * 2000), with("proc/meminfo", "MemTotal:        2000 kB\nMemFree: 1 kB\n").memory());
    }

    @Test
    void theLeastLimitOfAllGroupsHolds() throws IOException {
        with("proc/self/cgroup", "0::/outer/inner\n");
        with("sys/fs/cgroup/outer/memory.max", "5000");
        with("sys/fs/cgroup/outer/cpu.max", "max 100000");
        with("sys/fs/cgroup/outer/inner/cpu.max", "150000 100000");
        SystemFiles files = with("sys/fs/cgroup/outer/inner/memory.max", "max");
        assertEquals(OptionalLong.of(5000), files.memoryLimit());
        assertEquals(OptionalDouble.of(1.5), files.processorLimit());
    }

    @Test
    void limitsOfTheFirstVersionHoldToo() throws IOException {
        with("proc/self/cgroup", "4:memory:/job\n2:cpu,cpuacct:/job\n");
        with("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712");
        with("sys/fs/cgroup/memory/job/memory.limit_in_bytes", "7000");
        with("sys/fs/cgroup/cpu/job/cpu.cfs_quota_us", "50000");
        SystemFiles files = with("sys/fs/cgroup/cpu/job/cpu.cfs_period_us", "100000");
        assertEquals(OptionalLong.of(7000), files.memoryLimit());
        assertEquals(OptionalDouble.of(0.5), files.processorLimit());
        assertEquals(OptionalDouble.empty(), with("sys/fs/cgroup/cpu/job/cpu.cfs_quota_us", "-1").processorLimit());
    }
}
