package edgewise.wire;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import edgewise.wire.Messages.BlobRef;
import edgewise.wire.Messages.Range;
import edgewise.wire.errors.DataError;
import edgewise.wire.errors.InputError;
import edgewise.wire.errors.ProtocolError;
import java.io.File;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A wrong blob cannot come into being, a torn one is noticed, what was fetched is not fetched again. */
class BlobsTest {
    private static final byte[] BLOB = "abcdefgh".getBytes();

    @TempDir
    File folder;

    @Test
    void chunksComeInAnyOrderAndOnlyOnce() {
        BlobRef ref = Blobs.makeRef(BLOB, 3);
        File path = new File(folder, "blob");
        try (BlobAssembler assembler = new BlobAssembler(ref, path)) {
            assertTrue(assembler.add(2, "gh".getBytes()));
            assertFalse(assembler.add(2, "gh".getBytes()));
            assertEquals(Collections.singletonList(new Range(0, 1)), assembler.missing());
            assertThrows(InputError.class, assembler::finish);
        }
        try (BlobAssembler later = new BlobAssembler(ref, path)) { // another process
            assertEquals(Collections.singletonList(new Range(2, 2)), later.have());
            assertTrue(later.add(0, "abc".getBytes()) && later.add(1, "def".getBytes()));
            assertArrayEquals(BLOB, Files.read(later.finish(), 100));
        }
        assertTrue(new BlobAssembler(ref, path).complete());
        assertArrayEquals("def".getBytes(), Blobs.chunk(path, ref, 1));
    }

    @Test
    void aWrongChunkIsRefusedAndAReferenceThatLiesIsFoundOut() {
        BlobRef ref = Blobs.makeRef(BLOB, 3);
        try (BlobAssembler assembler = new BlobAssembler(ref, new File(folder, "blob"))) {
            assertThrows(ProtocolError.class, () -> assembler.add(0, "abd".getBytes()));
            assertThrows(ProtocolError.class, () -> assembler.add(0, "ab".getBytes()));
            assertThrows(ProtocolError.class, () -> assembler.add(3, "abc".getBytes()));
        }
        BlobRef lie = ref.withHash(new byte[32]);
        try (BlobAssembler assembler = new BlobAssembler(lie, new File(folder, "lie"))) {
            for (int i = 0; i < 3; i++) assembler.add(i, Arrays.copyOfRange(BLOB, 3 * i, Math.min(8, 3 * i + 3)));
            assertThrows(ProtocolError.class, assembler::finish);
        }
        assertFalse(new File(folder, "lie").exists() || new File(folder, "lie.part").exists());
    }

    @Test
    void chunksOfZerosAreThereFromTheStart() {
        BlobRef ref = Blobs.makeRef(new byte[9], 3);
        try (BlobAssembler assembler = new BlobAssembler(ref, new File(folder, "zeros"))) {
            assertTrue(assembler.complete());
            assertArrayEquals(new byte[9], Files.read(assembler.finish(), 9));
        }
    }

    @Test
    void aStoreFindsDamageAndForgetsWhatIsNotKept() throws Exception {
        BlobStore store = new BlobStore(folder);
        BlobRef one = store.put(BLOB), two = store.put(new byte[] {1, 2, 3});
        assertArrayEquals(BLOB, store.read(one.hash()));
        store.prune(Collections.singleton(two.hash()));
        assertFalse(store.has(one.hash()));
        try (java.io.FileOutputStream out = new java.io.FileOutputStream(store.path(two.hash()))) {
            out.write(new byte[] {1, 2, 4});
        }
        assertThrows(DataError.class, () -> store.read(two.hash()));
        assertFalse(store.has(two.hash()));
    }

    @Test
    void aReferenceFromAPeerIsCheckedBeforeAnythingIsAllocated() {
        BlobRef good = Blobs.makeRef(BLOB, 3);
        assertEquals(good, Blobs.checkRef(good, 8));
        for (BlobRef bad : List.of(good.withHash(new byte[31]), good.withChunkBytes(0), good.withChunkBytes(130_049),
                good.withSize(0), good.withSize(-1), good.withSize(9), good.withChunkHashes(new byte[64]),
                good.withSize(1 << 30), good.withChunkBytes(2))) {
            assertThrows(ProtocolError.class, () -> Blobs.checkRef(bad, 8));
        }
    }

    @Test
    void rangesFromAPeerMustAscendWithinTheBlob() {
        ChunkSet set = new ChunkSet(10, List.of(new Range(0, 1), new Range(4, 9)));
        assertEquals(List.of(new Range(2, 3)), set.missing());
        assertEquals(List.of(0, 1, 4), ChunkSet.indices(List.of(new Range(0, 1), new Range(4, 4))));
        for (List<Range> bad : List.of(List.of(new Range(1, 0)), List.of(new Range(0, 10)),
                List.of(new Range(3, 4), new Range(4, 5)), List.of(new Range(0, 0xFFFFFFFFL)))) {
            assertThrows(ProtocolError.class, () -> new ChunkSet(10, bad));
        }
        assertThrows(InputError.class, () -> new ChunkSet(1901));
    }
}
