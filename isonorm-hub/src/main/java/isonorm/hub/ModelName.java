package isonorm.hub;

import java.util.List;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * A model on the hub: {@code owner/name}, or {@code owner/name@revision}.
 *
 * @param id the owner and the name, with a slash between
 * @param revision a branch, a tag or a commit
 */
public record ModelName(String id, String revision) {

    static final String MAIN = "main";
    static final Pattern COMMIT = Pattern.compile("[0-9a-f]{40}");

    private static final String WORD = "[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?";
    private static final Pattern ID = Pattern.compile(WORD + "/" + WORD);
    private static final Pattern REVISION = Pattern.compile("[A-Za-z0-9_.+/-]{1,200}");
    private static final Pattern NAMED = Pattern.compile("([^@]*)(?:@(.*))?");

    /** @throws IllegalArgumentException for what the hub gives no model as a name */
    public ModelName {
        if (!isId(id)) {
            throw new IllegalArgumentException("a model is named owner/name, of letters, digits, '-', '_' and '.', got '" + id + "'");
        }
        if (!isRevision(revision)) {
            throw new IllegalArgumentException("a revision is a branch, a tag or a commit, got '" + revision + "'");
        }
    }

    /** The model that a text names; nothing where it does not look like a name. */
    public static Optional<ModelName> of(String text) {
        Matcher named = NAMED.matcher(text);
        if (!named.matches() || !isId(named.group(1)) || named.group(2) != null && !isRevision(named.group(2))) {
            return Optional.empty();
        }
        return Optional.of(new ModelName(named.group(1), named.group(2) == null ? MAIN : named.group(2)));
    }

    private static boolean isId(String text) {
        return ID.matcher(text).matches() && !text.contains("--") && !text.contains("..") && !text.endsWith(".git");
    }

    /** It becomes a path below {@code refs}. */
    private static boolean isRevision(String text) {
        return REVISION.matcher(text).matches() && List.of(text.split("/", -1)).stream().noneMatch(part -> part.isEmpty() || part.equals(".") || part.equals(".."));
    }

    boolean isPinned() {
        return COMMIT.matcher(revision).matches();
    }

    /** As it is given on a command line. */
    @Override
    public String toString() {
        return revision.equals(MAIN) ? id : id + "@" + revision;
    }
}
