package isonorm.data;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.json.JsonReadFeature;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.github.luben.zstd.ZstdIOException;
import com.github.luben.zstd.ZstdInputStreamNoFinalizer;
import dev.hardwood.HardwoodContext;
import dev.hardwood.InputFile;
import dev.hardwood.metadata.ColumnChunk;
import dev.hardwood.metadata.ColumnMetaData;
import dev.hardwood.metadata.PhysicalType;
import dev.hardwood.metadata.RowGroup;
import dev.hardwood.reader.ColumnReader;
import dev.hardwood.reader.ColumnReaders;
import dev.hardwood.reader.ParquetFileReader;
import dev.hardwood.schema.ColumnProjection;
import dev.hardwood.schema.ColumnSchema;
import isonorm.words.JsonFault;
import isonorm.words.LibraryFault;
import isonorm.words.SystemFault;
import java.io.CharConversionException;
import java.io.EOFException;
import java.io.FilterInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.Deque;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
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

    /**
     * What any thread may do.
     *
     * @param bytes that it holds until it is done
     * @param parts finds documents or parts of them
     */
    record Work(long bytes, Callable<List<Part>> parts) {}

    /** The next documents or parts; empty behind the last one. */
    Optional<Work> next() throws IOException;

    /** How many of the file's bytes have been read. */
    long read();

    @Override
    void close() throws IOException;

    /** How names of files end that are read. */
    String ENDINGS = ".txt, .md, .csv, .jsonl, .ndjson, .json (of lines) or .parquet; all but the last may be packed as .gz or .zst";

    /** The most bytes of text that a document has where nothing else is said. */
    int LONGEST = 256_000_000;

    /** Of memory, for a document is there up to four times while it is read, and in parts and as tokens once more. */
    int SHARE = 8;

    /**
     * How long a document may be.
     *
     * @param asked bytes
     * @param allowed bytes that memory allows of those
     */
    record Bound(int asked, int allowed) {

        static Bound of(int asked) {
            return new Bound(asked, (int) Math.min(asked, Runtime.getRuntime().maxMemory() / SHARE));
        }

        IOException refusal(String where) {
            return new IOException(where + " has more than " + allowed + " bytes of text, the most that "
                    + (allowed < asked ? "one document may have in this memory; give java more with -Xmx"
                            : "one document may have; --longest takes longer ones") + ", or cut it");
        }
    }

    /**
     * Opens a file by what its name ends in.
     *
     * @param key of the text in lines of JSON, or the column of CSV or Parquet; a dot leads into what is nested
     * @param longest the most bytes of a document that is held at once or comes out of something packed
     */
    static DocumentFile open(Path file, String key, int longest) throws IOException {
        return switch (kind(file)) {
            case TEXT -> new Text(file, new Input(file), longest);
            case LINES -> new Lines(file, List.of(key), new Input(file), Bound.of(longest));
            case CSV -> Csv.open(file, key, Bound.of(longest));
            case PARQUET -> Parquet.open(file, key, Bound.of(longest));
        };
    }

    /** What a file holds. */
    enum Kind { TEXT, LINES, CSV, PARQUET }

    /** Says what a file is, and refuses one that is none or empty. */
    static Kind kind(Path file) throws IOException {
        if (!Files.exists(file)) {
            throw new IOException(file + " does not exist");
        }
        if (Files.isDirectory(file)) {
            throw new IOException(file + " is a folder; name the files in it");
        }
        if (!Files.isRegularFile(file)) {
            throw new IOException(file + " is no plain file; write what it gives into one");
        }
        if (Files.size(file) == 0) {
            throw new IOException(file + " is empty");
        }
        return kind(file.getFileName().toString())
                .orElseThrow(() -> new IOException(file + " is of no kind that is read; names must end in " + ENDINGS));
    }

    /** What a file of a name holds; nothing if none of that name is read. */
    static Optional<Kind> kind(String name) {
        String lower = name.toLowerCase(Locale.ROOT);
        if (lower.endsWith(".parquet")) {
            return Optional.of(Kind.PARQUET);
        }
        return switch (lower.replaceFirst("\\.(gz|zst)$", "").replaceFirst(".*(\\.[^.]*)$", "$1")) {
            case ".txt", ".text", ".md" -> Optional.of(Kind.TEXT);
            case ".jsonl", ".ndjson", ".json" -> Optional.of(Kind.LINES);
            case ".csv" -> Optional.of(Kind.CSV);
            default -> Optional.empty();
        };
    }

    /** A file's bytes, unpacked where it is packed, and how many of the packed ones have been read. */
    final class Input extends FilterInputStream {

        private final InputStream unpacked;
        private final boolean packed;
        private long read;

        private Input(Path file) throws IOException {
            super(Files.newInputStream(file));
            String name = file.toString().toLowerCase(Locale.ROOT);
            packed = name.endsWith(".gz") || name.endsWith(".zst");
            unpacked = name.endsWith(".gz") ? new Gunzip(this) : name.endsWith(".zst") ? new ZstdInputStreamNoFinalizer(this) : this;
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

        /** What unpacks it holds memory of its own. */
        private void end() throws IOException {
            (packed ? unpacked : in).close();
        }
    }

    /** A file that is one document. */
    final class Text implements DocumentFile {

        private final Path file;
        private final Input in;
        private final Blocks blocks;
        private final int longest;
        private long offset;

        private Text(Path file, Input in, int longest) {
            this.file = file;
            this.in = in;
            this.longest = longest;
            this.blocks = new Blocks(in.unpacked, longest);
        }

        @Override
        public Optional<Work> next() throws IOException {
            byte[] text = named(file, blocks::text);
            if (text.length == 0) {
                return Optional.empty();
            }
            Part part = new Part(file.toString(), blocks.mark() + offset, text, offset == 0, named(file, blocks::done));
            offset += text.length;
            if (in.packed && offset > longest) { // what is written would be as long as a small file says
                throw new Bound(longest, longest).refusal(file + " is one document, which");
            }
            return Optional.of(new Work(text.length, () -> List.of(part)));
        }

        @Override
        public long read() {
            return in.read;
        }

        @Override
        public void close() throws IOException {
            in.end();
        }
    }

    /** A document a line. */
    final class Lines implements DocumentFile {

        /** Python's json reads and writes numbers that are none; those are looked at by nobody here. */
        private static final JsonFactory JSON = JsonFactory.builder()
                .streamReadConstraints(StreamReadConstraints.builder()
                        .maxStringLength(Integer.MAX_VALUE).maxNumberLength(Integer.MAX_VALUE).maxNameLength(Integer.MAX_VALUE).build())
                .enable(JsonReadFeature.ALLOW_NON_NUMERIC_NUMBERS)
                .disable(JsonFactory.Feature.INTERN_FIELD_NAMES)
                .build();

        private static final ObjectMapper OBJECTS = new ObjectMapper(JSON);

        private static final int NAMED = 20; // keys in an error

        private final Path file;
        private final List<String> keys;
        private final Input in;
        private final Bound bound;
        private final Blocks blocks;
        private long line = 1;

        private Lines(Path file, List<String> keys, Input in, Bound bound) {
            this.file = file;
            this.keys = keys;
            this.in = in;
            this.bound = bound;
            this.blocks = new Blocks(in.unpacked, bound.allowed);
        }

        /** Some whole lines; empty at the end. */
        private byte[] block() throws IOException {
            try {
                return named(file, blocks::lines);
            } catch (Blocks.LongLine e) {
                throw bound.refusal(file + " line " + line);
            }
        }

        @Override
        public Optional<Work> next() throws IOException {
            byte[] lines = block();
            if (lines.length == 0) {
                return Optional.empty();
            }
            long first = line;
            count(lines);
            return Optional.of(new Work(lines.length, () -> {
                List<Part> parts = new ArrayList<>();
                visit(lines, first, (number, texts) -> add(parts, file + " line " + number, texts.getFirst().getBytes(StandardCharsets.UTF_8)));
                return parts;
            }));
        }

        private void count(byte[] lines) {
            for (byte each : lines) {
                line += each == '\n' ? 1 : 0;
            }
        }

        /** Told of every line that is not blank. */
        @FunctionalInterface
        interface Visitor {
            /** The texts of the keys. */
            void line(long number, List<String> texts) throws IOException;
        }

        /** Visits the texts of some keys in a whole file. */
        static void visit(Path file, List<String> keys, Visitor visitor) throws IOException {
            try (Lines lines = new Lines(file, keys, new Input(file), Bound.of(LONGEST))) {
                for (byte[] block; (block = lines.block()).length > 0; lines.count(block)) {
                    lines.visit(block, lines.line, visitor);
                }
            }
        }

        /** The keys of the first object, whatever stands behind it; none where there is no such object. */
        static Set<String> firstKeys(Path file) throws IOException {
            Input in = new Input(file);
            Set<String> keys = new LinkedHashSet<>();
            try (JsonParser json = JSON.createParser(in.unpacked)) {
                if (json.nextToken() == JsonToken.START_ARRAY) {
                    json.nextToken();
                }
                while (json.currentToken() != null && json.nextToken() == JsonToken.FIELD_NAME) {
                    keys.add(json.currentName());
                    json.nextToken();
                    json.skipChildren();
                }
            } catch (JsonProcessingException | CharConversionException | EOFException | ZipException | ZstdIOException e) {
                return keys; // who reads the file says what is wrong
            } finally {
                in.end();
            }
            return keys;
        }

        /** Told of every object. */
        @FunctionalInterface
        interface ObjectVisitor {
            /** Where it begins, and the object. */
            void object(String where, ObjectNode object) throws IOException;
        }

        /** Visits the objects of a file whole: one a line, or those of one list. */
        static void visit(Path file, ObjectVisitor visitor) throws IOException {
            Input in = new Input(file);
            String where = file.toString();
            try (JsonParser json = OBJECTS.createParser(in.unpacked)) {
                boolean list = json.nextToken() == JsonToken.START_ARRAY;
                if (list) {
                    json.nextToken();
                }
                for (; json.currentToken() != null && json.currentToken() != JsonToken.END_ARRAY; json.nextToken()) {
                    where = file + " line " + json.currentTokenLocation().getLineNr();
                    JsonToken begin = json.currentToken();
                    if (begin != JsonToken.START_OBJECT || !(json.readValueAsTree() instanceof ObjectNode object)) {
                        throw new IOException(where + " must be a JSON object, got " + kind(begin));
                    }
                    visitor.object(where, object);
                }
                if (list && json.nextToken() != null) {
                    throw new IOException(file + " is not JSON: something stands behind its list");
                }
            } catch (JsonProcessingException e) {
                throw new IOException(where + " is not JSON: " + JsonFault.of(e), e);
            } catch (CharConversionException e) {
                throw new IOException(where + " is not UTF-8", e);
            } catch (EOFException | ZipException | ZstdIOException e) {
                throw new IOException(file + " is damaged, or not packed as its name says: " + SystemFault.of(e), e);
            } finally {
                in.end();
            }
        }

        private void visit(byte[] lines, long first, Visitor visitor) throws IOException {
            long number = first;
            for (int from = 0, to; from < lines.length; from = to + 1, number++) {
                for (to = from; to < lines.length && lines[to] != '\n';) {
                    to++;
                }
                if (to - from > bound.allowed) {
                    throw bound.refusal(file + " line " + number);
                }
                if (!blank(lines, from, to)) {
                    visitor.line(number, texts(file + " line " + number, lines, from, to));
                }
            }
        }

        private static boolean blank(byte[] lines, int from, int to) {
            boolean blank = true;
            for (int i = from; i < to && blank; i++) {
                blank = lines[i] == ' ' || lines[i] == '\t' || lines[i] == '\r';
            }
            return blank;
        }

        /**
         * What a line has at each key, which is a name, or several with dots between them, of which each leads into an object. Of two that have the
         * same names the outer one counts, and of two in one object the last, as in Python.
         */
        private List<String> texts(String where, byte[] lines, int from, int to) throws IOException {
            String[] texts = new String[keys.size()];
            String[] kinds = new String[keys.size()];
            int[] depths = new int[keys.size()];
            Set<String> names = new LinkedHashSet<>();
            try (JsonParser json = JSON.createParser(lines, from, to - from)) {
                if (json.nextToken() != JsonToken.START_OBJECT) {
                    JsonToken begin = json.currentToken();
                    throw new IOException(where + " must be a JSON object, got " + kind(begin)
                            + (begin == JsonToken.START_ARRAY ? "; write each of its objects into a line" : ""));
                }
                Deque<String> within = new ArrayDeque<>(List.of(""));
                while (!within.isEmpty()) {
                    if (json.nextToken() == JsonToken.END_OBJECT) {
                        within.pop();
                        continue;
                    }
                    String path = within.peek() + json.currentName();
                    if (within.size() == 1 && names.size() <= NAMED) {
                        names.add(json.currentName());
                    }
                    JsonToken value = json.nextToken();
                    int depth = within.size();
                    boolean leads = false;
                    for (int i = 0; i < texts.length; i++) {
                        if (keys.get(i).equals(path) && (kinds[i] == null || depth <= depths[i])) {
                            texts[i] = value == JsonToken.VALUE_STRING ? json.getText() : null;
                            kinds[i] = kind(value);
                            depths[i] = depth;
                        }
                        leads |= keys.get(i).startsWith(path + ".");
                    }
                    if (value == JsonToken.START_OBJECT && leads) {
                        within.push(path + ".");
                    } else {
                        json.skipChildren();
                    }
                }
                if (json.nextToken() != null) {
                    throw new IOException(where + " is not JSON: something stands behind its object");
                }
            } catch (JsonProcessingException e) {
                throw new IOException(where + " is not JSON: " + JsonFault.of(e), e);
            } catch (CharConversionException e) {
                throw new IOException(where + " is not UTF-8", e);
            }
            for (int i = 0; i < texts.length; i++) {
                if (kinds[i] == null) {
                    List<String> shown = names.stream().limit(NAMED).toList();
                    throw new IOException(where + " has no key " + keys.get(i) + "; its keys are " + String.join(", ", shown)
                            + (names.size() > NAMED ? ", ..." : ""));
                }
                if (texts[i] == null) {
                    throw new IOException(where + ": " + keys.get(i) + " must be a text, got " + kinds[i]);
                }
                if (!StandardCharsets.UTF_8.newEncoder().canEncode(texts[i])) {
                    throw new IOException(where + ": " + keys.get(i) + " has half a surrogate pair, which is no character");
                }
            }
            return List.of(texts);
        }

        private static String kind(JsonToken value) {
            return switch (value) {
                case null -> "nothing";
                case START_OBJECT -> "object";
                case START_ARRAY -> "array";
                case VALUE_TRUE, VALUE_FALSE -> "boolean";
                case VALUE_NULL -> "null";
                case VALUE_STRING -> "text";
                default -> "number";
            };
        }

        @Override
        public long read() {
            return in.read;
        }

        @Override
        public void close() throws IOException {
            in.end();
        }
    }

    /** A document a row, in the column of a name that the first row has. */
    final class Csv implements DocumentFile {

        private static final int ROWS = 64;

        private static final int NAMED = 20; // columns in an error

        private final Path file;
        private final Input in;
        private final CsvRows rows;
        private final Bound bound;
        private final int columns;
        private final int column;
        private long row = 1; // that of the names is the first, as in spreadsheets

        private Csv(Path file, String name, Input in, Bound bound) throws IOException {
            this.file = file;
            this.in = in;
            this.bound = bound;
            this.rows = new CsvRows(in.unpacked, bound.allowed);
            List<String> names = row(rows::first).orElseThrow(() -> new IOException(file + " has no row; the first must name the columns")).stream()
                    .map(field -> new String(field, StandardCharsets.UTF_8)).toList();
            this.columns = names.size();
            this.column = names.indexOf(name);
            if (column < 0) {
                throw new IOException(file + " has no column " + name + "; its columns are " + String.join(", ", names.subList(0, Math.min(NAMED, columns)))
                        + (columns > NAMED ? ", ..." : ""));
            }
        }

        private static Csv open(Path file, String name, Bound bound) throws IOException {
            Input in = new Input(file);
            try {
                return new Csv(file, name, in, bound);
            } catch (IOException | RuntimeException e) {
                in.end();
                throw e;
            }
        }

        private Optional<List<byte[]>> row(Reading<Optional<List<byte[]>>> reading) throws IOException {
            try {
                return named(file, reading);
            } catch (CsvRows.LongField e) {
                throw bound.refusal(file + " row " + row);
            } catch (CsvRows.Broken e) {
                throw new IOException(file + " row " + row + " is not CSV: " + e.getMessage(), e);
            }
        }

        @Override
        public Optional<Work> next() throws IOException {
            List<byte[]> texts = new ArrayList<>();
            long first = row + 1;
            long bytes = 0;
            while (texts.size() < ROWS && bytes < Blocks.SIZE) {
                row++;
                Optional<List<byte[]>> fields = row(rows::next);
                if (fields.isEmpty()) {
                    break;
                }
                if (fields.get().size() != columns) {
                    throw new IOException(file + " row " + row + " must have " + columns + " fields, as the first, got " + fields.get().size()
                            + "; a field with a comma or a line break stands in quotes");
                }
                texts.add(fields.get().get(column));
                bytes += texts.getLast().length;
            }
            return texts.isEmpty() ? Optional.empty() : Optional.of(new Work(bytes, () -> {
                List<Part> parts = new ArrayList<>();
                for (int i = 0; i < texts.size(); i++) {
                    add(parts, file + " row " + (first + i), texts.get(i));
                }
                return parts;
            }));
        }

        @Override
        public long read() {
            return in.read;
        }

        @Override
        public void close() throws IOException {
            in.end();
        }
    }

    /** A document a row. */
    final class Parquet implements DocumentFile {

        /** Few, because each may be long. */
        private static final int ROWS = 64;

        private static final int NAMED = 20; // columns in an error

        /** Seconds for some rows, which a slow disk gives in one. */
        private static final int PATIENCE = 60;

        private final Path file;
        private final HardwoodContext context;
        private final ParquetFileReader reader;
        private final Rows rows;
        private final long size;
        private final long total;
        private final Bound bound;
        private long row;

        private Parquet(Path file, HardwoodContext context, ParquetFileReader reader, Rows rows, long size, Bound bound) {
            this.bound = bound;
            this.file = file;
            this.context = context;
            this.reader = reader;
            this.rows = rows;
            this.size = size;
            this.total = reader.getFileMetaData().numRows();
        }

        private static Parquet open(Path file, String column, Bound bound) throws IOException {
            HardwoodContext context = HardwoodContext.create(1); // others have their own work
            try {
                ParquetFileReader reader = ParquetFileReader.open(InputFile.of(file), context);
                int found = textColumn(file, column, reader.getFileSchema().getColumns());
                for (RowGroup group : reader.getFileMetaData().rowGroups()) {
                    ColumnMetaData chunk = group.columns().get(found).metaData();
                    if (chunk.numValues() > 0 && chunk.totalUncompressedSize() / chunk.numValues() > bound.allowed) {
                        throw new Wrong(String.valueOf(bound.refusal(file + ": a row of " + column).getMessage()));
                    }
                }
                requirePages(file, reader, Rows.needsAll(reader, found) ? OptionalInt.empty() : OptionalInt.of(found)); // for a reader begins at once
                return new Parquet(file, context, reader, Rows.of(reader, found), Files.size(file), bound);
            } catch (IOException | RuntimeException e) {
                context.close();
                throw unreadable(file, e);
            }
        }

        /**
         * A column, some rows at a time.
         *
         * @param all the columns of the file, where it cannot be read without them: Hardwood takes a dot in a name for a way into what is nested
         */
        private record Rows(ColumnReader column, Optional<ColumnReaders> all) {

            static boolean needsAll(ParquetFileReader reader, int column) {
                return reader.getFileSchema().getColumn(column).fieldPath().elements().stream().anyMatch(name -> name.contains("."));
            }

            static Rows of(ParquetFileReader reader, int column) {
                if (needsAll(reader, column)) {
                    ColumnReaders all = reader.buildColumnReaders(ColumnProjection.all()).batchSize(ROWS).build();
                    return new Rows(all.getColumnReader(column), Optional.of(all));
                }
                return new Rows(reader.buildColumnReader(column).batchSize(ROWS).build(), Optional.empty());
            }

            boolean next() {
                return all.isPresent() ? all.get().nextBatch() : column.nextBatch();
            }

            void close() {
                all.ifPresentOrElse(ColumnReaders::close, column::close);
            }
        }

        /** The place of a column whose name, or names with dots between them, are these; of two the one that is less deep. */
        private static int textColumn(Path file, String column, List<ColumnSchema> columns) throws IOException {
            ColumnSchema found = columns.stream().filter(each -> String.join(".", each.fieldPath().elements()).equals(column))
                    .min(Comparator.comparingInt(each -> each.fieldPath().elements().size()))
                    .orElseThrow(() -> new Wrong(file + " has no column " + column + "; its columns are "
                            + columns.stream().limit(NAMED).map(each -> each.fieldPath().toString()).collect(Collectors.joining(", "))
                            + (columns.size() > NAMED ? ", ..." : "")));
            if (found.type() != PhysicalType.BYTE_ARRAY || found.maxRepetitionLevel() > 0) {
                throw new Wrong(file + ": column " + column + " must hold a text a row, got "
                        + (found.maxRepetitionLevel() > 0 ? "a list" : found.type().toString()));
            }
            return found.columnIndex();
        }

        /** Looks at the pages of one column, or of all. */
        private static void requirePages(Path file, ParquetFileReader reader, OptionalInt column) throws IOException {
            try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
                for (RowGroup group : reader.getFileMetaData().rowGroups()) {
                    List<ColumnChunk> chunks = group.columns();
                    for (ColumnChunk chunk : column.isPresent() ? List.of(chunks.get(column.getAsInt())) : chunks) {
                        ParquetPages.require(channel, chunk.chunkStartOffset(), chunk.metaData().totalCompressedSize(), chunk.metaData().numValues());
                    }
                }
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
            for (Throwable cause = e; cause != null; cause = cause.getCause()) {
                if (cause instanceof OutOfMemoryError) { // of one array, which was not made
                    return new IOException(file + " needs more memory than there is: its pages, or " + ROWS + " of its rows, are too long; "
                            + "write it with smaller ones, or give java more with -Xmx", e);
                }
            }
            return e instanceof Wrong wrong ? wrong : new IOException(file + " is no Parquet file that can be read: "
                    + LibraryFault.of(e, "what it says of itself does not fit together"), e);
        }

        /** Hardwood reads ahead in a thread of its own, and at some damaged pages never ends: nothing comes, and it waits. */
        private boolean nextRows() throws IOException {
            CompletableFuture<Boolean> late = new CompletableFuture<Boolean>().completeOnTimeout(true, PATIENCE, TimeUnit.SECONDS);
            var _ = late.thenAcceptAsync(is -> {
                if (is) {
                    try (context; reader) {
                        rows.close(); // who waits is told that nothing comes any more
                    } catch (IOException | RuntimeException e) {
                        // It is refused all the same.
                    }
                }
            });
            boolean more;
            try {
                more = rows.next();
            } catch (RuntimeException e) {
                if (late.complete(false)) {
                    throw e;
                }
                more = true;
            }
            if (!late.complete(false) && late.getNow(false)) {
                throw new Wrong(file + " is damaged: nothing could be made of its pages in " + PATIENCE + " s");
            }
            return more;
        }

        @Override
        public Optional<Work> next() throws IOException {
            byte[][] texts;
            long bytes = 0;
            try {
                if (!nextRows()) {
                    return Optional.empty();
                }
                ColumnReader column = rows.column;
                int[] offsets = column.getBinaryOffsets();
                for (int i = 0; i < column.getValueCount(); i++) {
                    if (offsets[i + 1] - offsets[i] > bound.allowed) {
                        throw bound.refusal(file + " row " + (row + i));
                    }
                }
                bytes = offsets[column.getValueCount()];
                texts = column.getBinaries();
            } catch (RuntimeException | OutOfMemoryError e) {
                throw unreadable(file, e instanceof RuntimeException failed ? failed : new IllegalStateException(e));
            }
            long first = row;
            row += texts.length;
            return Optional.of(new Work(bytes, () -> {
                List<Part> parts = new ArrayList<>();
                for (int i = 0; i < texts.length; i++) {
                    add(parts, file + " row " + (first + i), texts[i] == null ? new byte[0] : texts[i]);
                }
                return parts;
            }));
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
        } catch (Blocks.LongLine | CsvRows.LongField | CsvRows.Broken e) {
            throw e;
        } catch (ZipException | EOFException | ZstdIOException e) {
            throw new IOException(file + " is damaged, or not packed as its name says: " + SystemFault.of(e), e);
        } catch (IOException e) {
            throw new IOException(file + " cannot be read: " + SystemFault.of(e), e);
        }
    }
}
