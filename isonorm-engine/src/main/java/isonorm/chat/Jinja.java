package isonorm.chat;

import isonorm.chat.JinjaValues.Undefined;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * A template in the part of Jinja that chat templates are written in, rendered as Jinja2 renders it with {@code trim_blocks} and {@code lstrip_blocks}.
 *
 * <p>What it does not know, a tag, a filter, a test, a method, is refused by its name and never passed over, since another prompt would be another
 * conversation. It calls nothing of Java's, and its steps and what it writes are bounded. (The one kept library for Jinja on the JVM writes other texts: it
 * ignores a loop's condition and the minus of an expression.)
 */
final class Jinja {

    /** What a template cannot say, or says of what it was given. */
    static final class Wrong extends RuntimeException {
        private static final long serialVersionUID = 1L;

        Wrong(String message) {
            super(message, null, false, false);
        }
    }

    /** Anything with arguments. */
    @FunctionalInterface
    interface Function {
        @Nullable Object of(List<@Nullable Object> arguments, Map<String, @Nullable Object> named);
    }

    private static final int MOST_STEPS = 2_000_000;
    private static final int MOST_CHARACTERS = 8 << 20;
    private static final int DEEPEST = 60;

    /** An expression. */
    @FunctionalInterface
    private interface Expression {
        @Nullable Object in(Scope scope);
    }

    /** A statement, or text. */
    @FunctionalInterface
    private interface Statement {
        void in(Scope scope);
    }

    private static final class Break extends RuntimeException {
        private static final long serialVersionUID = 1L;
        private final boolean goesOn;

        private Break(boolean goesOn) {
            super(null, null, false, false);
            this.goesOn = goesOn;
        }
    }

    /** What one rendering has used up. */
    private static final class Budget {
        private int steps;
        private int depth;

        void step() {
            if (++steps > MOST_STEPS) {
                throw new Wrong("it takes too many steps");
            }
        }
    }

    /** Names and their values, behind those of the scope around it, and where text goes. */
    private static final class Scope {
        private final @Nullable Scope around;
        private final Map<String, @Nullable Object> names = new HashMap<>();
        private final StringBuilder out;
        private final Budget budget;

        Scope(@Nullable Scope around, StringBuilder out, Budget budget) {
            this.around = around;
            this.out = out;
            this.budget = budget;
        }

        @Nullable Object get(String name) {
            for (Scope scope = this; scope != null; scope = scope.around) {
                if (scope.names.containsKey(name)) {
                    return scope.names.get(name);
                }
            }
            return new Undefined(name);
        }

        Scope inner() {
            return new Scope(this, out, budget);
        }

        Scope into(StringBuilder other) {
            return new Scope(this, other, budget);
        }

        void write(String text) {
            if (out.length() + text.length() > MOST_CHARACTERS) {
                throw new Wrong("it writes too much");
            }
            out.append(text);
        }
    }

    private final List<Statement> body;

    private Jinja(List<Statement> body) {
        this.body = body;
    }

    /**
     * Reads a template.
     *
     * @throws Wrong if it says what is not known here
     */
    static Jinja of(String template) {
        String text = template.replace("\r\n", "\n").replace('\r', '\n');
        Parser parser = new Parser(pieces(text.endsWith("\n") ? text.substring(0, text.length() - 1) : text));
        List<Statement> body = parser.body(Set.of());
        return new Jinja(body);
    }

    /**
     * Writes it out.
     *
     * @throws Wrong if it cannot be
     */
    String render(Map<String, ? extends @Nullable Object> given) {
        Scope scope = new Scope(null, new StringBuilder(), new Budget());
        scope.names.putAll(JinjaValues.FUNCTIONS);
        given.forEach((name, value) -> scope.names.put(name, JinjaValues.of(value)));
        try {
            run(body, scope.inner());
        } catch (StackOverflowError e) {
            throw new Wrong("it is nested too deeply");
        }
        return scope.out.toString();
    }

    private static void run(List<Statement> body, Scope scope) {
        for (Statement statement : body) {
            scope.budget.step();
            statement.in(scope);
        }
    }

    // Text, expressions and statements

    private enum Kind { TEXT, EXPRESSION, STATEMENT }

    private record Piece(Kind kind, String text) {}

    /** Cuts a template into its pieces, without the white space that it does not mean. */
    private static List<Piece> pieces(String text) {
        List<Piece> pieces = new ArrayList<>();
        boolean trims = false; // white space behind the tag before
        boolean newline = false; // one line break behind it
        int at = 0;
        while (at < text.length()) {
            int tag = tag(text, at);
            String plain = text.substring(at, tag);
            if (trims) {
                plain = plain.replaceFirst("^\\s+", "");
            } else if (newline && plain.startsWith("\n")) {
                plain = plain.substring(1);
            }
            if (tag == text.length()) {
                pieces.add(new Piece(Kind.TEXT, plain));
                break;
            }
            char kind = text.charAt(tag + 1);
            char sign = tag + 2 < text.length() ? text.charAt(tag + 2) : ' ';
            if (sign == '-') {
                plain = plain.replaceFirst("\\s+$", "");
            } else if (kind != '{' && sign != '+') {
                plain = withoutIndent(plain, at == 0 || text.charAt(at - 1) == '\n' || newline && at < text.length() && text.charAt(at) == '\n');
            }
            pieces.add(new Piece(Kind.TEXT, plain));
            int begin = tag + 2 + (sign == '-' || sign == '+' ? 1 : 0);
            int end = end(text, begin, kind);
            boolean minus = text.charAt(end - 1) == '-' && end - 1 >= begin;
            boolean plus = text.charAt(end - 1) == '+' && kind != '{' && end - 1 >= begin;
            String inner = text.substring(begin, minus || plus ? end - 1 : end);
            trims = minus;
            newline = kind != '{' && !plus;
            at = end + 2;
            if (kind == '%' && inner.strip().equals("raw")) {
                java.util.regex.Matcher close = java.util.regex.Pattern.compile("\\{%[-+]?\\s*endraw\\s*[-+]?%\\}").matcher(text);
                if (!close.find(at)) {
                    throw new Wrong("raw has no endraw");
                }
                String raw = text.substring(at, close.start());
                pieces.add(new Piece(Kind.TEXT, newline && raw.startsWith("\n") ? raw.substring(1) : raw));
                at = close.end();
            } else if (kind != '#') {
                pieces.add(new Piece(kind == '{' ? Kind.EXPRESSION : Kind.STATEMENT, inner.strip()));
            }
        }
        return pieces;
    }

    /** Without the blanks behind its last line break, in front of a tag that begins a line. */
    private static String withoutIndent(String plain, boolean begins) {
        int line = plain.lastIndexOf('\n') + 1;
        return (line > 0 || begins) && plain.substring(line).isBlank() ? plain.substring(0, line) : plain;
    }

    private static int tag(String text, int from) {
        for (int i = from; i + 1 < text.length(); i++) {
            if (text.charAt(i) == '{' && "{%#".indexOf(text.charAt(i + 1)) >= 0) {
                return i;
            }
        }
        return text.length();
    }

    /** Where a tag's end stands, outside of strings. */
    private static int end(String text, int from, char kind) {
        String close = kind == '{' ? "}}" : kind + "}";
        int depth = 0;
        for (int i = from; i + 1 < text.length(); i++) {
            char c = text.charAt(i);
            if (kind != '#' && (c == '"' || c == '\'')) {
                for (i++; i < text.length() && text.charAt(i) != c; i++) {
                    i += text.charAt(i) == '\\' ? 1 : 0;
                }
            } else if (kind == '{' && c == '{') {
                depth++;
            } else if (kind == '{' && c == '}' && depth > 0) {
                depth--;
            } else if (text.startsWith(close, i)) {
                return i;
            }
        }
        throw new Wrong("a tag has no end");
    }

    // Tokens

    private enum Sort { NAME, TEXT, NUMBER, SIGN, END }

    private record Token(Sort sort, String text) {}

    private static final List<String> SIGNS = List.of("**", "//", "==", "!=", "<=", ">=", "+", "-", "*", "/", "%", "~", "<", ">", "=", "(", ")", "[", "]", "{", "}", ",", ":", ".", "|");

    private static List<Token> tokens(String text) {
        List<Token> tokens = new ArrayList<>();
        int at = 0;
        while (at < text.length()) {
            char c = text.charAt(at);
            int from = at;
            if (Character.isWhitespace(c)) {
                at++;
            } else if (Character.isLetter(c) || c == '_') {
                while (at < text.length() && (Character.isLetterOrDigit(text.charAt(at)) || text.charAt(at) == '_')) {
                    at++;
                }
                tokens.add(new Token(Sort.NAME, text.substring(from, at)));
            } else if (Character.isDigit(c)) {
                while (at < text.length() && (Character.isDigit(text.charAt(at)) || text.charAt(at) == '_'
                        || text.charAt(at) == '.' && at + 1 < text.length() && Character.isDigit(text.charAt(at + 1)) && text.substring(from, at).indexOf('.') < 0)) {
                    at++;
                }
                tokens.add(new Token(Sort.NUMBER, text.substring(from, at).replace("_", "")));
            } else if (c == '"' || c == '\'') {
                StringBuilder string = new StringBuilder();
                at++;
                while (at < text.length() && text.charAt(at) != c) {
                    at = text.charAt(at) == '\\' ? escape(text, at, string) : plain(text, at, string);
                }
                at++;
                tokens.add(new Token(Sort.TEXT, string.toString()));
            } else {
                String rest = text.substring(at);
                String sign = SIGNS.stream().filter(rest::startsWith).findFirst().orElseThrow(() -> new Wrong("the sign " + c + " is not known"));
                tokens.add(new Token(Sort.SIGN, sign));
                at += sign.length();
            }
        }
        tokens.add(new Token(Sort.END, ""));
        return tokens;
    }

    private static int plain(String text, int at, StringBuilder into) {
        into.append(text.charAt(at));
        return at + 1;
    }

    private static int escape(String text, int at, StringBuilder into) {
        char c = at + 1 < text.length() ? text.charAt(at + 1) : '\\';
        int hex = c == 'x' ? 2 : c == 'u' ? 4 : 0;
        if (hex > 0 && at + 2 + hex <= text.length()) {
            try {
                into.append((char) Integer.parseInt(text.substring(at + 2, at + 2 + hex), 16));
                return at + 2 + hex;
            } catch (NumberFormatException e) {
                throw new Wrong("a text has a wrong escape");
            }
        }
        switch (c) {
            case 'n' -> into.append('\n');
            case 't' -> into.append('\t');
            case 'r' -> into.append('\r');
            case '\n' -> { } // goes on in the next line
            case '\\', '\'', '"' -> into.append(c);
            default -> into.append('\\').append(c);
        }
        return at + 2;
    }

    /** Reads pieces, and the tokens of one at a time. */
    private static final class Parser {

        private final List<Piece> pieces;
        private int piece;
        private List<Token> tokens = List.of();
        private int at;
        private int depth;

        Parser(List<Piece> pieces) {
            this.pieces = pieces;
        }

        /** Statements up to one of these, whose name has been read then. */
        List<Statement> body(Set<String> ends) {
            if (++depth > DEEPEST) {
                throw new Wrong("it is nested too deeply");
            }
            List<Statement> body = new ArrayList<>();
            while (piece < pieces.size()) {
                Piece one = pieces.get(piece++);
                switch (one.kind) {
                    case TEXT -> {
                        if (!one.text.isEmpty()) {
                            body.add(scope -> scope.write(one.text));
                        }
                    }
                    case EXPRESSION -> {
                        begin(one.text);
                        Expression value = expression();
                        end();
                        body.add(scope -> scope.write(JinjaValues.text(value.in(scope))));
                    }
                    case STATEMENT -> {
                        begin(one.text);
                        String name = name();
                        if (ends.contains(name)) {
                            depth--;
                            return body;
                        }
                        body.add(statement(name));
                    }
                }
            }
            if (!ends.isEmpty()) {
                throw new Wrong("there is no " + String.join(" or ", ends.stream().sorted().toList()));
            }
            depth--;
            return body;
        }

        /** The name that ended a body. */
        private String ended() {
            return tokens.getFirst().text;
        }

        private void begin(String text) {
            tokens = tokens(text);
            at = 0;
        }

        private Statement statement(String name) {
            return switch (name) {
                case "if" -> ifs();
                case "for" -> loop();
                case "set" -> set();
                case "macro" -> macro();
                case "break", "continue" -> {
                    end();
                    yield scope -> {
                        throw new Break(name.equals("continue"));
                    };
                }
                case "generation" -> { // marks what is learned, and writes nothing
                    end();
                    List<Statement> body = body(Set.of("endgeneration"));
                    end();
                    yield scope -> run(body, scope);
                }
                default -> throw new Wrong("the tag " + name + " is not known here");
            };
        }

        private Statement ifs() {
            List<Expression> conditions = new ArrayList<>();
            List<List<Statement>> bodies = new ArrayList<>();
            String last = "if";
            while (!last.equals("endif")) {
                if (last.equals("else")) {
                    conditions.add(_ -> true);
                } else {
                    conditions.add(expression());
                }
                end();
                bodies.add(body(last.equals("else") ? Set.of("endif") : Set.of("elif", "else", "endif")));
                last = ended();
            }
            end();
            return scope -> {
                for (int i = 0; i < conditions.size(); i++) {
                    if (JinjaValues.isTrue(conditions.get(i).in(scope))) {
                        run(bodies.get(i), scope);
                        return;
                    }
                }
            };
        }

        private Statement loop() {
            List<String> targets = targets();
            require("in");
            Expression over = or(); // a condition behind it is the loop's own
            Optional<Expression> condition = take("if") ? Optional.of(expression()) : Optional.empty();
            end();
            List<Statement> body = body(Set.of("else", "endfor"));
            List<Statement> otherwise = List.of();
            if (ended().equals("else")) {
                end();
                otherwise = body(Set.of("endfor"));
            }
            end();
            List<Statement> none = otherwise;
            return scope -> {
                List<@Nullable Object> all = new ArrayList<>();
                for (Object each : JinjaValues.list(over.in(scope))) {
                    scope.budget.step();
                    Scope inner = scope.inner();
                    bind(targets, each, inner);
                    if (condition.isEmpty() || JinjaValues.isTrue(condition.get().in(inner))) {
                        all.add(each);
                    }
                }
                for (int i = 0; i < all.size(); i++) {
                    Scope inner = scope.inner();
                    inner.names.put("loop", JinjaValues.loop(all, i));
                    bind(targets, all.get(i), inner);
                    try {
                        run(body, inner);
                    } catch (Break e) {
                        if (!e.goesOn) {
                            break;
                        }
                    }
                }
                if (all.isEmpty()) {
                    run(none, scope);
                }
            };
        }

        private List<String> targets() {
            List<String> targets = new ArrayList<>();
            boolean round = takeSign("(");
            do {
                targets.add(name());
            } while (takeSign(","));
            if (round) {
                requireSign(")");
            }
            return targets;
        }

        private static void bind(List<String> targets, @Nullable Object value, Scope scope) {
            if (targets.size() == 1) {
                scope.names.put(targets.getFirst(), value);
                return;
            }
            List<@Nullable Object> parts = JinjaValues.list(value);
            if (parts.size() != targets.size()) {
                throw new Wrong("there are " + targets.size() + " names for " + parts.size() + " values");
            }
            for (int i = 0; i < parts.size(); i++) {
                scope.names.put(targets.get(i), parts.get(i));
            }
        }

        private Statement set() {
            String first = name();
            if (takeSign(".")) {
                String field = name();
                requireSign("=");
                Expression value = tuple();
                end();
                return scope -> JinjaValues.put(scope.get(first), field, value.in(scope));
            }
            List<String> targets = new ArrayList<>(List.of(first));
            while (takeSign(",")) {
                targets.add(name());
            }
            if (takeSign("=")) {
                Expression value = tuple();
                end();
                return scope -> bind(targets, value.in(scope), scope);
            }
            end();
            List<Statement> body = body(Set.of("endset"));
            end();
            return scope -> {
                StringBuilder text = new StringBuilder();
                run(body, scope.into(text));
                scope.names.put(first, text.toString());
            };
        }

        private Statement macro() {
            String name = name();
            List<String> parameters = new ArrayList<>();
            Map<String, Expression> defaults = new LinkedHashMap<>();
            requireSign("(");
            while (!takeSign(")")) {
                String parameter = name();
                parameters.add(parameter);
                if (takeSign("=")) {
                    defaults.put(parameter, expression());
                }
                if (!isSign(")")) {
                    requireSign(",");
                }
            }
            end();
            List<Statement> body = body(Set.of("endmacro"));
            end();
            return scope -> scope.names.put(name, (Function) (arguments, named) -> {
                if (arguments.size() > parameters.size()) {
                    throw new Wrong("the macro " + name + " takes " + parameters.size() + " values, got " + arguments.size());
                }
                if (++scope.budget.depth > DEEPEST) {
                    throw new Wrong("it calls itself without end");
                }
                StringBuilder text = new StringBuilder();
                Scope inner = scope.into(text);
                for (int i = 0; i < parameters.size(); i++) {
                    String parameter = parameters.get(i);
                    inner.names.put(parameter, i < arguments.size() ? arguments.get(i) : named.containsKey(parameter) ? named.get(parameter)
                            : defaults.containsKey(parameter) ? defaults.get(parameter).in(inner) : new Undefined(parameter));
                }
                run(body, inner);
                scope.budget.depth--;
                return text.toString();
            });
        }

        // Expressions, the loosest first

        private Expression tuple() {
            Expression first = expression();
            if (!isSign(",")) {
                return first;
            }
            List<Expression> all = new ArrayList<>(List.of(first));
            while (takeSign(",")) {
                all.add(expression());
            }
            return list(all);
        }

        private Expression expression() {
            if (++depth > DEEPEST) {
                throw new Wrong("it is nested too deeply");
            }
            Expression value = or();
            while (take("if")) {
                Expression then = value;
                Expression condition = or();
                Expression otherwise = take("else") ? expression() : _ -> new Undefined("an if without an else");
                value = scope -> JinjaValues.isTrue(condition.in(scope)) ? then.in(scope) : otherwise.in(scope);
            }
            depth--;
            return value;
        }

        private Expression or() {
            Expression left = and();
            while (take("or")) {
                Expression first = left;
                Expression second = and();
                left = scope -> {
                    Object value = first.in(scope);
                    return JinjaValues.isTrue(value) ? value : second.in(scope);
                };
            }
            return left;
        }

        private Expression and() {
            Expression left = not();
            while (take("and")) {
                Expression first = left;
                Expression second = not();
                left = scope -> {
                    Object value = first.in(scope);
                    return JinjaValues.isTrue(value) ? second.in(scope) : value;
                };
            }
            return left;
        }

        private Expression not() {
            if (take("not")) {
                Expression value = not();
                return scope -> !JinjaValues.isTrue(value.in(scope));
            }
            return comparison();
        }

        private Expression comparison() {
            Expression first = sum();
            List<String> signs = new ArrayList<>();
            List<Expression> values = new ArrayList<>(List.of(first));
            while (true) {
                Token token = tokens.get(at);
                if (token.sort == Sort.SIGN && Set.of("==", "!=", "<", ">", "<=", ">=").contains(token.text)) {
                    at++;
                    signs.add(token.text);
                } else if (take("in")) {
                    signs.add("in");
                } else if (token.equals(new Token(Sort.NAME, "not")) && tokens.get(at + 1).equals(new Token(Sort.NAME, "in"))) {
                    at += 2;
                    signs.add("not in");
                } else {
                    break;
                }
                values.add(sum());
            }
            return signs.isEmpty() ? first : scope -> {
                Object left = values.getFirst().in(scope);
                for (int i = 0; i < signs.size(); i++) {
                    Object right = values.get(i + 1).in(scope);
                    if (!JinjaValues.compare(signs.get(i), left, right)) {
                        return false;
                    }
                    left = right;
                }
                return true;
            };
        }

        private Expression sum() {
            return chain(List.of("+", "-"), this::joined);
        }

        private Expression joined() {
            Expression left = product();
            while (takeSign("~")) {
                Expression first = left;
                Expression second = product();
                left = scope -> JinjaValues.text(first.in(scope)) + JinjaValues.text(second.in(scope));
            }
            return left;
        }

        private Expression product() {
            return chain(List.of("*", "/", "//", "%"), this::power);
        }

        private Expression power() {
            return chain(List.of("**"), () -> unary(true));
        }

        private interface Next {
            Expression read();
        }

        private Expression chain(List<String> signs, Next next) {
            Expression left = next.read();
            while (tokens.get(at).sort == Sort.SIGN && signs.contains(tokens.get(at).text)) {
                String sign = tokens.get(at++).text;
                Expression first = left;
                Expression second = next.read();
                left = scope -> JinjaValues.calculate(sign, first.in(scope), second.in(scope));
            }
            return left;
        }

        private Expression unary(boolean filters) {
            if (takeSign("-")) {
                Expression value = unary(false);
                return filters ? filtered(scope -> JinjaValues.calculate("-", 0L, value.in(scope))) : scope -> JinjaValues.calculate("-", 0L, value.in(scope));
            }
            if (takeSign("+")) {
                return unary(false);
            }
            Expression value = postfix(primary());
            return filters ? filtered(value) : value;
        }

        private Expression primary() {
            Token token = tokens.get(at++);
            return switch (token.sort) {
                case TEXT -> {
                    StringBuilder text = new StringBuilder(token.text);
                    while (tokens.get(at).sort == Sort.TEXT) {
                        text.append(tokens.get(at++).text);
                    }
                    String all = text.toString();
                    yield _ -> all;
                }
                case NUMBER -> number(token.text);
                case NAME -> switch (token.text) {
                    case "true", "True" -> _ -> true;
                    case "false", "False" -> _ -> false;
                    case "none", "None" -> _ -> null;
                    default -> scope -> {
                        scope.budget.step();
                        return scope.get(token.text);
                    };
                };
                case SIGN -> switch (token.text) {
                    case "(" -> {
                        if (takeSign(")")) {
                            yield list(List.of());
                        }
                        Expression value = tuple();
                        requireSign(")");
                        yield value;
                    }
                    case "[" -> list(values("]"));
                    case "{" -> map();
                    default -> throw new Wrong("an expression is needed in place of " + token.text);
                };
                case END -> throw new Wrong("an expression is needed at the end of a tag");
            };
        }

        private static Expression number(String text) {
            try {
                Object value = text.contains(".") ? (Object) Double.valueOf(text) : (Object) Long.valueOf(text);
                return _ -> value;
            } catch (NumberFormatException e) {
                throw new Wrong("the number " + text + " is too large");
            }
        }

        private static Expression list(List<Expression> all) {
            return scope -> {
                List<@Nullable Object> values = new ArrayList<>();
                for (Expression each : all) {
                    values.add(each.in(scope));
                }
                return values;
            };
        }

        private List<Expression> values(String end) {
            List<Expression> all = new ArrayList<>();
            while (!takeSign(end)) {
                all.add(expression());
                if (!isSign(end)) {
                    requireSign(",");
                }
            }
            return all;
        }

        private Expression map() {
            List<Expression> keys = new ArrayList<>();
            List<Expression> values = new ArrayList<>();
            while (!takeSign("}")) {
                keys.add(expression());
                requireSign(":");
                values.add(expression());
                if (!isSign("}")) {
                    requireSign(",");
                }
            }
            return scope -> {
                Map<@Nullable Object, @Nullable Object> map = new LinkedHashMap<>();
                for (int i = 0; i < keys.size(); i++) {
                    map.put(keys.get(i).in(scope), values.get(i).in(scope));
                }
                return map;
            };
        }

        private Expression postfix(Expression first) {
            Expression value = first;
            while (true) {
                Expression of = value;
                if (takeSign(".")) {
                    Token name = tokens.get(at++);
                    if (name.sort == Sort.NUMBER) {
                        Expression index = number(name.text);
                        value = scope -> JinjaValues.item(of.in(scope), index.in(scope));
                    } else if (name.sort == Sort.NAME) {
                        value = scope -> JinjaValues.field(of.in(scope), name.text);
                    } else {
                        throw new Wrong("a name is needed behind a dot");
                    }
                } else if (takeSign("[")) {
                    value = subscript(of);
                } else if (isSign("(")) {
                    Arguments arguments = arguments();
                    value = scope -> {
                        scope.budget.step();
                        return JinjaValues.call(of.in(scope), arguments.values(scope), arguments.named(scope));
                    };
                } else {
                    return value;
                }
            }
        }

        private Expression subscript(Expression of) {
            List<Optional<Expression>> parts = new ArrayList<>();
            boolean slice = false;
            Optional<Expression> part = Optional.empty();
            while (!takeSign("]")) {
                if (takeSign(":")) {
                    slice = true;
                    parts.add(part);
                    part = Optional.empty();
                } else {
                    part = Optional.of(expression());
                }
            }
            parts.add(part);
            if (!slice) {
                Expression index = part.orElseThrow(() -> new Wrong("an index is needed in brackets"));
                return scope -> JinjaValues.item(of.in(scope), index.in(scope));
            }
            if (parts.size() > 3) {
                throw new Wrong("a slice has three parts at the most");
            }
            return scope -> {
                List<@Nullable Object> ends = new ArrayList<>();
                for (Optional<Expression> each : parts) {
                    ends.add(each.isPresent() ? each.get().in(scope) : null);
                }
                return JinjaValues.slice(of.in(scope), ends.get(0), ends.get(1), ends.size() > 2 ? ends.get(2) : null);
            };
        }

        private record Arguments(List<Expression> all, Map<String, Expression> byName) {
            List<@Nullable Object> values(Scope scope) {
                List<@Nullable Object> values = new ArrayList<>();
                for (Expression each : all) {
                    values.add(each.in(scope));
                }
                return values;
            }

            Map<String, @Nullable Object> named(Scope scope) {
                Map<String, @Nullable Object> values = new LinkedHashMap<>();
                byName.forEach((name, value) -> values.put(name, value.in(scope)));
                return values;
            }
        }

        private Arguments arguments() {
            List<Expression> all = new ArrayList<>();
            Map<String, Expression> named = new LinkedHashMap<>();
            requireSign("(");
            while (!takeSign(")")) {
                if (tokens.get(at).sort == Sort.NAME && tokens.get(at + 1).equals(new Token(Sort.SIGN, "="))) {
                    String name = name();
                    at++;
                    named.put(name, expression());
                } else {
                    all.add(expression());
                }
                if (!isSign(")")) {
                    requireSign(",");
                }
            }
            return new Arguments(all, named);
        }

        private Expression filtered(Expression first) {
            Expression value = first;
            while (true) {
                Expression of = value;
                if (takeSign("|")) {
                    String name = name();
                    JinjaValues.requireFilter(name);
                    Arguments arguments = isSign("(") ? arguments() : new Arguments(List.of(), Map.of());
                    value = scope -> {
                        scope.budget.step();
                        return JinjaValues.filter(name, of.in(scope), arguments.values(scope), arguments.named(scope));
                    };
                } else if (take("is")) {
                    boolean not = take("not");
                    String name = name();
                    JinjaValues.requireTest(name);
                    Arguments arguments = isSign("(") ? arguments() : operand(name);
                    value = scope -> not != JinjaValues.test(name, of.in(scope), arguments.values(scope));
                } else if (isSign("(") || isSign(".") || isSign("[")) {
                    value = postfix(of);
                } else {
                    return value;
                }
            }
        }

        /** A test's one operand may stand without parentheses. */
        private Arguments operand(String test) {
            Token token = tokens.get(at);
            boolean begins = token.sort == Sort.TEXT || token.sort == Sort.NUMBER || token.equals(new Token(Sort.SIGN, "["))
                    || token.sort == Sort.NAME && !Set.of("and", "or", "else", "if", "in", "is", "not").contains(token.text);
            return JinjaValues.takesOperand(test) && begins ? new Arguments(List.of(postfix(primary())), Map.of()) : new Arguments(List.of(), Map.of());
        }

        // Tokens

        private String name() {
            Token token = tokens.get(at++);
            if (token.sort != Sort.NAME) {
                throw new Wrong("a name is needed in place of " + (token.sort == Sort.END ? "the end of a tag" : token.text));
            }
            return token.text;
        }

        private boolean take(String name) {
            return tokens.get(at).equals(new Token(Sort.NAME, name)) && ++at > 0;
        }

        private void require(String name) {
            if (!take(name)) {
                throw new Wrong(name + " is needed in place of " + tokens.get(at).text);
            }
        }

        private boolean isSign(String sign) {
            return tokens.get(at).equals(new Token(Sort.SIGN, sign));
        }

        private boolean takeSign(String sign) {
            return isSign(sign) && ++at > 0;
        }

        private void requireSign(String sign) {
            if (!takeSign(sign)) {
                throw new Wrong(sign + " is needed in place of " + (tokens.get(at).sort == Sort.END ? "the end of a tag" : tokens.get(at).text));
            }
        }

        private void end() {
            if (tokens.get(at).sort != Sort.END) {
                throw new Wrong("a tag should end at " + tokens.get(at).text);
            }
        }
    }
}
