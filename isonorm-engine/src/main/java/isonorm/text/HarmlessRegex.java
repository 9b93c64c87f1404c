package isonorm.text;

import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Which regexes find their matches in a time that grows as the text does. The one who searches, Oniguruma, backtracks, and the library around it
 * ends the process where it gives up.
 *
 * <p>A branch is harmless if what may repeat without end is followed only by what may also be absent: then nothing behind a repetition fails, and
 * nothing is tried again. What else tokenizers are published with is known by its text. A regex of this kind is harmless; any other may be.
 */
final class HarmlessRegex {

    /** Longest stretch of text that such a regex may have to go through at once; Oniguruma gives up after ten million steps. */
    static final int LONGEST_STRETCH = 500_000;

    // Words in capitals and in small letters, of o200k and of Mistral's: where the first of the two fails behind a repetition, the second matches all of it.
    private static final String UPPER = "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]";
    private static final String LOWER = "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]";
    private static final String OPTIONAL = "[^\\r\\n\\p{L}\\p{N}]?";
    private static final String ENDINGS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)?";
    private static final List<String> PAIRS = List.of(
            words(""), words(ENDINGS));

    /** Spaces of some kind; what these leave, the last branch of all, any spaces, has to take. */
    private static final List<String> SPACES = List.of("\\s*[\\r\\n]+", "\\s*[\\r\\n]", "\\s+(?!\\S)");
    private static final String ANY_SPACES = "\\s+";

    /** BLOOM's, of which the class holds another. */
    private static final List<String> KNOWN = List.of(" ?[^(\\s|[.,!?…。，、।۔،])]+");

    private static final String CHARACTER = "\\\\[sSdDwWrnt]|\\\\[pP]\\{\\^?\\w{1,20}\\}|\\\\[^\\w\\s]|[\\w '\",:;<>=!@#%&~`/-]|[\\u0080-\\uffff]";
    private static final String CLASS = "\\[\\^?(?:\\\\[sSdDwWrnt]|\\\\[pP]\\{\\^?\\w{1,20}\\}|\\\\[^\\w\\s]|[^\\\\\\[\\]&]|&(?!&))+\\]";
    private static final String WORD = "['\\p{L}]{1,9}";
    private static final Pattern ATOM = Pattern.compile("(" + CHARACTER + "|" + CLASS + "|\\(\\?i?:" + WORD + "(?:\\|" + WORD + "){0,20}\\))"
            + "(\\?|\\+|\\*|\\{\\d{1,2}(?:,\\d{0,2})?\\})?(?![?*+{])", Pattern.UNICODE_CASE);

    private HarmlessRegex() {}

    private static String words(String ending) {
        return OPTIONAL + UPPER + "*" + LOWER + "+" + ending + "|" + OPTIONAL + UPPER + "+" + LOWER + "*" + ending;
    }

    static boolean is(String regex) {
        String rest = regex;
        for (String pair : PAIRS) {
            if (rest.startsWith(pair + "|")) {
                rest = rest.substring(pair.length() + 1);
            }
        }
        List<String> branches = branches(rest);
        boolean takesSpaces = branches.getLast().equals(ANY_SPACES);
        return branches.stream().allMatch(branch -> KNOWN.contains(branch) || takesSpaces && SPACES.contains(branch) || neverFailsLate(branch));
    }

    /** Cut at the bars that are in no group and no class. */
    private static List<String> branches(String regex) {
        List<String> branches = new ArrayList<>();
        StringBuilder branch = new StringBuilder();
        int groups = 0;
        int classes = 0;
        for (int i = 0; i < regex.length(); i++) {
            char c = regex.charAt(i);
            if (c == '|' && groups == 0 && classes == 0) {
                branches.add(branch.toString());
                branch.setLength(0);
                continue;
            }
            branch.append(c);
            if (c == '\\' && i + 1 < regex.length()) {
                branch.append(regex.charAt(++i));
            } else {
                classes += c == '[' ? 1 : c == ']' ? -1 : 0;
                groups += classes > 0 ? 0 : c == '(' ? 1 : c == ')' ? -1 : 0;
            }
        }
        branches.add(branch.toString());
        return branches;
    }

    private static boolean neverFailsLate(String branch) {
        Matcher atoms = ATOM.matcher(branch);
        int at = 0;
        boolean needed = false;
        boolean repeated = false;
        while (at < branch.length()) {
            if (!atoms.find() || atoms.start() != at) {
                return false;
            }
            String count = atoms.group(2) == null ? "" : atoms.group(2);
            boolean optional = count.equals("?") || count.equals("*") || count.startsWith("{0");
            if (repeated && !optional) {
                return false;
            }
            needed |= !optional;
            repeated |= count.equals("+") || count.equals("*") || count.endsWith(",}");
            at = atoms.end();
        }
        return needed;
    }

    /** Whether a text is long and has a long stretch without a letter beside a space, where every such regex ends a match. */
    static boolean hasLongStretch(String text) {
        int begin = 0;
        for (int i = 1; i < text.length(); i++) {
            if (isSpace(text.charAt(i - 1)) && isLetter(text.charAt(i)) || isLetter(text.charAt(i - 1)) && isSpace(text.charAt(i))) {
                begin = i;
            } else if (i - begin > LONGEST_STRETCH) {
                return true;
            }
        }
        return false;
    }

    private static boolean isSpace(char c) {
        return c == ' ' || c == '\n';
    }

    private static boolean isLetter(char c) {
        return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z';
    }
}
