package isonorm.data;

import isonorm.chat.ChatTemplate;
import isonorm.model.Progress;
import isonorm.mutation.Mutations;
import isonorm.mutation.Mutator;
import isonorm.text.BeginningToken;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.net.URISyntaxException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Stream;
import java.util.zip.GZIPOutputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Whatever data and what describes it hold, they are read or refused. */
class DataMutationTest {

    private static final int LONGEST = 1 << 20;

    @TempDir
    Path folder;

    private static List<byte[]> resources(String path, Set<String> endings) throws IOException, URISyntaxException {
        Path places = Path.of(DataMutationTest.class.getResource(path).toURI());
        try (Stream<Path> files = Files.list(places)) {
            List<byte[]> all = new ArrayList<>();
            for (Path file : files.sorted().toList()) {
                String name = file.getFileName().toString();
                if (endings.contains(name.substring(name.lastIndexOf('.') + 1)) && Files.size(file) < 1 << 16) {
                    all.add(Files.readAllBytes(file));
                }
            }
            return all;
        }
    }

    private void documents(Path file, byte[] input) throws IOException {
        Files.write(file, input);
        try (DocumentFile documents = DocumentFile.open(file, "text", LONGEST)) {
            for (Optional<DocumentFile.Work> work = documents.next(); work.isPresent(); work = documents.next()) {
                work.get().parts().call();
            }
        } catch (IOException | RuntimeException e) {
            throw e;
        } catch (Exception e) {
            throw new IllegalStateException(e);
        }
    }

    @Test
    void linesOfJson() throws IOException {
        List<byte[]> valid = List.of("{\"text\": \"a b c\"}\n{\"text\": \"Größe \\u00e9 \\ud83d\\ude00\", \"id\": 1}\n".getBytes(StandardCharsets.UTF_8),
                "{\"id\": [1, {\"a\": null}], \"text\": \"\", \"n\": NaN}\n\n{\"text\": \"b\"}".getBytes(StandardCharsets.UTF_8));
        Path file = folder.resolve("lines.jsonl");
        Mutations.run("JSON lines", 1000, valid, Mutator::text, input -> documents(file, input));
        List<byte[]> packed = new ArrayList<>();
        for (byte[] each : valid) {
            ByteArrayOutputStream bytes = new ByteArrayOutputStream();
            try (OutputStream out = new GZIPOutputStream(bytes)) {
                out.write(each);
            }
            packed.add(bytes.toByteArray());
        }
        Path gz = folder.resolve("lines.jsonl.gz");
        Mutations.run("JSON lines, packed", 500, packed, Mutator::bytes, input -> documents(gz, input));
    }

    @Test
    void conversations() throws IOException {
        Path file = folder.resolve("lines.json");
        Files.writeString(folder.resolve("chat_template.jinja"), "{% for m in messages %}{{ m.role }}:{{ m.content }};{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}");
        Optional<ChatTemplate> template = ChatTemplate.of(folder);
        List<byte[]> valid = List.of("{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", \"content\": \"b\\ud83d\\ude00\"}]}\n".getBytes(StandardCharsets.UTF_8),
                "[{\"instruction\": \"a\", \"input\": \"\", \"output\": \"b\"}, {\"instruction\": \"a\", \"output\": \"c\"}]".getBytes(StandardCharsets.UTF_8));
        Mutations.run("conversations", 1000, valid, Mutator::text, input -> {
            Files.write(file, input);
            Completions.read(file, Vocabulary.bytes(), template, BeginningToken.AUTO, 20, 0, 0).rows(0, 1);
        });
    }

    @Test
    void parquet() throws IOException, URISyntaxException {
        Path file = folder.resolve("rows.parquet");
        List<byte[]> valid = new ArrayList<>();
        for (String name : List.of("snappy", "gzip", "zstd", "uncompressed")) {
            valid.add(Files.readAllBytes(Path.of(DataMutationTest.class.getResource(name + ".parquet").toURI())));
        }
        Mutations.run("Parquet", 300, valid, Mutator::bytes, input -> documents(file, input));
    }

    @Test
    void images() throws IOException, URISyntaxException {
        Path png = folder.resolve("image.png");
        Mutations.run("PNG", 300, resources("images", Set.of("png")), Mutator::bytes, input -> ImageFile.read(Files.write(png, input)));
        Path jpeg = folder.resolve("image.jpg");
        Mutations.run("JPEG", 300, resources("images", Set.of("jpg")), Mutator::bytes, input -> ImageFile.read(Files.write(jpeg, input)));
        Path other = folder.resolve("image.tif");
        Mutations.run("TIFF, GIF, BMP", 300, resources("images", Set.of("tif", "gif", "bmp")), Mutator::bytes, input -> ImageFile.read(Files.write(other, input)));
    }

    @Test
    void aFolderOfTokens() throws IOException {
        TokenDataBuilder.of(List.of(Files.writeString(folder.resolve("a.txt"), "some words to read, ".repeat(50))), Vocabulary.bytes())
                .writeTo(folder.resolve("tokens"), Progress.NONE);
        Path json = folder.resolve("tokens/dataset.json");
        Mutations.run("dataset.json", 1000, List.of(Files.readAllBytes(json)), Mutator::json, input -> {
            Files.write(json, input);
            TokenData.open(folder.resolve("tokens"));
        });
    }
}
