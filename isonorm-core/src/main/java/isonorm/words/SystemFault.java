package isonorm.words;

import java.io.EOFException;
import java.io.IOException;
import java.nio.charset.CharacterCodingException;
import java.nio.file.AccessDeniedException;
import java.nio.file.DirectoryNotEmptyException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileSystemException;
import java.nio.file.FileSystemLoopException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.NotDirectoryException;
import java.nio.file.Path;

/** What the system says of a file, in words that are not Java's; some exceptions carry only a file's name and say the rest by their class. */
public final class SystemFault {

    private SystemFault() {}

    /** Why, for who has named the file; of another file its name too. */
    public static String of(IOException e) {
        return switch (e) {
            case AccessDeniedException _ -> "permission denied";
            case FileAlreadyExistsException exists -> exists.getFile() + " exists already";
            case NoSuchFileException gone -> gone.getFile() + " " + (gone.getReason() == null ? "does not exist" : gone.getReason());
            case NotDirectoryException file -> file.getFile() + " is no folder";
            case DirectoryNotEmptyException full -> full.getFile() + " is not empty";
            case FileSystemLoopException loop -> loop.getFile() + " leads back to a folder that it is in";
            case FileSystemException system -> system.getReason() == null ? "the system gives no reason" : system.getReason();
            case CharacterCodingException _ -> "it is not UTF-8";
            case EOFException end -> end.getMessage() == null ? "it ends too soon" : end.getMessage();
            default -> e.getMessage() == null ? "the system gives no reason" : e.getMessage();
        };
    }

    /** Why a file or folder cannot be made; some places, such as /proc, say of what they won't take that it does not exist. */
    public static String ofNew(IOException e) {
        if (!(e instanceof NoSuchFileException gone)) {
            return of(e);
        }
        Path folder = gone.getFile() == null ? null : Path.of(gone.getFile()).toAbsolutePath().getParent();
        return folder != null && Files.isDirectory(folder) ? "nothing can be made in " + folder : "its folder does not exist";
    }

    /** The same with the name of the file, if that is known. */
    public static String named(IOException e) {
        return switch (e) {
            case FileAlreadyExistsException _, NoSuchFileException _, NotDirectoryException _, DirectoryNotEmptyException _, FileSystemLoopException _ -> of(e);
            case FileSystemException file when file.getFile() != null -> file.getFile() + ": " + of(e);
            default -> of(e);
        };
    }
}
