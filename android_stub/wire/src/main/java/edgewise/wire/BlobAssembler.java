package edgewise.wire;

import edgewise.wire.Messages.BlobRef;
import edgewise.wire.Messages.Range;
import edgewise.wire.errors.InputError;
import edgewise.wire.errors.ProtocolError;
import edgewise.wire.errors.UnavailableError;
import java.io.Closeable;
import java.io.File;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.RandomAccessFile;
import java.security.MessageDigest;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;

/**
 * Collects the chunks of one blob in a part file beside {@code path} and turns it into {@code path} when all is right.
 *
 * <p>Chunks of zeros are there from the start: nobody sends them. The part file of an earlier process is taken up: its
 * chunks are hashed again and the good ones count. Memory use is one chunk.
 */
public final class BlobAssembler implements Closeable {
    public static final String PART_SUFFIX = ".part";

    public final BlobRef ref;
    private final File path;
    private final File part;
    private ChunkSet have;
    private RandomAccessFile file;

    /** Throws {@link ProtocolError} if {@code ref} contradicts itself, {@link UnavailableError} if the disk refuses. */
    public BlobAssembler(BlobRef ref, File path) {
        this.ref = Blobs.checkRef(ref, Blobs.BYTES_MAX);
        this.path = path;
        this.part = new File(path.getPath() + PART_SUFFIX);
        if (holds(path, ref)) {
            have = new ChunkSet(Blobs.chunkCount(ref),
                    Collections.singletonList(new Range(0, Blobs.chunkCount(ref) - 1)));
            return;
        }
        Files.makeFolder(path.getAbsoluteFile().getParentFile());
        try {
            file = new RandomAccessFile(part, "rw");
            // Always the blob's size: a place that was never written reads as zeros, which only zeros have the hash of.
            file.setLength(ref.size());
            have = goodChunks();
        } catch (IOException error) {
            throw Files.unwritable(part, error);
        }
    }

    public boolean complete() {
        return have.complete();
    }

    public List<Range> have() {
        return have.ranges();
    }

    public List<Range> missing() {
        return have.missing();
    }

    /**
     * Keeps a chunk and returns whether it is new.
     *
     * @throws ProtocolError if the blob has no chunk {@code index}, or {@code data} is not it
     */
    public boolean add(long index, byte[] data) {
        int length = Blobs.chunkLength(ref, index);
        if (data.length != length) {
            throw new ProtocolError(chunkName(index) + ": " + data.length + " bytes, expected " + length);
        }
        if (!Blobs.isChunk(ref, index, data)) {
            throw new ProtocolError(chunkName(index) + ": its bytes do not have the hash named");
        }
        if (have.contains(index)) return false;
        if (file == null) throw new InputError(part + ": this assembler is closed; make a new one to go on");
        try {
            file.seek(index * ref.chunkBytes());
            file.write(data);
        } catch (IOException error) {
            throw Files.unwritable(part, error);
        }
        return have.add(index);
    }

    /**
     * Syncs the blob to disk, checks the whole, moves it to its path and returns that; again does nothing more.
     *
     * @throws InputError if chunks are missing
     * @throws ProtocolError if every chunk is right and the whole is not: the reference lies; the part file is deleted
     * @throws UnavailableError if chunks changed on the disk since they were added; {@code missing} names them again
     */
    public File finish() {
        if (!complete()) {
            throw new InputError("blob " + Bytes.hex(ref.hash()) + ": " + (have.count() - have.size())
                    + " chunks are missing");
        }
        if (file == null && holds(path, ref)) return path;
        if (file == null) throw new InputError(part + ": this assembler is closed; make a new one to go on");
        try {
            file.getFD().sync();
            if (!Arrays.equals(fileHash(part), ref.hash())) refuseWhole();
            close();
        } catch (IOException error) {
            throw Files.unwritable(part, error);
        }
        if (!part.renameTo(path)) throw new UnavailableError(path + ": cannot be written; free or mend the disk");
        return path;
    }

    private void refuseWhole() throws IOException {
        have = goodChunks();
        if (!complete()) throw new UnavailableError(part + ": chunks changed on the disk; fetch them again");
        discard();
        throw new ProtocolError("blob " + Bytes.hex(ref.hash()) + ": its chunks are those named, the whole is not");
    }

    private ChunkSet goodChunks() throws IOException {
        ChunkSet good = new ChunkSet(Blobs.chunkCount(ref));
        for (int index = 0; index < good.count(); index++) {
            byte[] piece = new byte[Blobs.chunkLength(ref, index)];
            file.seek(index * ref.chunkBytes());
            file.readFully(piece);
            if (Blobs.isChunk(ref, index, piece)) {
                good.add(index);
            } else if (Blobs.isZeros(ref, index)) { // nobody would ever send it
                file.seek(index * ref.chunkBytes());
                file.write(new byte[piece.length]);
                good.add(index);
            }
        }
        return good;
    }

    private String chunkName(long index) {
        return "chunk " + index + " of blob " + Bytes.hex(ref.hash());
    }

    /** Closes the part file and leaves it for a later assembler to take up. */
    @Override
    public void close() {
        if (file == null) return;
        try {
            file.close();
        } catch (IOException error) {
            throw Files.unwritable(part, error);
        } finally {
            file = null;
        }
    }

    /** Closes and deletes the part file. */
    public void discard() {
        close();
        part.delete();
    }

    static boolean holds(File path, BlobRef ref) {
        if (!path.isFile() || path.length() != ref.size()) return false;
        try {
            return Arrays.equals(fileHash(path), ref.hash());
        } catch (IOException error) {
            return false;
        }
    }

    static byte[] fileHash(File path) throws IOException {
        MessageDigest whole = Bytes.sha256();
        byte[] piece = new byte[1 << 16];
        try (InputStream in = new FileInputStream(path)) {
            for (int length; (length = in.read(piece)) > 0; ) whole.update(piece, 0, length);
        }
        return whole.digest();
    }
}
