package isonorm.words;

import com.fasterxml.jackson.core.JacksonException;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** What is wrong with JSON, in words of ours: those of its parser tell of settings that nobody has here. */
public final class JsonFault {

    private static final Map<Pattern, String> WORDS = new LinkedHashMap<>();

    static {
        WORDS.put(Pattern.compile("Duplicate field '(.*)'.*", Pattern.DOTALL), "the key %s is there twice");
        WORDS.put(Pattern.compile("Unrecognized token '(.*?)'.*", Pattern.DOTALL), "%s is no value");
        WORDS.put(Pattern.compile("Unexpected character \\('(.)'.*", Pattern.DOTALL), "a %s stands where none may");
        WORDS.put(Pattern.compile("Unexpected close marker '(.)'.*", Pattern.DOTALL), "a %s closes what was not opened");
        WORDS.put(Pattern.compile("(?:Unexpected end-of-input|Incomplete|No content).*", Pattern.DOTALL), "it ends too soon");
        WORDS.put(Pattern.compile("(?:Illegal unquoted character|Illegal character|Illegal \\(CTRL-CHAR).*", Pattern.DOTALL), "it has a control character");
        WORDS.put(Pattern.compile("(?:Unrecognized character escape|Unexpected escape|Unsupported escape).*", Pattern.DOTALL), "it has an unknown escape");
        WORDS.put(Pattern.compile("Invalid UTF-?8.*", Pattern.DOTALL), "it is not UTF-8");
        WORDS.put(Pattern.compile("Document nesting depth.*", Pattern.DOTALL), "it is nested too deeply");
        WORDS.put(Pattern.compile("(?:String value length|String length|Name length|Number value length).*", Pattern.DOTALL), "it has a value or a key that is too long");
        WORDS.put(Pattern.compile(".*(?:umber|umeric|eading|NaN|INF|Infinity).*", Pattern.DOTALL), "it has a number that JSON does not have");
    }

    private JsonFault() {}

    public static String of(JacksonException e) {
        String said = e.getOriginalMessage() == null ? "" : e.getOriginalMessage();
        for (Map.Entry<Pattern, String> each : WORDS.entrySet()) {
            Matcher matcher = each.getKey().matcher(said);
            if (matcher.matches()) {
                return matcher.groupCount() == 0 ? each.getValue() : String.format(each.getValue(), matcher.group(1));
            }
        }
        return "it cannot be parsed";
    }
}
