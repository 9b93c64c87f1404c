package isonorm.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.cli.terminal.Console;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import picocli.CommandLine;
import picocli.CommandLine.Model.OptionSpec;

/** The documentation has every option, and its links lead somewhere, in a checkout and in an archive. */
class DocumentationTest {

    private static final Path HOME = Run.HOME.toAbsolutePath().normalize();
    private static final Path COMMANDS = HOME.resolve("docs/commands.md");
    private static final Pattern LINK = Pattern.compile("\\]\\(([^)\\s]+)\\)");

    /** What computes, by what it is called with, without those that only have others below them. */
    private static Map<String, CommandLine> commands() {
        Map<String, CommandLine> all = new LinkedHashMap<>();
        Main.COMMANDS.forEach((name, make) -> {
            Object made = make.apply(Console.system());
            CommandLine line = made instanceof CommandLine given ? given : new CommandLine(made);
            if (line.getSubcommands().isEmpty()) {
                all.put(name, line);
            }
            line.getSubcommands().forEach((below, its) -> all.put(name + " " + below, its));
        });
        return all;
    }

    /** An option is in a row of its command, in a page that such a row links to, or in what is said of all commands. */
    @Test
    void everyOptionOfEveryCommandIsDocumented() throws IOException {
        List<String> lines = Files.readAllLines(COMMANDS);
        String prose = String.join("\n", lines.stream().filter(line -> !line.startsWith("|")).toList());
        List<String> missing = new ArrayList<>();
        for (Map.Entry<String, CommandLine> command : commands().entrySet()) {
            List<String> rows = lines.stream().filter(line -> Pattern.compile("^\\|.*`" + command.getKey() + "[ `]").matcher(line).find()).toList();
            assertTrue(!rows.isEmpty(), command.getKey());
            StringBuilder text = new StringBuilder(prose).append(String.join("\n", rows));
            for (String target : links(String.join("\n", rows))) {
                text.append(Files.readString(target(COMMANDS, target)));
            }
            for (OptionSpec option : command.getValue().getCommandSpec().options()) {
                boolean named = Stream.of(option.names()).anyMatch(name -> Pattern.compile(Pattern.quote(name) + "(?![a-z0-9-])").matcher(text).find());
                if (!option.hidden() && !named) {
                    missing.add(command.getKey() + " " + option.longestName());
                }
            }
        }
        assertEquals(List.of(), missing);
    }

    /** Of every page: to a file that is there, and a heading of it. */
    @Test
    void linksLeadSomewhere() throws IOException {
        List<String> broken = new ArrayList<>();
        for (Path page : pages()) {
            for (String link : links(Files.readString(page))) {
                Path target = target(page, link);
                boolean there = Files.exists(target) && (!link.contains("#") || !target.toString().endsWith(".md") || headings(target).contains(link.replaceFirst(".*#", "")));
                if (!there) {
                    broken.add(HOME.relativize(page) + ": " + link);
                }
            }
        }
        assertEquals(List.of(), broken);
    }

    /** An archive has what its pages link to, but for sources and the scripts among them. */
    @Test
    void anArchiveHasWhatItsPagesLinkTo() throws IOException {
        String maker = Files.readString(HOME.resolve("isonorm-cli/src/archive/Archive.java"));
        String list = maker.substring(maker.indexOf("List.of(\"README.md\""));
        List<Path> copied = Pattern.compile("\"([^\"]+)\"").matcher(list.substring(0, list.indexOf("))"))).results().map(each -> HOME.resolve(each.group(1))).toList();
        List<String> missing = new ArrayList<>();
        for (Path page : pages()) {
            for (String link : links(Files.readString(page))) {
                Path target = target(page, link);
                if (copied.stream().anyMatch(page::startsWith) && copied.stream().noneMatch(target::startsWith) && !HOME.relativize(target).toString().startsWith("isonorm-")) {
                    missing.add(HOME.relativize(page) + ": " + link);
                }
            }
        }
        assertEquals(List.of(), missing);
        assertTrue(copied.size() > 10, copied.toString());
    }

    private static Path target(Path page, String link) {
        return link.startsWith("#") ? page : page.resolveSibling(link.replaceFirst("#.*", "")).normalize();
    }

    private static List<Path> pages() throws IOException {
        try (Stream<Path> root = Files.list(HOME); Stream<Path> below = Files.walk(HOME.resolve("docs"))) {
            return Stream.concat(Stream.of(HOME.resolve("examples/README.md")), Stream.concat(root, below)).filter(page -> page.toString().endsWith(".md")).toList();
        }
    }

    /** As they are named in links. */
    private static List<String> headings(Path page) throws IOException {
        return Files.readAllLines(page).stream().filter(line -> line.startsWith("#"))
                .map(line -> line.replaceFirst("#+ ", "").toLowerCase(Locale.ROOT).replaceAll("[^\\p{L}\\p{N}_ -]", "").replace(' ', '-')).toList();
    }

    private static List<String> links(String text) {
        return LINK.matcher(text).results().map(link -> link.group(1)).filter(link -> !link.contains("://")).toList();
    }
}
