package isonorm.train;

import isonorm.train.ProcessGroup.Launch;
import isonorm.train.ProcessGroup.Rendezvous;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** The variables by which launchers tell processes of each other. */
final class Launchers {

    /** torchrun's own where nothing else is said. */
    private static final int PORT = 29_500;

    /** A Slurm job meets at a port of its own, so that two on one machine do not meet each other. */
    private static final int FIRST_OF_SLURM = 15_000;

    private static final int PORTS_OF_SLURM = 20_000;

    private static final Pattern TASKS = Pattern.compile("(\\d+)(?:\\(x(\\d+)\\))?");

    private Launchers() {}

    static Optional<Launch> read(Map<String, String> environment) {
        if (environment.containsKey("RANK") || environment.containsKey("WORLD_SIZE")) {
            return Optional.of(ofTorch(environment));
        }
        // In a batch script itself, outside of srun, Slurm sets SLURM_PROCID too, and there is no step.
        if (environment.containsKey("SLURM_PROCID") && environment.containsKey("SLURM_STEP_NUM_TASKS")) {
            return Optional.of(ofSlurm(environment));
        }
        return Optional.empty();
    }

    private static Launch ofTorch(Map<String, String> environment) {
        int size = number(environment, "WORLD_SIZE");
        boolean store = "True".equals(environment.get("TORCHELASTIC_USE_AGENT_STORE"));
        return new Launch(number(environment, "RANK"), size,
                environment.containsKey("LOCAL_WORLD_SIZE") ? OptionalInt.of(number(environment, "LOCAL_WORLD_SIZE")) : OptionalInt.empty(),
                size == 1 ? environment.getOrDefault("MASTER_ADDR", "localhost") : text(environment, "MASTER_ADDR"),
                environment.containsKey("MASTER_PORT") ? number(environment, "MASTER_PORT") : PORT,
                store ? new Rendezvous.OfLauncher(environment.getOrDefault("TORCHELASTIC_RESTART_COUNT", "0")) : new Rendezvous.OfRanks());
    }

    private static Launch ofSlurm(Map<String, String> environment) {
        String host = environment.containsKey("MASTER_ADDR") ? text(environment, "MASTER_ADDR") : firstHost(text(environment, "SLURM_STEP_NODELIST"));
        int port = environment.containsKey("MASTER_PORT") ? number(environment, "MASTER_PORT")
                : FIRST_OF_SLURM + (int) (Long.parseLong(environment.getOrDefault("SLURM_JOB_ID", "0").replaceAll("\\D", "0")) % PORTS_OF_SLURM);
        return new Launch(number(environment, "SLURM_PROCID"), number(environment, "SLURM_STEP_NUM_TASKS"), tasksHere(environment), host, port, new Rendezvous.OfRanks());
    }

    /** {@code 2(x3),1} is two tasks on each of three machines and one on a fourth. */
    private static OptionalInt tasksHere(Map<String, String> environment) {
        String tasks = environment.getOrDefault("SLURM_STEP_TASKS_PER_NODE", "");
        String node = environment.getOrDefault("SLURM_NODEID", "");
        if (!node.matches("\\d{1,6}")) {
            return OptionalInt.empty();
        }
        int left = Integer.parseInt(node);
        Matcher each = TASKS.matcher(tasks);
        while (each.find()) {
            int machines = each.group(2) == null ? 1 : Integer.parseInt(each.group(2));
            if (left < machines) {
                return OptionalInt.of(Integer.parseInt(each.group(1)));
            }
            left -= machines;
        }
        return OptionalInt.empty();
    }

    /** The first of {@code node[01-04,7],other}: node01. */
    static String firstHost(String list) {
        int bracket = list.indexOf('[');
        int comma = list.indexOf(',');
        if (bracket < 0 || comma >= 0 && comma < bracket) {
            return comma < 0 ? list : list.substring(0, comma);
        }
        int close = list.indexOf(']', bracket);
        String inside = list.substring(bracket + 1, close < 0 ? list.length() : close);
        String behind = close < 0 ? "" : list.substring(close + 1).split(",", 2)[0];
        return list.substring(0, bracket) + inside.split("[-,]", 2)[0] + behind;
    }

    private static String text(Map<String, String> environment, String name) {
        String value = environment.get(name);
        if (value == null || value.isBlank()) {
            throw new IllegalArgumentException(name + " must say where the processes meet, and is not set; torchrun, srun and a PyTorchJob set it");
        }
        return value.strip();
    }

    private static int number(Map<String, String> environment, String name) {
        String value = environment.getOrDefault(name, "");
        try {
            return Integer.parseInt(value.strip());
        } catch (NumberFormatException e) {
            throw new IllegalArgumentException(name + " must be a whole number, got " + (value.isEmpty() ? "nothing" : value), e);
        }
    }
}
