package isonorm.checkpoint;

import static isonorm.checkpoint.CheckpointException.Reason.HEADER_MALFORMED;
import static isonorm.checkpoint.CheckpointException.Reason.HEADER_NOT_JSON;
import static isonorm.checkpoint.CheckpointException.Reason.HEADER_TOO_LONG;
import static isonorm.checkpoint.CheckpointException.Reason.NOT_A_CHECKPOINT;
import static isonorm.checkpoint.CheckpointException.Reason.OFFSETS_HOLE;
import static isonorm.checkpoint.CheckpointException.Reason.OFFSETS_OUT_OF_RANGE;
import static isonorm.checkpoint.CheckpointException.Reason.OFFSETS_OVERLAP;
import static isonorm.checkpoint.CheckpointException.Reason.SIZE_MISMATCH;
import static isonorm.checkpoint.CheckpointException.Reason.TRUNCATED;
import static isonorm.checkpoint.CheckpointException.Reason.UNKNOWN_DTYPE;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.exc.StreamConstraintsException;
import isonorm.words.JsonFault;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.Reader;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.ReadableByteChannel;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;

/**
 * The header of a safetensors file, the format of {@link SafetensorsFile}: parsed and validated, or made for writing.
 *
 * @param dataStart where the data begins in the file
 * @param tensors the tensors in the order of their bytes
 */
record Header(long dataStart, List<Placed> tensors, Map<String, String> metadata) {

    static final String METADATA = "__metadata__";
    static final int LENGTH_BYTES = Long.BYTES;
    static final int LONGEST = 100_000_000;

    private static final int ALIGNMENT = 8;
    private static final byte[] LFS_POINTER = "version ".getBytes(StandardCharsets.US_ASCII);

    // A header nests three deep; anything much deeper is an attack on the parser. Names are neither interned nor kept in
    // a table shared by all parsers, because there are as many as tensors and they differ from file to file.
    private static final JsonFactory JSON = JsonFactory.builder()
            .disable(JsonFactory.Feature.INTERN_FIELD_NAMES)
            .disable(JsonFactory.Feature.CANONICALIZE_FIELD_NAMES)
            .streamReadConstraints(StreamReadConstraints.builder()
                    .maxNestingDepth(16)
                    .maxNumberLength(100)
                    .maxNameLength(LONGEST)
                    .maxStringLength(LONGEST)
                    .build())
            .build();

    /** A tensor and its offsets, which count from the first byte of the data. */
    record Placed(TensorInfo info, long begin, long end) {}

    /** Reads the header from the start of {@code bytes}, the content of a file of {@code length} bytes. */
    static Header read(ReadableByteChannel bytes, long length, Path file) throws IOException {
        if (length < LENGTH_BYTES) {
            throw new CheckpointException(TRUNCATED, file + " is " + length + " bytes long, too short for the "
                    + LENGTH_BYTES + " bytes that say how long the header is");
        }
        ByteBuffer prefix = readFully(bytes, LENGTH_BYTES, file);
        if (prefix.equals(ByteBuffer.wrap(LFS_POINTER))) {
            throw new CheckpointException(NOT_A_CHECKPOINT, file + " is a Git LFS pointer and not the file itself;"
                    + " fetch the file with: git lfs pull");
        }
        long headerLength = prefix.order(ByteOrder.LITTLE_ENDIAN).getLong();
        if (Long.compareUnsigned(headerLength, LONGEST) > 0) {
            throw new CheckpointException(HEADER_TOO_LONG, file + " says its header has "
                    + Long.toUnsignedString(headerLength) + " bytes, more than the " + LONGEST
                    + " of the format; is it a safetensors file?");
        }
        if (headerLength > length - LENGTH_BYTES) {
            throw new CheckpointException(TRUNCATED, file + " is " + length + " bytes long, too short for its header of "
                    + headerLength + " bytes; is the download complete?");
        }
        return parse(readFully(bytes, (int) headerLength, file), length, file);
    }

    private static ByteBuffer readFully(ReadableByteChannel bytes, int count, Path file) throws IOException {
        ByteBuffer buffer = ByteBuffer.allocate(count);
        while (buffer.hasRemaining()) {
            if (bytes.read(buffer) < 0) {
                throw new CheckpointException(TRUNCATED, file + " became shorter while its header was read");
            }
        }
        return buffer.flip();
    }

    /** Parses the header that follows the length, of a file of {@code length} bytes in all. */
    static Header parse(ByteBuffer header, long length, Path file) throws CheckpointException {
        long dataStart = LENGTH_BYTES + (long) header.remaining();
        if (!header.hasRemaining() || header.get(header.position()) != '{') {
            throw new CheckpointException(HEADER_NOT_JSON, file + " has a header of " + header.remaining()
                    + " bytes that does not start with '{'; is it a safetensors file?");
        }
        List<Placed> tensors = new ArrayList<>();
        Set<String> names = new HashSet<>();
        Map<String, String> metadata = new LinkedHashMap<>();
        // Decoded here, because a JSON parser given bytes guesses their encoding and the format allows only one.
        Reader text = new InputStreamReader(new ByteArrayInputStream(header.array(), header.arrayOffset() + header.position(), header.remaining()),
                StandardCharsets.UTF_8.newDecoder());
        try (JsonParser json = JSON.createParser(text)) {
            json.nextToken();
            while (json.nextToken() == JsonToken.FIELD_NAME) {
                String name = requireUnicode(json.currentName(), file);
                requireOnce(names.add(name), file, name);
                if (name.equals(METADATA)) {
                    readMetadata(json, metadata, file);
                } else {
                    tensors.add(readTensor(json, name, file));
                }
            }
            if (json.nextToken() != null) {
                throw new CheckpointException(
                        HEADER_NOT_JSON, file + " has a header that goes on after its closing brace");
            }
        } catch (CheckpointException e) {
            throw e;
        } catch (StreamConstraintsException e) {
            throw new CheckpointException(
                    HEADER_MALFORMED, file + " has a header beyond all bounds: " + JsonFault.of(e), e);
        } catch (JsonProcessingException e) {
            throw new CheckpointException(HEADER_NOT_JSON, file + " has a header that is not JSON: "
                    + JsonFault.of(e) + (e.getLocation() == null ? "" : " at character " + e.getLocation().getCharOffset()), e);
        } catch (CharacterCodingException e) {
            throw new CheckpointException(HEADER_NOT_JSON, file + " has a header that is not UTF-8", e);
        } catch (IOException e) {
            throw new AssertionError("an array is read without input or output", e);
        }
        // The sort is stable, and an empty tensor comes before the one that begins where it does.
        tensors.sort(Comparator.comparingLong(Placed::begin).thenComparingLong(Placed::end));
        validate(tensors, length - dataStart, file);
        return new Header(dataStart, tensors, metadata);
    }

    /** Checks that the tensors, in order, have the bytes of their shapes and cover the data from first to last byte. */
    private static void validate(List<Placed> tensors, long dataLength, Path file) throws CheckpointException {
        long expected = 0;
        for (Placed tensor : tensors) {
            TensorInfo info = tensor.info();
            if (tensor.begin() < 0 || tensor.end() < tensor.begin()) {
                throw new CheckpointException(OFFSETS_OUT_OF_RANGE, file + ":" + stated(tensor) + " begins after it ends");
            }
            if (tensor.begin() > expected) {
                throw new CheckpointException(OFFSETS_HOLE, file + ":" + stated(tensor) + " leaves a hole,"
                        + " the data before it ends at " + expected);
            }
            if (tensor.begin() < expected) {
                throw new CheckpointException(OFFSETS_OVERLAP, file + ":" + stated(tensor)
                        + " overlaps the one before it, which ends at " + expected);
            }
            if (tensor.end() - tensor.begin() != info.bytes()) {
                throw new CheckpointException(SIZE_MISMATCH, file + ":" + stated(tensor) + " does not have the " + info.bytes()
                        + " bytes of " + info.dtype() + " " + info.shape());
            }
            expected = tensor.end();
        }
        if (expected > dataLength) {
            throw new CheckpointException(TRUNCATED, file + " has " + dataLength + " bytes of data, and its tensors need "
                    + expected + "; is the download complete?");
        }
        if (expected < dataLength) {
            throw new CheckpointException(OFFSETS_HOLE, file + " has " + dataLength
                    + " bytes of data, and its tensors end at " + expected);
        }
    }

    private static String stated(Placed tensor) {
        return " tensor " + tensor.info().name() + " at bytes " + tensor.begin() + " to " + tensor.end();
    }

    private static void readMetadata(JsonParser json, Map<String, String> metadata, Path file) throws IOException {
        if (json.nextToken() == JsonToken.VALUE_NULL) {
            return; // how some writers say that there is none, and the reference implementation reads
        }
        require(json.currentToken() == JsonToken.START_OBJECT, file, METADATA, "must be an object of strings");
        while (json.nextToken() == JsonToken.FIELD_NAME) {
            String key = requireUnicode(json.currentName(), file);
            require(json.nextToken() == JsonToken.VALUE_STRING, file, METADATA, "must be an object of strings");
            requireOnce(metadata.put(key, requireUnicode(json.getText(), file)) == null, file, key);
        }
    }

    private static Placed readTensor(JsonParser json, String name, Path file) throws IOException {
        Optional<String> said = Optional.empty();
        Optional<List<Long>> dimensions = Optional.empty();
        Optional<List<Long>> places = Optional.empty();
        require(json.nextToken() == JsonToken.START_OBJECT, file, name, "must be an object");
        while (json.nextToken() == JsonToken.FIELD_NAME) {
            String key = json.currentName();
            json.nextToken();
            switch (key) {
                case "dtype" -> {
                    requireOnce(said.isEmpty(), file, key);
                    require(json.currentToken() == JsonToken.VALUE_STRING, file, name, "dtype must be a string");
                    said = Optional.of(json.getText());
                }
                case "shape" -> {
                    requireOnce(dimensions.isEmpty(), file, key);
                    dimensions = Optional.of(readNumbers(json, name, key, HEADER_MALFORMED, file));
                }
                case "data_offsets" -> {
                    requireOnce(places.isEmpty(), file, key);
                    places = Optional.of(readNumbers(json, name, key, OFFSETS_OUT_OF_RANGE, file));
                }
                default -> json.skipChildren();
            }
        }
        String dtypeName = required(said, file, name, "dtype");
        List<Long> shape = required(dimensions, file, name, "shape");
        List<Long> offsets = required(places, file, name, "data_offsets");
        require(offsets.size() == 2, file, name, "data_offsets must be two numbers, got " + offsets.size());
        Optional<Dtype> dtype = Dtype.named(dtypeName);
        if (dtype.isEmpty()) {
            throw new CheckpointException(
                    UNKNOWN_DTYPE, file + ": tensor " + name + " has the unknown dtype " + dtypeName
                            + (dtypeName.matches("F[1-6](_.*)?|[IU][1-7]") ? ", of less than a byte as quantized weights have; take the checkpoint it was made from" : ""));
        }
        if (TensorInfo.bytes(dtype.get(), shape).isEmpty()) {
            throw new CheckpointException(SIZE_MISMATCH, file + ": tensor " + name + " has more bytes than"
                    + " 63 bits can count, " + dtype.get() + " " + shape);
        }
        return new Placed(new TensorInfo(name, dtype.get(), shape), offsets.get(0), offsets.get(1));
    }

    private static <T> T required(Optional<T> value, Path file, String name, String key) throws CheckpointException {
        require(value.isPresent(), file, name, key + " is missing");
        return value.get();
    }

    /** Reads an array of whole numbers from 0 to 2⁶³ - 1. */
    private static List<Long> readNumbers(
            JsonParser json, String name, String key, CheckpointException.Reason outOfRange, Path file) throws IOException {
        require(json.currentToken() == JsonToken.START_ARRAY, file, name, key + " must be an array");
        List<Long> numbers = new ArrayList<>(4);
        while (json.nextToken() != JsonToken.END_ARRAY) {
            require(json.currentToken() == JsonToken.VALUE_NUMBER_INT, file, name, key + " must hold whole numbers only");
            if (json.getNumberType() == JsonParser.NumberType.BIG_INTEGER || json.getLongValue() < 0) {
                throw new CheckpointException(outOfRange, file + ": tensor " + name + ": " + key
                        + " must hold numbers from 0 to 2^63 - 1, got " + json.getText());
            }
            numbers.add(json.getLongValue());
        }
        return numbers;
    }

    /** Refuses half of a surrogate pair, which JSON can spell with an escape and UTF-8 cannot. */
    private static String requireUnicode(String text, Path file) throws CheckpointException {
        if (!isUnicode(text)) {
            throw new CheckpointException(HEADER_NOT_JSON, file + " has half of a surrogate pair in " + text);
        }
        return text;
    }

    private static String requireUnicode(String text) {
        if (!isUnicode(text)) {
            throw new IllegalArgumentException("names and metadata must be Unicode text, got half of a surrogate pair");
        }
        return text;
    }

    private static boolean isUnicode(String text) {
        for (int i = 0; i < text.length(); i++) {
            if (Character.isSurrogate(text.charAt(i))) {
                if (!Character.isSupplementaryCodePoint(text.codePointAt(i))) {
                    return false;
                }
                i++;
            }
        }
        return true;
    }

    private static void requireOnce(boolean first, Path file, String key) throws CheckpointException {
        if (!first) {
            throw new CheckpointException(HEADER_NOT_JSON, file + " has a header with the key " + key + " twice in one object");
        }
    }

    private static void require(boolean holds, Path file, String name, String rule) throws CheckpointException {
        if (!holds) {
            throw new CheckpointException(HEADER_MALFORMED, file + ": " + name + ": " + rule);
        }
    }

    /**
     * Makes the start of a file: the length and the header for these tensors one after the other, padded with spaces so
     * that the data begins at a multiple of eight. The same arguments give the same bytes.
     */
    static ByteBuffer bytes(List<TensorInfo> tensors, Map<String, String> metadata) throws CheckpointException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        bytes.writeBytes(new byte[LENGTH_BYTES]);
        try (JsonGenerator json = JSON.createGenerator(bytes)) {
            json.writeStartObject();
            if (!metadata.isEmpty()) {
                json.writeObjectFieldStart(METADATA);
                for (Map.Entry<String, String> entry : new TreeMap<>(metadata).entrySet()) {
                    json.writeStringField(requireUnicode(entry.getKey()), requireUnicode(entry.getValue()));
                }
                json.writeEndObject();
            }
            long begin = 0;
            for (TensorInfo info : tensors) {
                long end = begin + info.bytes();
                json.writeObjectFieldStart(requireUnicode(info.name()));
                json.writeStringField("dtype", info.dtype().name());
                json.writeArrayFieldStart("shape");
                for (long dimension : info.shape()) {
                    json.writeNumber(dimension);
                }
                json.writeEndArray();
                json.writeArrayFieldStart("data_offsets");
                json.writeNumber(begin);
                json.writeNumber(end);
                json.writeEndArray();
                json.writeEndObject();
                begin = end;
            }
            json.writeEndObject();
        } catch (IOException e) {
            throw new AssertionError("an array is written without input or output", e);
        }
        while (bytes.size() % ALIGNMENT != 0) {
            bytes.write(' ');
        }
        int headerLength = bytes.size() - LENGTH_BYTES;
        if (headerLength > LONGEST) {
            throw new CheckpointException(HEADER_TOO_LONG, "a header for " + tensors.size() + " tensors has "
                    + headerLength + " bytes, more than the " + LONGEST + " of the format");
        }
        ByteBuffer header = ByteBuffer.wrap(bytes.toByteArray()).order(ByteOrder.LITTLE_ENDIAN);
        return header.putLong(0, headerLength);
    }
}
