package isonorm.train;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.train.ProcessGroup.Launch;
import isonorm.train.ProcessGroup.Rendezvous;
import java.io.IOException;
import java.time.Duration;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import org.junit.jupiter.api.Test;

/** What launchers say in the environment. */
class LaunchersTest {

    private static final Map<String, String> TORCH = Map.of("RANK", "5", "WORLD_SIZE", "8", "LOCAL_WORLD_SIZE", "4", "MASTER_ADDR", "node1", "MASTER_PORT", "29400",
            "TORCHELASTIC_USE_AGENT_STORE", "True", "TORCHELASTIC_RESTART_COUNT", "2");

    @Test
    void withoutALauncherThereIsOneProcess() throws IOException {
        assertEquals(Optional.empty(), Launch.of(Map.of()));
        assertEquals(Optional.empty(), Launch.of(Map.of("SLURM_PROCID", "0", "SLURM_NTASKS", "4"))); // a batch script outside of srun
        assertEquals(ProcessGroup.alone(), ProcessGroup.join(Map.of(), Duration.ofSeconds(1)));
        assertEquals(ProcessGroup.alone(), ProcessGroup.join(Map.of("RANK", "0", "WORLD_SIZE", "1"), Duration.ofSeconds(1)));
    }

    @Test
    void torchrunHasAStoreOfItsOwn() {
        assertEquals(new Launch(5, 8, OptionalInt.of(4), "node1", 29400, new Rendezvous.OfLauncher("2")), Launch.of(TORCH).orElseThrow());
    }

    @Test
    void aPyTorchJobHasNone() {
        assertEquals(new Launch(1, 2, OptionalInt.empty(), "job-master-0", 23456, new Rendezvous.OfRanks()),
                Launch.of(Map.of("RANK", "1", "WORLD_SIZE", "2", "MASTER_ADDR", "job-master-0", "MASTER_PORT", "23456")).orElseThrow());
    }

    @Test
    void slurmNamesItsNodes() {
        Map<String, String> step = Map.of("SLURM_PROCID", "6", "SLURM_STEP_NUM_TASKS", "7", "SLURM_STEP_NODELIST", "gpu[03-05,9],big1", "SLURM_JOB_ID", "40017",
                "SLURM_STEP_TASKS_PER_NODE", "2(x3),1", "SLURM_NODEID", "3");
        assertEquals(new Launch(6, 7, OptionalInt.of(1), "gpu03", 15_017, new Rendezvous.OfRanks()), Launch.of(step).orElseThrow());
        assertEquals("big1", Launchers.firstHost("big1,gpu[03-05]"));
        assertEquals("a7-x", Launchers.firstHost("a[7,9]-x,b"));
        assertEquals("one", Launchers.firstHost("one"));
    }

    @Test
    void whatMakesNoSenseIsRefused() {
        assertEquals("a rank must be at least 0 and below the number of processes, got rank 2 of 2; look at RANK and WORLD_SIZE",
                assertThrows(IllegalArgumentException.class, () -> Launch.of(Map.of("RANK", "2", "WORLD_SIZE", "2", "MASTER_ADDR", "x"))).getMessage());
        assertEquals("WORLD_SIZE must be a whole number, got many",
                assertThrows(IllegalArgumentException.class, () -> Launch.of(Map.of("RANK", "0", "WORLD_SIZE", "many"))).getMessage());
        assertEquals("MASTER_ADDR must say where the processes meet, and is not set; torchrun, srun and a PyTorchJob set it",
                assertThrows(IllegalArgumentException.class, () -> Launch.of(Map.of("RANK", "0", "WORLD_SIZE", "2"))).getMessage());
        assertTrue(assertThrows(IOException.class, () -> ProcessGroup.join(TORCH, Duration.ofSeconds(1)).close()).getMessage()
                .startsWith("this is rank 5 of 8 processes, and io.github.isonorm:isonorm-cluster, by which they speak to each other, is not on the class path"));
    }
}
