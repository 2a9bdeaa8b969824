package edgewise.wire;

import edgewise.wire.errors.DataError;
import edgewise.wire.errors.UnavailableError;
import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.RandomAccessFile;

/** Files that outlive a crash whole. {@code java.io} alone: {@code java.nio.file} came to Android with API 26. */
public final class Files {
    private Files() {}

    /** Makes a folder and those above it where they are missing. */
    public static File makeFolder(File folder) {
        if (!folder.isDirectory() && !folder.mkdirs() && !folder.isDirectory()) {
            throw new UnavailableError(folder + ": cannot be made; free space or choose another place");
        }
        return folder;
    }

    /**
     * Writes {@code data} through a synced temporary file beside {@code path}: after a crash there is the old file or
     * the new one. (Java cannot sync a folder on Android; ext4 and f2fs order the rename behind the synced data.)
     *
     * @throws UnavailableError if the disk is full or cannot be written
     */
    public static void writeDurably(File path, byte[] data) {
        write(path, data, true);
    }

    /** The same without the sync, for what may be lost. */
    public static void writeLightly(File path, byte[] data) {
        write(path, data, false);
    }

    private static void write(File path, byte[] data, boolean sync) {
        File part = new File(path.getParentFile(), "." + path.getName() + ".part");
        try (FileOutputStream out = new FileOutputStream(part)) {
            part.setReadable(false, false);
            part.setReadable(true, true);
            out.write(data);
            out.flush();
            if (sync) out.getFD().sync();
        } catch (IOException error) {
            part.delete();
            throw unwritable(path, error);
        }
        if (!part.renameTo(path)) {
            part.delete();
            throw new UnavailableError(path + ": cannot be replaced; free space or choose another place");
        }
    }

    static UnavailableError unwritable(File path, IOException error) {
        return new UnavailableError(path + ": cannot be written (" + error.getMessage() + "); free or mend the disk",
                error);
    }

    /**
     * Returns the bytes of a file of at most {@code most} bytes.
     *
     * @throws DataError if it cannot be read or is longer
     */
    public static byte[] read(File path, long most) {
        try (RandomAccessFile file = new RandomAccessFile(path, "r")) {
            if (file.length() > most) {
                throw new DataError(path + ": " + file.length() + " bytes, expected at most " + most);
            }
            byte[] data = new byte[(int) file.length()];
            file.readFully(data);
            return data;
        } catch (IOException error) {
            throw new DataError(path + ": cannot be read (" + error.getMessage() + ")", error);
        }
    }

    /** Deletes a file or a folder with all that is in it; what is not there is no error. */
    public static void delete(File path) {
        File[] inside = path.listFiles();
        if (inside != null) for (File one : inside) delete(one);
        path.delete();
    }
}
