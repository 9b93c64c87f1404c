package isonorm.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.DisabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

/** The launcher in a folder of its own, with a java that prints what it is given. */
@DisabledOnOs(OS.WINDOWS)
class LauncherTest {

    private static final Set<String> QUICK = Set.of("info", "watch", "completion");

    @TempDir
    private Path folder;

    private Path home;

    @BeforeEach
    void build() throws IOException {
        home = Files.createDirectories(folder.resolve("a home")).toRealPath();
        for (String file : List.of("isonorm", "isonorm-cli/src/main/sh/jdk.sh")) {
            Files.createDirectories(home.resolve(file).getParent());
            Files.copy(Run.HOME.resolve(file), home.resolve(file), StandardCopyOption.COPY_ATTRIBUTES);
        }
        Files.createFile(home.resolve("pom.xml"));
        for (String module : List.of("isonorm-core", "isonorm-engine", "isonorm-onnx", "isonorm-serve", "isonorm-hub", "isonorm-cli")) {
            Files.createDirectories(home.resolve(module).resolve("src/main"));
            Files.createFile(home.resolve(module).resolve("pom.xml"));
        }
        Files.createFile(Files.createDirectories(home.resolve("isonorm-cli/target")).resolve("isonorm.jar"));
        Path tools = Files.createDirectories(folder.resolve("jdk/bin"));
        for (String tool : List.of("java", "javac")) {
            assertTrue(Files.writeString(tools.resolve(tool), "#!/bin/sh\nprintf '%s\\n' \"$@\"\n").toFile().setExecutable(true));
        }
        Files.writeString(folder.resolve("jdk/release"), "JAVA_VERSION=\"25\"\n");
    }

    private List<String> given(String... arguments) throws IOException, InterruptedException {
        return given(home.resolve("isonorm"), Map.of(), arguments);
    }

    private List<String> given(Path launcher, Map<String, String> environment, String... arguments) throws IOException, InterruptedException {
        List<String> command = new ArrayList<>(List.of(launcher.toString()));
        command.addAll(List.of(arguments));
        ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true);
        builder.environment().putAll(Map.of("JAVA_HOME", folder.resolve("jdk").toString(), "ISONORM_JAVA_OPTS", "-Xmx5g -Done=1"));
        List.of("RANK", "SLURM_STEP_NUM_TASKS").forEach(builder.environment()::remove);
        builder.environment().putAll(environment);
        Process process = builder.start();
        List<String> given = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8).lines().toList();
        assertEquals(0, process.waitFor(), given.toString());
        return given;
    }

    @Test
    void whatComputesIsGivenTheEnginesOptions() throws Exception {
        String options = "@" + home.resolve("isonorm-engine/src/main/resources/isonorm/jvm.args");
        assertTrue(Files.isRegularFile(Run.HOME.resolve("isonorm-engine/src/main/resources/isonorm/jvm.args")));
        for (String command : Main.COMMANDS.keySet()) {
            List<String> given = given(command);
            boolean quick = QUICK.contains(command);
            assertEquals(!quick, given.contains(options), command + ": " + given);
            assertEquals(quick, given.contains("-XX:TieredStopAtLevel=1"), command + ": " + given);
            assertFalse(given(command, "--help").contains(options), command + " --help");
        }
    }

    /** The user's come last, so that they hold, and what follows is the program's. */
    @Test
    void theUsersOptionsFollowTheEngines() throws Exception {
        List<String> given = given("generate", "a b", "--prompt", "@c");
        assertTrue(given.indexOf("-Xmx5g") > given.indexOf("-Xmn24m"), given.toString());
        assertEquals(List.of("-Xmx5g", "-Done=1", "-cp", home.resolve("isonorm-cli/target/isonorm.jar").toString(), "isonorm.cli.Main",
                "generate", "a b", "--prompt", "@c"), given.subList(given.indexOf("-Xmx5g"), given.size()));
    }

    /** Only a process that has others to speak to gets what it speaks by. */
    @Test
    void aRankOfAGroupGetsWhatItSpeaksBy() throws Exception {
        Path target = Files.createDirectories(home.resolve("isonorm-cluster/target/lib")).getParent();
        Files.createDirectories(home.resolve("isonorm-cluster/src/main"));
        Files.createFile(home.resolve("isonorm-cluster/pom.xml"));
        Files.createFile(target.resolve("isonorm-cluster.jar"));
        String alone = home.resolve("isonorm-cli/target/isonorm.jar").toString();
        for (String variable : List.of("RANK", "SLURM_STEP_NUM_TASKS")) {
            List<String> given = given(home.resolve("isonorm"), Map.of(variable, "1"), "train", "out=x");
            assertEquals(alone + ":" + target.resolve("isonorm-cluster.jar") + ":" + target.resolve("lib/*"), given.get(given.indexOf("-cp") + 1));
            List<String> other = given(home.resolve("isonorm"), Map.of(variable, "1"), "eval");
            assertEquals(alone, other.get(other.indexOf("-cp") + 1));
        }
        List<String> given = given("train");
        assertEquals(alone, given.get(given.indexOf("-cp") + 1));
    }

    /** It is made by what runs a model, once, and given where there is one. */
    @Test
    void whatComputesIsGivenTheEnginesCache() throws Exception {
        Path target = home.resolve("isonorm-cli/target");
        for (String command : List.of("info", "doctor", "convert")) {
            assertFalse(String.join(" ", given(command)).contains(".jsa"), command);
        }
        assertEquals(List.of(), caches(target));
        assertTrue(given("generate").getFirst().startsWith("preparing faster starts"));
        Path cache = caches(target).getFirst();
        assertEquals(0, Files.size(cache), "the java of this test makes none");
        assertFalse(String.join(" ", given("generate")).contains("preparing"));
        Files.writeString(cache, "a cache");
        for (String command : List.of("info", "generate", "doctor")) {
            assertEquals(!QUICK.contains(command), given(command).contains("-XX:SharedArchiveFile=" + cache), command);
        }
    }

    private static List<Path> caches(Path target) throws IOException {
        try (Stream<Path> files = Files.list(target)) {
            return files.filter(file -> file.toString().endsWith(".jsa")).toList();
        }
    }

    /** The archive's, behind a link, with a java that prints what it is given; it gives the same but for where its files lie. */
    @Test
    void theArchivesLauncherGivesItsOwnJavaTheSame() throws Exception {
        Path archive = Files.createDirectories(folder.resolve("an archive")).toRealPath();
        Files.copy(Run.HOME.resolve("isonorm-cli/src/archive/isonorm"), archive.resolve("isonorm"), StandardCopyOption.COPY_ATTRIBUTES);
        Files.copy(folder.resolve("jdk/bin/java"), Files.createDirectories(archive.resolve("runtime/bin")).resolve("java"), StandardCopyOption.COPY_ATTRIBUTES);
        Path link = Files.createSymbolicLink(folder.resolve("linked"), Path.of("an archive/isonorm"));
        for (String command : Main.COMMANDS.keySet()) {
            List<String> given = given(link, Map.of(), command);
            boolean quick = QUICK.contains(command);
            assertEquals(!quick, given.contains("@" + archive.resolve("app/jvm.args")), command + ": " + given);
            assertEquals(!quick, given.contains("-XX:SharedArchiveFile=" + archive.resolve("app/engine.jsa")), command + ": " + given);
            assertEquals(quick, given.contains("-XX:AOTCache=" + archive.resolve("app/start.aot")), command + ": " + given);
            assertTrue(given.contains("-Disonorm.natives=" + archive.resolve("app/natives")), command + ": " + given);
        }
        assertFalse(given(link, Map.of(), "generate", "--help").contains("@" + archive.resolve("app/jvm.args")));
        List<String> given = given(link, Map.of(), "generate", "a b", "--prompt", "@c *");
        assertTrue(given.indexOf("-Xmx5g") > given.indexOf("-Xmn24m"), given.toString());
        assertEquals(List.of("-Xmx5g", "-Done=1", "-cp", archive.resolve("app/isonorm.jar").toString(), "isonorm.cli.Main",
                "generate", "a b", "--prompt", "@c *"), given.subList(given.indexOf("-Xmx5g"), given.size()));
    }

    /** Those of Windows cannot be run here. */
    @Test
    void theLaunchersOfWindowsKnowTheSameCommands() throws IOException {
        for (String launcher : List.of("isonorm.cmd", "isonorm-cli/src/archive/isonorm.cmd")) {
            String script = Files.readString(Run.HOME.resolve(launcher));
            List<String> named = List.of(script.replaceAll("(?s).* in \\((.*?)\\) do if .*", "$1").split(" "));
            assertEquals(Main.COMMANDS.keySet().stream().filter(command -> !QUICK.contains(command)).toList(), named, launcher);
            assertTrue(script.contains("jvm.args") && script.endsWith("exit /b %errorlevel%\r\n"), script);
        }
        assertTrue(Files.readString(Run.HOME.resolve("isonorm.cmd")).contains("isonorm-engine\\src\\main\\resources\\isonorm\\jvm.args"));
    }

    /** Whoever gets the archive gets what NOTICE names, and the licences of it. */
    @Test
    void theArchiveHasTheLicencesThatItNeeds() throws IOException {
        Path licences = Run.HOME.resolve("isonorm-cli/src/archive/licences");
        for (String file : List.of("bsd.txt", "mit.txt", "gpl-3.0.txt", "gcc-runtime-exception.txt", "lgpl-2.1.txt")) {
            assertTrue(Files.size(licences.resolve(file)) > 1000, file);
            assertTrue(Files.readString(Run.HOME.resolve("NOTICE")).contains(file), file);
        }
    }
}
