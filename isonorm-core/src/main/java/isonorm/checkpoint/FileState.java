package isonorm.checkpoint;

import java.io.IOException;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;

/**
 * What tells whether a file is still what it was: its size, its times and, where the system has them, its number and the time at which
 * anything about it changed, which no program can set.
 */
record FileState(Path file, Map<String, Object> attributes) {

    private static final String ASKED =
            FileSystems.getDefault().supportedFileAttributeViews().contains("unix") ? "unix:size,lastModifiedTime,ctime,ino" : "size,lastModifiedTime,fileKey";

    static FileState of(Path file) throws IOException {
        return new FileState(file, Files.readAttributes(file, ASKED));
    }

    boolean isStill() {
        try {
            return of(file).equals(this);
        } catch (IOException e) {
            return false; // It is gone.
        }
    }
}
