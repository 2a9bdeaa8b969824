package edgewise.device;

import edgewise.wire.Blobs;
import edgewise.wire.Bytes;
import edgewise.wire.Messages.BlobRef;
import edgewise.wire.Messages.Range;
import edgewise.wire.errors.ProtocolError;
import edgewise.wire.errors.UnavailableError;
import java.io.DataInputStream;
import java.io.IOException;
import java.net.HttpURLConnection;
import java.net.URL;
import java.util.List;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.TimeUnit;

/**
 * The missing chunks of one blob over HTTP(S), one range after the other, in a thread of its own. Nothing that comes this
 * way is believed: chunks go through the same hashes as those from the broker. Redirects are not followed, and an answer
 * that is not just the range asked for ends the matter; the broker has the rest.
 */
final class HttpChunks {
    private static final int MILLISECONDS = 10_000; // without a byte: the coordinator is not to be reached this way
    private static final int WAITING = 16; // chunks fetched and not yet taken: 2 MB

    /** A chunk that has come; without data, {@code why} says that no more will. */
    record Chunk(int index, byte[] data, String why) {}

    private final String url;
    private final BlobRef ref;
    private final List<Range> missing;
    private final BlockingQueue<Chunk> come = new ArrayBlockingQueue<>(WAITING);
    private volatile boolean stopped;

    HttpChunks(String url, BlobRef ref, List<Range> missing) {
        this.url = url;
        this.ref = ref;
        this.missing = missing;
        Thread thread = new Thread(this::run, "blobs-http");
        thread.setDaemon(true);
        thread.start();
    }

    /**
     * Returns a chunk that has come, {@code null} if none has since the last time.
     *
     * @throws UnavailableError if the server cannot be reached or does not give what it should
     */
    Chunk take() {
        Chunk one = come.poll();
        if (one != null && one.data() == null) throw new UnavailableError(one.why());
        return one;
    }

    /** Fetches no more. */
    void stop() {
        stopped = true;
    }

    private void run() {
        try {
            for (Range span : missing) if (!fetch(span)) return;
        } catch (IOException | ProtocolError | UnavailableError | ClassCastException | IllegalArgumentException error) {
            String shown = url.length() > 120 ? url.substring(0, 120) : url; // a peer has said it
            put(new Chunk(0, null, "'" + shown + "': no blobs over HTTP (" + error.getMessage() + ")"));
        }
    }

    private boolean fetch(Range span) throws IOException {
        long first = span.first() * ref.chunkBytes();
        long last = span.last() * ref.chunkBytes() + Blobs.chunkLength(ref, span.last()) - 1;
        URL place = new URL(url + "/" + Bytes.hex(ref.hash()));
        if (!place.getProtocol().equals("http") && !place.getProtocol().equals("https")) {
            throw new UnavailableError("'" + place.getProtocol() + "' is neither http nor https");
        }
        HttpURLConnection link = (HttpURLConnection) place.openConnection();
        link.setInstanceFollowRedirects(false);
        link.setUseCaches(false);
        link.setConnectTimeout(MILLISECONDS);
        link.setReadTimeout(MILLISECONDS);
        link.setRequestProperty("Range", "bytes=" + first + "-" + last);
        link.setRequestProperty("Accept-Encoding", "identity"); // Android would ask for gzip
        String expected = "bytes " + first + "-" + last + "/" + ref.size();
        int status = link.getResponseCode();
        boolean whole = status == HttpURLConnection.HTTP_OK && last - first + 1 == ref.size();
        if (!whole && !(status == HttpURLConnection.HTTP_PARTIAL && expected.equals(link.getHeaderField("Content-Range")))) {
            link.disconnect();
            throw new UnavailableError("status " + status + " instead of " + expected);
        }
        try (DataInputStream in = new DataInputStream(link.getInputStream())) {
            for (long index = span.first(); index <= span.last(); index++) {
                byte[] data = new byte[Blobs.chunkLength(ref, index)];
                in.readFully(data);
                if (!put(new Chunk((int) index, data, ""))) return false;
            }
        }
        return true;
    }

    private boolean put(Chunk one) {
        try {
            while (!stopped) if (come.offer(one, 200, TimeUnit.MILLISECONDS)) return true;
        } catch (InterruptedException error) {
            Thread.currentThread().interrupt();
        }
        return false;
    }
}
