package isonorm.hub;

import java.io.IOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * What the environment says of the hub, by the variables of Python's tools.
 *
 * @param token what proves to the hub who asks
 * @param offline whether nothing may be fetched
 * @param links whether snapshots are links to blobs; else they have the files themselves
 * @param patience how long an answer may take, and a pause in it
 * @param pause in front of the second try; each further one waits twice as long
 */
record Settings(URI endpoint, Path cache, Optional<String> token, boolean offline, boolean links, Duration patience, Duration pause) {

    private static final String HUB = "https://huggingface.co";
    private static final Set<String> TRUE = Set.of("1", "ON", "YES", "TRUE");
    private static final Pattern VARIABLE = Pattern.compile("\\$(?:\\{(\\w+)\\}|(\\w+))");

    static Settings of(Map<String, String> environment) throws IOException {
        Path home = value(environment, "HF_HOME").map(path -> path(path, environment)).orElseGet(() -> value(environment, "XDG_CACHE_HOME")
                .map(path -> path(path, environment)).orElseGet(() -> Path.of(System.getProperty("user.home"), ".cache")).resolve("huggingface"));
        Path cache = value(environment, "HF_HUB_CACHE").or(() -> value(environment, "HUGGINGFACE_HUB_CACHE"))
                .map(path -> path(path, environment)).orElse(home.resolve("hub"));
        Path tokenFile = value(environment, "HF_TOKEN_PATH").map(path -> path(path, environment)).orElse(home.resolve("token"));
        Optional<String> token = is(environment, "HF_HUB_DISABLE_IMPLICIT_TOKEN") ? Optional.empty() : token(environment, tokenFile);
        return new Settings(endpoint(value(environment, "HF_ENDPOINT").orElse(HUB)), cache, token,
                is(environment, "HF_HUB_OFFLINE") || is(environment, "TRANSFORMERS_OFFLINE"), !is(environment, "HF_HUB_DISABLE_SYMLINKS"),
                Duration.ofSeconds(seconds(environment, "HF_HUB_DOWNLOAD_TIMEOUT", 10)), Duration.ofMillis(500));
    }

    /** Fails faster, for tests. */
    Settings hurried(Duration patience) {
        return new Settings(endpoint, cache, token, offline, links, patience, Duration.ofMillis(1));
    }

    private static URI endpoint(String text) {
        String address = text.replaceAll("/+$", "");
        try {
            URI uri = URI.create(address);
            if (uri.getHost() != null && Set.of("http", "https").contains(String.valueOf(uri.getScheme())) && uri.getRawQuery() == null && uri.getRawUserInfo() == null) {
                return uri;
            }
        } catch (IllegalArgumentException e) {
            // said below
        }
        throw new IllegalArgumentException("HF_ENDPOINT must be the address of a hub, such as " + HUB + ", got '" + text + "'");
    }

    private static Optional<String> token(Map<String, String> environment, Path file) throws IOException {
        Optional<String> given = value(environment, "HF_TOKEN").or(() -> value(environment, "HUGGING_FACE_HUB_TOKEN"));
        if (given.isEmpty() && Files.isRegularFile(file)) {
            given = Optional.of(Files.readString(file));
        }
        Optional<String> token = given.map(text -> text.replaceAll("[\r\n]", "").strip()).filter(text -> !text.isEmpty());
        if (token.isPresent() && !token.get().chars().allMatch(c -> c > ' ' && c < 0x7f)) {
            throw new IOException("the token of HF_TOKEN or " + file + " has characters that no token has");
        }
        return token;
    }

    private static int seconds(Map<String, String> environment, String name, int otherwise) {
        try {
            return value(environment, name).map(Integer::valueOf).filter(value -> value > 0).orElse(otherwise);
        } catch (NumberFormatException e) {
            throw new IllegalArgumentException(name + " must be whole seconds, got '" + environment.get(name) + "'", e);
        }
    }

    private static boolean is(Map<String, String> environment, String name) {
        return value(environment, name).map(value -> TRUE.contains(value.toUpperCase(Locale.ROOT))).orElse(false);
    }

    private static Optional<String> value(Map<String, String> environment, String name) {
        return Optional.ofNullable(environment.get(name)).filter(value -> !value.isBlank());
    }

    /** As Python's expanduser and expandvars read it. */
    private static Path path(String text, Map<String, String> environment) {
        String expanded = VARIABLE.matcher(text).replaceAll(found -> {
            String name = found.group(1) != null ? found.group(1) : found.group(2);
            return Matcher.quoteReplacement(environment.getOrDefault(name, found.group()));
        });
        return expanded.equals("~") || expanded.startsWith("~/") ? Path.of(System.getProperty("user.home") + expanded.substring(1)) : Path.of(expanded);
    }
}
