package isonorm.family;

import static java.util.Objects.requireNonNull;

import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Config;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Which keys of a config.json there is anything known of: those of docs/config-keys.md, which is among the resources and says of each that it is
 * read, refused unless it has one value, or irrelevant. What Isonorm's own format has is what is asked for in reading it.
 */
final class KnownKeys {

    private static final String ANY = "Any family";
    private static final String ROTARY = "Rotary positions";
    private static final Set<String> ROTARY_OBJECTS = Set.of("rope_parameters", "rope_scaling", "full_attention", "sliding_attention");

    private static final Pattern NAME = Pattern.compile("`([^`]+)`");

    private static final Map<String, Set<String>> SECTIONS = read();

    private KnownKeys() {}

    private static Map<String, Set<String>> read() {
        Map<String, Set<String>> sections = new HashMap<>();
        try (InputStream page = KnownKeys.class.getResourceAsStream("config-keys.md")) {
            Set<String> section = new HashSet<>();
            for (String line : new String(page.readAllBytes(), StandardCharsets.UTF_8).lines().toList()) {
                if (line.startsWith("## ")) {
                    section = new HashSet<>(); // of one family, or of several that have the same keys
                    for (String family : line.substring(3).replace("`", "").split(", ")) {
                        sections.put(family, section);
                    }
                } else if (line.startsWith("|")) {
                    Matcher name = NAME.matcher(line.split("\\|", -1)[1]);
                    while (name.find()) {
                        section.add(name.group(1));
                    }
                }
            }
            return sections;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** The keys that the page does not have, in their order; those of objects with a dot between, and none whose value is null. */
    static List<String> unknown(Config config, String family) {
        Set<String> known = new HashSet<>(requireNonNull(SECTIONS.get(ANY)));
        known.addAll(SECTIONS.getOrDefault(family, Set.of()));
        List<String> unknown = new ArrayList<>();
        add(config, "", known, unknown);
        return unknown;
    }

    private static void add(Config config, String path, Set<String> known, List<String> unknown) {
        config.values().forEach((key, value) -> {
            String inside = path + key + ".";
            if (value instanceof Map<?, ?> && ROTARY_OBJECTS.contains(key) && known.contains(path + key)) {
                addRotary(config.object(key), inside, unknown);
            } else if (value instanceof Map<?, ?> && known.stream().anyMatch(each -> each.startsWith(inside))) {
                add(config.object(key), inside, known, unknown);
            } else if (value != null && !known.contains(path + key) && !requireNonNull(SECTIONS.get(ANY)).contains(key)) {
                unknown.add(path + key);
            }
        });
    }

    private static void addRotary(Config rotary, String path, List<String> unknown) {
        rotary.values().forEach((key, value) -> {
            if (value instanceof Map<?, ?> && ROTARY_OBJECTS.contains(key)) {
                addRotary(rotary.object(key), path + key + ".", unknown);
            } else if (value != null && !requireNonNull(SECTIONS.get(ROTARY)).contains(key)) {
                unknown.add(path + key);
            }
        });
    }

    /** The keys of an Isonorm config that nobody asks for, but for those of the config that it came from. */
    static List<String> unasked(Config config) throws CheckpointException {
        Set<String> asked = new HashSet<>(requireNonNull(SECTIONS.get(ANY)));
        asked.addAll(Set.of("isonorm_version", "source_config"));
        new Isonorm().describe(config.recording(asked::add), Set.of());
        List<String> unasked = new ArrayList<>();
        addUnasked(config.without("source_config"), "", asked, unasked);
        return unasked;
    }

    private static void addUnasked(Config config, String path, Set<String> asked, List<String> unasked) {
        config.values().forEach((key, value) -> {
            if (value != null && !asked.contains(path + key)) {
                unasked.add(path + key);
            } else if (value instanceof Map<?, ?> && !requireNonNull(SECTIONS.get(ANY)).contains(path + key)) {
                addUnasked(config.object(key), path + key + ".", asked, unasked);
            } else if (value instanceof List<?>) {
                config.objects(key).forEach(each -> addUnasked(each, path + key + ".", asked, unasked));
            }
        });
    }
}
