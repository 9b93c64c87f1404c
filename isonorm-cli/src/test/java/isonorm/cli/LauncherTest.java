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
        List<String> command = new ArrayList<>(List.of(home.resolve("isonorm").toString()));
        command.addAll(List.of(arguments));
        ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true);
        builder.environment().putAll(Map.of("JAVA_HOME", folder.resolve("jdk").toString(), "ISONORM_JAVA_OPTS", "-Xmx5g -Done=1"));
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

    /** That of Windows cannot be run here. */
    @Test
    void theLauncherOfWindowsKnowsTheSameCommands() throws IOException {
        String script = Files.readString(Run.HOME.resolve("isonorm.cmd"));
        List<String> named = List.of(script.replaceAll("(?s).* in \\((.*?)\\) do if .*", "$1").split(" "));
        assertEquals(Main.COMMANDS.keySet().stream().filter(command -> !QUICK.contains(command)).toList(), named);
        assertTrue(script.contains("isonorm-engine\\src\\main\\resources\\isonorm\\jvm.args") && script.endsWith("exit /b %errorlevel%\r\n"), script);
    }
}
