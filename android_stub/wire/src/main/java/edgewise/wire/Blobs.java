package edgewise.wire;

import edgewise.wire.Messages.BlobRef;
import edgewise.wire.errors.DataError;
import edgewise.wire.errors.InputError;
import edgewise.wire.errors.ProtocolError;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.RandomAccessFile;
import java.security.MessageDigest;
import java.util.Arrays;

/** Blobs: bytes too long for one message, cut into chunks that are named and checked by their hashes. */
public final class Blobs {
    public static final int HASH_BYTES = 32;
    /** The most bytes that a blob can have: 1900 chunks of the largest size. */
    public static final long BYTES_MAX = (long) Messages.CHUNKS_MAX * Messages.CHUNK_BYTES;

    private Blobs() {}

    /** Returns the reference to a blob in chunks of the usual size. */
    public static BlobRef makeRef(byte[] data) {
        return makeRef(data, Messages.CHUNK_BYTES);
    }

    /**
     * Returns the reference to a blob.
     *
     * @throws InputError if it is empty or has too many chunks, or the chunk size is out of bounds
     */
    public static BlobRef makeRef(byte[] data, int chunkBytes) {
        try {
            return makeRef(new ByteArrayInputStream(data), chunkBytes);
        } catch (IOException error) {
            throw new IllegalStateException(error); // reading memory does not fail
        }
    }

    /** Returns the reference to a file, read chunk by chunk. Throws {@link DataError} if it cannot be read. */
    public static BlobRef makeRef(File file) {
        try (InputStream in = new FileInputStream(file)) {
            return makeRef(in, Messages.CHUNK_BYTES);
        } catch (IOException error) {
            throw new DataError("blob file " + file + ": cannot be read (" + error.getMessage() + ")", error);
        }
    }

    private static BlobRef makeRef(InputStream in, int chunkBytes) throws IOException {
        if (chunkBytes < 1 || chunkBytes > Messages.CHUNK_BYTES) {
            throw new InputError("chunk size " + chunkBytes + ": expected 1 to " + Messages.CHUNK_BYTES + " bytes");
        }
        MessageDigest whole = Bytes.sha256(), one = Bytes.sha256();
        ByteArrayOutputStream hashes = new ByteArrayOutputStream();
        byte[] piece = new byte[chunkBytes];
        long size = 0;
        for (int length; (length = fill(in, piece)) > 0; size += length) {
            if (hashes.size() == Messages.CHUNKS_MAX * HASH_BYTES) {
                throw new InputError("blob: expected at most " + Messages.CHUNKS_MAX + " chunks of " + chunkBytes
                        + " bytes");
            }
            whole.update(piece, 0, length);
            one.update(piece, 0, length);
            hashes.write(one.digest(), 0, HASH_BYTES);
        }
        if (size == 0) throw new InputError("blob of 0 bytes: expected at least 1");
        return new BlobRef(whole.digest(), size, chunkBytes, hashes.toByteArray());
    }

    private static int fill(InputStream in, byte[] piece) throws IOException {
        int length = 0;
        for (int n; length < piece.length && (n = in.read(piece, length, piece.length - length)) > 0; ) length += n;
        return length;
    }

    /**
     * Returns {@code ref} if it is consistent in itself and names at most {@code mostBytes} bytes; a peer may have sent
     * it.
     *
     * @throws ProtocolError saying what is wrong with it
     */
    public static BlobRef checkRef(BlobRef ref, long mostBytes) {
        if (ref.hash().length != HASH_BYTES) {
            throw new ProtocolError("blob hash of " + ref.hash().length + " bytes: expected " + HASH_BYTES);
        }
        if (ref.chunkBytes() < 1 || ref.chunkBytes() > Messages.CHUNK_BYTES) {
            throw new ProtocolError("blob with chunks of " + ref.chunkBytes() + " bytes: expected 1 to "
                    + Messages.CHUNK_BYTES);
        }
        if (ref.size() < 1 || ref.size() > mostBytes) { // as unsigned beyond 2^63 it is negative here
            String size = ref.size() < 0 ? "2^63 or more" : String.valueOf(ref.size());
            throw new ProtocolError("blob of " + size + " bytes: expected 1 to " + mostBytes);
        }
        long chunks = (ref.size() - 1) / ref.chunkBytes() + 1;
        if (chunks > Messages.CHUNKS_MAX || ref.chunkHashes().length != chunks * HASH_BYTES) {
            throw new ProtocolError("blob of " + ref.size() + " bytes with " + ref.chunkHashes().length
                    + " bytes of chunk hashes: expected " + chunks * HASH_BYTES + ", at most "
                    + Messages.CHUNKS_MAX * HASH_BYTES);
        }
        return ref;
    }

    /** Returns how many chunks a checked blob has. */
    public static int chunkCount(BlobRef ref) {
        return (int) ((ref.size() - 1) / ref.chunkBytes()) + 1;
    }

    /** Returns how many bytes chunk {@code index} has. Throws {@link ProtocolError} if there is no such chunk. */
    public static int chunkLength(BlobRef ref, long index) {
        ChunkSet.checkIndex(index, chunkCount(ref));
        return (int) Math.min(ref.chunkBytes(), ref.size() - index * ref.chunkBytes());
    }

    /**
     * Returns chunk {@code index} of the blob in a file.
     *
     * @throws ProtocolError if the blob has no such chunk
     * @throws DataError if the bytes are not those that {@code ref} names any more
     */
    public static byte[] chunk(File file, BlobRef ref, long index) {
        byte[] piece = new byte[chunkLength(ref, index)];
        try (RandomAccessFile source = new RandomAccessFile(file, "r")) {
            source.seek(index * ref.chunkBytes());
            source.readFully(piece);
        } catch (IOException error) {
            throw new DataError("blob file " + file + ": cannot be read (" + error.getMessage() + ")", error);
        }
        if (!isChunk(ref, index, piece)) {
            throw new DataError("chunk " + index + " of blob " + Bytes.hex(ref.hash())
                    + ": the stored bytes have changed; provide the blob anew");
        }
        return piece;
    }

    /** Returns whether chunk {@code index} is nothing but zeros, by its hash: such a chunk never travels. */
    public static boolean isZeros(BlobRef ref, long index) {
        return isChunk(ref, index, new byte[chunkLength(ref, index)]);
    }

    static boolean isChunk(BlobRef ref, long index, byte[] piece) {
        int at = (int) index * HASH_BYTES;
        return Arrays.equals(Bytes.hash(piece), Arrays.copyOfRange(ref.chunkHashes(), at, at + HASH_BYTES));
    }
}
