package isonorm.tensor;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import isonorm.EveryProcessor;
import isonorm.tensor.Libraries.Library;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.stream.Stream;
import org.bytedeco.javacpp.Loader;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Where native code is loaded from, and what is said before it is unpacked. */
class LibrariesTest {

    @TempDir
    private Path folder;

    /** Where nothing is unpacked, nothing is said. */
    @Test
    @EveryProcessor
    void whoAsksIsToldOnceAndBeforeSomethingIsUnpacked() throws IOException {
        List<Path> told = new ArrayList<>();
        Libraries.beforeUnpacking(told::add);
        Libraries.tellBeforeUnpacking(Files.createFile(folder.resolve("there")));
        assertEquals(List.of(), told);
        Libraries.tellBeforeUnpacking(folder.resolve("missing"));
        Libraries.tellBeforeUnpacking(folder.resolve("missing too"));
        assertEquals(List.of(Loader.getCacheDir().toPath()), told);
    }

    /** As the command line's archive has them: they are loaded from there, and the cache stays empty. */
    @Test
    void whatLiesUnpackedIsNotUnpackedAgain() throws Exception {
        List<Library> here = Libraries.here().stream().filter(library -> library.place().isPresent()).toList();
        assumeTrue(!here.isEmpty(), "no native library");
        List<Path> links = new ArrayList<>();
        for (Library library : here) {
            Path place = library.place().orElseThrow();
            String name = library.name().toLowerCase(Locale.ROOT);
            Path unpacked = Files.createDirectories(folder.resolve("natives/org/bytedeco/" + (name.equals("onednn") ? "dnnl" : name) + "/" + Loader.getPlatform()));
            if (name.equals("openblas")) { // a file of our own, and beside it what it calls, in JavaCPP's folders
                links.add(Files.createSymbolicLink(unpacked.resolve("libopenblas" + place.getFileName().toString().substring(place.getFileName().toString().indexOf(Loader.getPlatform())
                        + Loader.getPlatform().length())), place));
                try (Stream<Path> files = Files.walk(place.getParent())) {
                    for (Path called : files.filter(file -> file.toString().contains("openblas") && file.getFileName().toString().matches("lib(gcc_s|quadmath|gfortran).*")).toList()) {
                        links.add(Files.createSymbolicLink(unpacked.resolve(called.getFileName()), called));
                    }
                }
            } else {
                try (Stream<Path> files = Files.list(place.getParent())) {
                    for (Path file : files.toList()) {
                        links.add(Files.createSymbolicLink(unpacked.resolve(file.getFileName()), file));
                    }
                }
            }
        }
        Path cache = Files.createDirectories(folder.resolve("cache"));
        ProcessBuilder builder = new ProcessBuilder(Path.of(System.getProperty("java.home"), "bin", "java").toString(), "@src/main/resources/isonorm/jvm.args",
                "-Disonorm.natives=" + folder.resolve("natives"), "-Dorg.bytedeco.javacpp.cachedir=" + cache, "-cp", System.getProperty("java.class.path"), Places.class.getName());
        Process process = builder.redirectErrorStream(true).start();
        List<String> places = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8).lines().filter(line -> line.startsWith("place ")).toList();
        assertEquals(0, process.waitFor());
        assertEquals(here.size(), places.size(), places.toString());
        assertTrue(places.stream().allMatch(place -> place.startsWith("place " + folder.resolve("natives"))), places.toString());
        try (Stream<Path> unpacked = Files.list(cache)) {
            assertEquals(List.of(), unpacked.toList());
        }
        for (Path link : links) {
            Files.delete(link);
        }
    }

    /** Says where a process has loaded its libraries from. */
    static final class Places {
        public static void main(String[] args) {
            Libraries.here().forEach(library -> library.place().ifPresent(place -> System.out.println("place " + place)));
        }
    }
}
