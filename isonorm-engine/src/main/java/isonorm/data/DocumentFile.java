package isonorm.data;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.hardwood.HardwoodContext;
import dev.hardwood.InputFile;
import dev.hardwood.metadata.PhysicalType;
import dev.hardwood.reader.ColumnReader;
import dev.hardwood.reader.ParquetFileReader;
import dev.hardwood.schema.ColumnSchema;
import java.io.FilterInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import java.util.zip.GZIPInputStream;
import java.util.zip.ZipException;

/**
 * Reads documents from a file, a bounded part of it at a time. What can be done with a part by itself is left to whichever thread has
 * the time.
 */
sealed interface DocumentFile extends AutoCloseable {

    /**
     * A document, or a part of a long one.
     *
     * @param where what an error names
     * @param offset how many of the document's bytes came before
     * @param text UTF-8, it should be
     * @param begins whether the document begins with it
     * @param ends whether the document ends with it
     */
    record Part(String where, long offset, byte[] text, boolean begins, boolean ends) {}

    /** The next documents or parts, to be found by any thread; null behind the last one. */
    Callable<List<Part>> next() throws IOException;

    /** How many of the file's bytes have been read. */
    long read();

    @Override
    void close() throws IOException;

    /** How names of files end that are read. */
    String ENDINGS = ".txt, .jsonl, .parquet, .txt.gz or .jsonl.gz";

    /**
     * Opens a file by what its name ends in.
     *
     * @param key of the text in lines of JSON, or the column of Parquet
     */
    static DocumentFile open(Path file, String key) throws IOException {
        return switch (kind(file)) {
            case TEXT -> new Text(file, new Input(file));
            case LINES -> new Lines(file, key, new Input(file));
            case PARQUET -> Parquet.open(file, key);
        };
    }

    /** What a file holds. */
    enum Kind { TEXT, LINES, PARQUET }

    /** Says what a file is, and refuses one that is none or empty. */
    static Kind kind(Path file) throws IOException {
        if (!Files.exists(file)) {
            throw new IOException(file + " does not exist");
        }
        if (Files.isDirectory(file)) {
            throw new IOException(file + " is a folder; name the files in it");
        }
        if (Files.isRegularFile(file) && Files.size(file) == 0) {
            throw new IOException(file + " is empty");
        }
        String name = file.getFileName().toString().toLowerCase(Locale.ROOT);
        String plain = name.endsWith(".gz") ? name.substring(0, name.length() - 3) : name;
        if (plain.endsWith(".txt")) {
            return Kind.TEXT;
        }
        if (plain.endsWith(".jsonl")) {
            return Kind.LINES;
        }
        if (name.endsWith(".parquet")) {
            return Kind.PARQUET;
        }
        throw new IOException(file + " is of no kind that is read; names must end in " + ENDINGS);
    }

    /** A file's bytes, unpacked where it is packed, and how many of the packed ones have been read. */
    final class Input extends FilterInputStream {

        private final InputStream unpacked;
        private long read;

        private Input(Path file) throws IOException {
            super(Files.newInputStream(file));
            try {
                boolean packed = file.toString().toLowerCase(Locale.ROOT).endsWith(".gz");
                unpacked = packed ? new GZIPInputStream(this, Blocks.SIZE) : this;
            } catch (ZipException e) {
                in.close();
                throw new IOException(file + " is no gzip file: " + e.getMessage(), e);
            }
        }

        @Override
        public int read() throws IOException {
            int value = super.read();
            read += value < 0 ? 0 : 1;
            return value;
        }

        @Override
        public int read(byte[] into, int from, int length) throws IOException {
            int count = super.read(into, from, length);
            read += Math.max(0, count);
            return count;
        }
    }

    /** A file that is one document. */
    final class Text implements DocumentFile {

        private final Path file;
        private final Input in;
        private final Blocks blocks;
        private long offset;

        private Text(Path file, Input in) {
            this.file = file;
            this.in = in;
            this.blocks = new Blocks(in.unpacked);
        }

        @Override
        public Callable<List<Part>> next() throws IOException {
            byte[] text = named(file, blocks::text);
            if (text.length == 0) {
                return null;
            }
            Part part = new Part(file.toString(), offset, text, offset == 0, named(file, blocks::done));
            offset += text.length;
            return () -> List.of(part);
        }

        @Override
        public long read() {
            return in.read;
        }

        @Override
        public void close() throws IOException {
            in.close();
        }
    }

    /** A document a line. */
    final class Lines implements DocumentFile {

        private static final ObjectMapper JSON = new ObjectMapper(JsonFactory.builder()
                .streamReadConstraints(StreamReadConstraints.builder().maxStringLength(Integer.MAX_VALUE).build()).build())
                .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS);

        private final Path file;
        private final String key;
        private final Input in;
        private final Blocks blocks;
        private long line = 1;

        private Lines(Path file, String key, Input in) {
            this.file = file;
            this.key = key;
            this.in = in;
            this.blocks = new Blocks(in.unpacked);
        }

        @Override
        public Callable<List<Part>> next() throws IOException {
            byte[] lines = named(file, blocks::lines);
            if (lines.length == 0) {
                return null;
            }
            long first = line;
            count(lines);
            return () -> {
                List<Part> parts = new ArrayList<>();
                visit(file, lines, first, (number, object) -> add(parts, file + " line " + number,
                        text(file, number, object, key).getBytes(StandardCharsets.UTF_8)));
                return parts;
            };
        }

        private void count(byte[] lines) {
            for (byte each : lines) {
                line += each == '\n' ? 1 : 0;
            }
        }

        /** Told of every line that is not blank. */
        @FunctionalInterface
        interface Visitor {
            void line(long number, JsonNode object) throws IOException;
        }

        /** Visits a whole file. */
        static void visit(Path file, Visitor visitor) throws IOException {
            try (Lines lines = new Lines(file, "", new Input(file))) {
                for (byte[] block; (block = named(file, lines.blocks::lines)).length > 0; lines.count(block)) {
                    visit(file, block, lines.line, visitor);
                }
            }
        }

        private static void visit(Path file, byte[] lines, long first, Visitor visitor) throws IOException {
            long number = first;
            for (int from = 0, to; from < lines.length; from = to + 1, number++) {
                for (to = from; to < lines.length && lines[to] != '\n';) {
                    to++;
                }
                JsonNode object = object(file, number, lines, from, to);
                if (object != null) {
                    visitor.line(number, object);
                }
            }
        }

        /** The object that a line holds; null for one of spaces. */
        private static JsonNode object(Path file, long number, byte[] lines, int from, int to) throws IOException {
            boolean blank = true;
            for (int i = from; i < to; i++) {
                blank &= lines[i] == ' ' || lines[i] == '\t' || lines[i] == '\r';
            }
            if (blank) {
                return null;
            }
            JsonNode object;
            try {
                object = JSON.readTree(lines, from, to - from);
            } catch (JsonProcessingException e) {
                throw new IOException(file + " line " + number + " is not JSON: " + e.getOriginalMessage().lines().findFirst().orElse(""), e);
            } catch (IOException e) { // of characters, which Jackson reports as any other failure
                throw new IOException(file + " line " + number + " is not UTF-8", e);
            }
            if (!object.isObject()) {
                throw new IOException(file + " line " + number + " must be a JSON object, got " + object.getNodeType().toString().toLowerCase(Locale.ROOT));
            }
            return object;
        }

        /** A text of an object. */
        static String text(Path file, long number, JsonNode object, String key) throws IOException {
            JsonNode value = object.get(key);
            if (value == null) {
                List<String> names = new ArrayList<>();
                object.fieldNames().forEachRemaining(names::add);
                throw new IOException(file + " line " + number + " has no key " + key + "; its keys are " + String.join(", ", names));
            }
            if (!value.isTextual()) {
                throw new IOException(file + " line " + number + ": " + key + " must be a text, got "
                        + value.getNodeType().toString().toLowerCase(Locale.ROOT));
            }
            String text = value.textValue();
            if (!StandardCharsets.UTF_8.newEncoder().canEncode(text)) {
                throw new IOException(file + " line " + number + ": " + key + " has half a surrogate pair, which is no character");
            }
            return text;
        }

        @Override
        public long read() {
            return in.read;
        }

        @Override
        public void close() throws IOException {
            in.close();
        }
    }

    /** A document a row. */
    final class Parquet implements DocumentFile {

        /** Few, because each may be long. */
        private static final int ROWS = 64;

        private final Path file;
        private final HardwoodContext context;
        private final ParquetFileReader reader;
        private final ColumnReader rows;
        private final long size;
        private final long total;
        private long row;

        private Parquet(Path file, HardwoodContext context, ParquetFileReader reader, ColumnReader rows, long size) {
            this.file = file;
            this.context = context;
            this.reader = reader;
            this.rows = rows;
            this.size = size;
            this.total = reader.getFileMetaData().numRows();
        }

        private static Parquet open(Path file, String column) throws IOException {
            HardwoodContext context = HardwoodContext.create(1); // others have their own work
            try {
                ParquetFileReader reader = ParquetFileReader.open(InputFile.of(file), context);
                requireText(file, column, reader.getFileSchema().getColumns());
                return new Parquet(file, context, reader, reader.buildColumnReader(column).batchSize(ROWS).build(), Files.size(file));
            } catch (IOException | RuntimeException e) {
                context.close();
                throw unreadable(file, e);
            }
        }

        private static void requireText(Path file, String column, List<ColumnSchema> columns) throws IOException {
            ColumnSchema found = columns.stream().filter(each -> each.fieldPath().toString().equals(column)).findFirst()
                    .orElseThrow(() -> new Wrong(file + " has no column " + column + "; its columns are "
                            + columns.stream().map(each -> each.fieldPath().toString()).collect(Collectors.joining(", "))));
            if (found.type() != PhysicalType.BYTE_ARRAY || found.maxRepetitionLevel() > 0) {
                throw new Wrong(file + ": column " + column + " must hold a text a row, got "
                        + (found.maxRepetitionLevel() > 0 ? "a list" : found.type().toString()));
            }
        }

        /** Something that has been said already. */
        private static final class Wrong extends IOException {
            private static final long serialVersionUID = 1L;

            private Wrong(String message) {
                super(message);
            }
        }

        private static IOException unreadable(Path file, Exception e) {
            return e instanceof Wrong wrong ? wrong : new IOException(file + " is no Parquet file that can be read: " + e.getMessage(), e);
        }

        @Override
        public Callable<List<Part>> next() throws IOException {
            byte[][] texts;
            try {
                texts = rows.nextBatch() ? rows.getBinaries() : null;
            } catch (RuntimeException e) {
                throw unreadable(file, e);
            }
            if (texts == null) {
                return null;
            }
            long first = row;
            row += texts.length;
            return () -> {
                List<Part> parts = new ArrayList<>();
                for (int i = 0; i < texts.length; i++) {
                    add(parts, file + " row " + (first + i), texts[i] == null ? new byte[0] : texts[i]);
                }
                return parts;
            };
        }

        @Override
        public long read() {
            return total == 0 ? size : (long) ((double) row / total * size);
        }

        @Override
        public void close() throws IOException {
            try (context; reader) {
                rows.close();
            }
        }
    }

    /** Adds a document, in parts where it is long. */
    private static void add(List<Part> parts, String where, byte[] text) {
        int from = 0;
        while (text.length - from > Blocks.SIZE) {
            int to = Blocks.cut(text, from);
            parts.add(new Part(where, from, Arrays.copyOfRange(text, from, to), from == 0, false));
            from = to;
        }
        parts.add(new Part(where, from, from == 0 ? text : Arrays.copyOfRange(text, from, text.length), from == 0, true));
    }

    /** Work on a file. */
    @FunctionalInterface
    interface Reading<T> {
        T read() throws IOException;
    }

    /** Names the file that cannot be read. */
    private static <T> T named(Path file, Reading<T> reading) throws IOException {
        try {
            return reading.read();
        } catch (IOException e) {
            throw new IOException(file + " cannot be read: " + e.getMessage(), e);
        }
    }
}
