package isonorm.cli;

import isonorm.cli.terminal.Console;
import isonorm.convert.Conversion;
import isonorm.convert.Form;
import isonorm.convert.LoadedModel;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;

/**
 * Runs what check_random_configs.py made, each folder of {@code FOLDERS} in float64 and float32 and in every form it can take, and writes what it gives
 * beside it: a file a way.
 */
final class ForwardFolders {

    private static final List<Form> FORMS = List.of(Form.CENTRED, Form.PRE_RMSNORM, Form.PRE_CRMSNORM, Form.RMSNORM);

    private ForwardFolders() {}

    public static void main(String[] arguments) throws IOException {
        List<Path> folders;
        try (Stream<Path> all = Files.list(Path.of(arguments[0]))) {
            folders = all.filter(Files::isDirectory).sorted().toList();
        }
        for (Path folder : folders) {
            for (String compute : List.of("f64", "f32")) {
                tell(folder, compute, forward(folder, folder, compute, compute));
            }
            for (Form form : FORMS) {
                if (Conversion.refusals(LoadedModel.open(folder), form).isEmpty()) {
                    Path written = folder.resolve(form.label());
                    Optional<String> said = run("convert", folder, written, "--to", form.label(), "--dtype", "f32", "--quiet");
                    tell(folder, form.label(), said.isPresent() ? said : forward(folder, written, form.label(), "f64"));
                }
            }
        }
    }

    private static Optional<String> forward(Path folder, Path model, String name, String compute) {
        return run("forward", model, "--inputs", folder.resolve("golden.safetensors"), "--output", folder.resolve(name + ".ours.safetensors"),
                "--compute", compute, "--quiet");
    }

    /** What was said where it failed. */
    private static Optional<String> run(Object... arguments) {
        ByteArrayOutputStream said = new ByteArrayOutputStream();
        PrintStream stream = new PrintStream(said, true, StandardCharsets.UTF_8);
        int code = Main.run(new Console(stream, stream, false, false), Arrays.stream(arguments).map(Object::toString).toArray(String[]::new));
        return code == 0 ? Optional.empty() : Optional.of(said.toString(StandardCharsets.UTF_8).strip());
    }

    private static void tell(Path folder, String way, Optional<String> said) {
        said.ifPresent(words -> System.out.println(folder.getFileName() + ", " + way + ": " + words));
    }
}
