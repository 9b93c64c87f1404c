package isonorm.hub;

import java.io.FilterInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.http.HttpTimeoutException;
import java.time.Duration;

/** A stream that is closed, and fails, once nothing has come for so long. */
final class Patient extends FilterInputStream {

    private final Duration patience;
    private final Thread watch;
    private volatile long heard = System.nanoTime();
    private volatile boolean expired;

    Patient(InputStream body, Duration patience) {
        super(body);
        this.patience = patience;
        this.watch = Thread.ofVirtual().start(this::watch);
    }

    private void watch() {
        try {
            for (long left; (left = patience.toNanos() - (System.nanoTime() - heard)) > 0;) {
                Thread.sleep(left / 1_000_000 + 1);
            }
            expired = true;
            in.close();
        } catch (InterruptedException | IOException e) {
            // read to its end, or closed already
        }
    }

    @Override
    public int read() throws IOException {
        throw new UnsupportedOperationException("read into arrays");
    }

    @Override
    public int read(byte[] into, int offset, int length) throws IOException {
        try {
            int n = super.read(into, offset, length);
            heard = System.nanoTime();
            if (n >= 0 || !expired) {
                return n;
            }
        } catch (IOException e) {
            if (!expired) {
                throw e;
            }
        }
        throw new HttpTimeoutException("nothing came for " + patience.toMillis() + " ms");
    }

    @Override
    public void close() throws IOException {
        watch.interrupt();
        super.close();
    }
}
