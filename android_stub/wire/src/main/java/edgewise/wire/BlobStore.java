package edgewise.wire;

import edgewise.wire.Messages.BlobRef;
import edgewise.wire.errors.DataError;
import edgewise.wire.errors.InputError;
import java.io.File;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashSet;
import java.util.Set;

/** Finished blobs in a folder, each under its hash; whole or not at all, whenever the process is killed. */
public final class BlobStore {
    private final File folder;

    public BlobStore(File folder) {
        this.folder = folder;
    }

    /** Returns where the blob is or would be. */
    public File path(byte[] blobHash) {
        if (blobHash.length != Blobs.HASH_BYTES) {
            throw new InputError("blob hash of " + blobHash.length + " bytes: expected " + Blobs.HASH_BYTES);
        }
        return new File(folder, Bytes.hex(blobHash));
    }

    public boolean has(byte[] blobHash) {
        return path(blobHash).isFile();
    }

    /**
     * Returns the bytes of the blob, checked against its hash.
     *
     * @throws DataError if it is not there, or is damaged; a damaged one is deleted, so that it is fetched again
     */
    public byte[] read(byte[] blobHash) {
        File path = path(blobHash);
        byte[] data = Files.read(path, Blobs.BYTES_MAX);
        if (!Arrays.equals(Bytes.hash(data), blobHash)) {
            path.delete();
            throw new DataError("blob file " + path + ": its bytes have changed; it is deleted, provide the blob anew");
        }
        return data;
    }

    /** Keeps a blob, synced to disk, and returns its reference. */
    public BlobRef put(byte[] data) {
        BlobRef ref = Blobs.makeRef(data);
        try (BlobAssembler assembler = assembler(ref)) {
            for (int i = 0, at = 0; at < data.length; i++, at += ref.chunkBytes()) {
                assembler.add(i, Arrays.copyOfRange(data, at, at + Blobs.chunkLength(ref, i)));
            }
            assembler.finish();
        }
        return ref;
    }

    /** Returns the assembler whose finished blob stands in this store. */
    public BlobAssembler assembler(BlobRef ref) {
        return new BlobAssembler(ref, path(ref.hash()));
    }

    /** Deletes every blob, finished or not, whose hash is not in {@code keep}. */
    public void prune(Collection<byte[]> keep) {
        Set<String> names = new HashSet<>();
        for (byte[] hash : keep) names.add(Bytes.hex(hash));
        File[] files = folder.listFiles();
        if (files == null) return;
        for (File file : files) {
            String name = file.getName().replaceAll("\\.part$", "");
            if (name.matches("[0-9a-f]{64}") && !names.contains(name)) file.delete();
        }
    }
}
