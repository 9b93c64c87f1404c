package isonorm.text;

import static java.util.Objects.requireNonNull;

import ai.djl.huggingface.tokenizers.HuggingFaceTokenizer;
import ai.djl.huggingface.tokenizers.jni.CharSpan;
import isonorm.kernel.JvmOptions;
import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.File;
import java.io.IOException;
import java.net.URISyntaxException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.security.CodeSource;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;

/**
 * In a process of its own, for a file of which it isn't known what native code does with it: where that ends its process, fills its memory or
 * takes too long, this one goes on. The next text gets a new one.
 */
final class TokenizerProcess implements NativeTokenizer {

    private static final int ENCODE = 0;
    private static final int ENCODE_AROUND = 1;
    private static final int DECODE = 2;
    private static final int REFUSED = 1;
    private static final int NOWHERE = -1;

    /** For one text; published tokenizers read a hundred times as much. */
    private static final long SECONDS = 10;
    private static final int BYTES_A_SECOND = 100_000;

    /** What the process may take, where the system has such a limit; a JVM lays claim to two gigabytes that it doesn't use. */
    private static final long MOST_KILOBYTES = 8L << 20;
    private static final String HEAP = "-Xmx1g";

    private final String json;
    private @Nullable Running running;

    private TokenizerProcess(String json) {
        this.json = json;
    }

    /** A process, what it is asked and what it answers. */
    private record Running(Process process, DataOutputStream in, DataInputStream out) {}

    static TokenizerProcess open(String json) throws IOException {
        TokenizerProcess opened = new TokenizerProcess(json);
        synchronized (opened) {
            opened.start();
        }
        return opened;
    }

    @Override
    public synchronized Pieces encode(String text, boolean around) throws IOException {
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        return asked(bytes.length, in -> {
            in.writeByte(around ? ENCODE_AROUND : ENCODE);
            writeBytes(in, bytes);
        }, out -> {
            int count = out.readInt();
            Pieces pieces = new Pieces(new long[count], new long[count], new CharSpan[count]);
            for (int i = 0; i < count; i++) {
                pieces.ids()[i] = out.readLong();
                pieces.special()[i] = out.readByte();
                int begin = out.readInt();
                int end = out.readInt();
                pieces.spans()[i] = begin == NOWHERE ? null : new CharSpan(begin, end);
            }
            return pieces;
        });
    }

    @Override
    public synchronized String decode(long... ids) throws IOException {
        return asked(ids.length, in -> {
            in.writeByte(DECODE);
            in.writeInt(ids.length);
            for (long id : ids) {
                in.writeLong(id);
            }
        }, out -> new String(readBytes(out), StandardCharsets.UTF_8));
    }

    /** What is written to the process. */
    private interface Question {
        void write(DataOutputStream in) throws IOException;
    }

    /** What is read from it. */
    private interface Answer<T> {
        T read(DataInputStream out) throws IOException;
    }

    private <T> T asked(long bytes, Question question, Answer<T> answer) throws IOException {
        Running asked = running;
        if (asked == null) {
            asked = start();
        }
        return answered(asked, seconds(bytes), question, answer);
    }

    private static long seconds(long bytes) {
        return SECONDS + bytes / BYTES_A_SECOND;
    }

    private <T> T answered(Running asked, long seconds, Question question, Answer<T> answer) throws IOException {
        CompletableFuture<Boolean> late = new CompletableFuture<Boolean>().completeOnTimeout(true, seconds, TimeUnit.SECONDS);
        var _ = late.thenAccept(is -> {
            if (is) {
                asked.process.destroyForcibly();
            }
        });
        try {
            question.write(asked.in);
            asked.in.flush();
            if (asked.out.readByte() != REFUSED) {
                return answer.read(asked.out);
            }
        } catch (IOException e) {
            close();
            throw new IOException(late.getNow(false) ? "it took longer than " + seconds + " s" : "it ended the process that it ran in", e);
        } finally {
            late.complete(false);
        }
        throw new IOException(new String(readBytes(asked.out), StandardCharsets.UTF_8));
    }

    private Running start() throws IOException {
        List<String> command = new ArrayList<>();
        if (File.separatorChar == '/') {
            command.addAll(List.of("/bin/sh", "-c", "ulimit -v " + MOST_KILOBYTES + " 2> /dev/null; exec \"$@\"", "sh"));
        }
        command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
        command.addAll(List.of(HEAP, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-XX:-CreateCoredumpOnCrash", "-Xlog:disable"));
        command.addAll(JvmOptions.nativeAccess());
        OwnTokenizer.PROPERTIES.forEach((name, value) -> command.add("-D" + name + "=" + value));
        command.addAll(List.of("-cp", String.join(File.pathSeparator, classPath()), TokenizerProcess.class.getName()));
        Process process;
        try {
            process = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.DISCARD).start();
        } catch (IOException e) {
            throw new IOException("it is read in a process of its own, and none can be started with " + command.get(command.indexOf("sh") + 1), e);
        }
        Running started = new Running(process, new DataOutputStream(new BufferedOutputStream(process.getOutputStream())),
                new DataInputStream(new BufferedInputStream(process.getInputStream())));
        running = started;
        byte[] bytes = json.getBytes(StandardCharsets.UTF_8);
        try {
            answered(started, seconds(bytes.length), in -> writeBytes(in, bytes), _ -> true);
            return started;
        } catch (IOException e) {
            close();
            throw e;
        }
    }

    /** Where the classes are that are needed there: a folder or a jar each. */
    private static Set<String> classPath() throws IOException {
        Set<String> places = new LinkedHashSet<>();
        ClassLoader loader = HuggingFaceTokenizer.class.getClassLoader();
        for (String name : List.of(TokenizerProcess.class.getName(), HuggingFaceTokenizer.class.getName(), "ai.djl.util.NativeResource",
                "com.google.gson.Gson", "org.slf4j.Logger", "com.sun.jna.Native", "org.apache.commons.compress.archivers.ArchiveEntry")) {
            try {
                CodeSource source = Class.forName(name, false, loader).getProtectionDomain().getCodeSource();
                if (source != null) {
                    places.add(Path.of(source.getLocation().toURI()).toString());
                }
            } catch (ClassNotFoundException e) {
                // Not needed by this version of the library.
            } catch (URISyntaxException | RuntimeException e) {
                throw new IOException("it is read in a process of its own, which cannot be given the classes of " + name, e);
            }
        }
        return places;
    }

    private static void writeBytes(DataOutputStream out, byte... bytes) throws IOException {
        out.writeInt(bytes.length);
        out.write(bytes);
    }

    private static byte[] readBytes(DataInputStream in) throws IOException {
        byte[] bytes = new byte[in.readInt()];
        in.readFully(bytes);
        return bytes;
    }

    @Override
    public synchronized void close() {
        if (running != null) {
            running.process.destroyForcibly();
            running = null;
        }
    }

    /** The process: reads a tokenizer.json, then answers until nobody asks any more, and never works at an answer that nobody waits for. */
    static void main() throws IOException {
        DataOutputStream out = new DataOutputStream(new BufferedOutputStream(System.out));
        DataInputStream in = new DataInputStream(new BufferedInputStream(System.in));
        byte[] json = readBytes(in);
        AtomicReference<OwnTokenizer> opened = new AtomicReference<>();
        answer(out, json.length, () -> {
            opened.set(OwnTokenizer.open(new String(json, StandardCharsets.UTF_8)));
            return _ -> {};
        });
        for (int kind = in.read(); kind >= 0; kind = in.read()) {
            if (kind == DECODE) {
                long[] ids = new long[in.readInt()];
                for (int i = 0; i < ids.length; i++) {
                    ids[i] = in.readLong();
                }
                answer(out, ids.length, () -> {
                    byte[] text = requireNonNull(opened.get()).decode(ids).getBytes(StandardCharsets.UTF_8);
                    return to -> writeBytes(to, text);
                });
            } else {
                byte[] text = readBytes(in);
                boolean around = kind == ENCODE_AROUND;
                answer(out, text.length, () -> {
                    Pieces pieces = requireNonNull(opened.get()).encode(new String(text, StandardCharsets.UTF_8), around);
                    return to -> write(to, pieces);
                });
            }
        }
    }

    /** Computes all of an answer before any of it is written. */
    private interface Work {
        Written done() throws IOException;
    }

    /** What is written once it is known. */
    private interface Written {
        void to(DataOutputStream out) throws IOException;
    }

    private static void answer(DataOutputStream out, long bytes, Work work) throws IOException {
        CompletableFuture<Boolean> late = new CompletableFuture<Boolean>().completeOnTimeout(true, 2 * seconds(bytes), TimeUnit.SECONDS);
        var _ = late.thenAccept(is -> {
            if (is) {
                Runtime.getRuntime().halt(1);
            }
        });
        try {
            Written written = work.done();
            out.writeByte(0);
            written.to(out);
        } catch (IOException e) {
            out.writeByte(REFUSED);
            writeBytes(out, String.valueOf(e.getMessage()).getBytes(StandardCharsets.UTF_8));
        } finally {
            late.complete(false);
        }
        out.flush();
    }

    private static void write(DataOutputStream out, Pieces pieces) throws IOException {
        out.writeInt(pieces.ids().length);
        for (int i = 0; i < pieces.ids().length; i++) {
            CharSpan span = pieces.spans()[i];
            out.writeLong(pieces.ids()[i]);
            out.writeByte((int) pieces.special()[i]);
            out.writeInt(span == null ? NOWHERE : span.getStart());
            out.writeInt(span == null ? NOWHERE : span.getEnd());
        }
    }
}
