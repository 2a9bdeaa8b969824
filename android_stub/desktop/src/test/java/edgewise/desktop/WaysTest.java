package edgewise.desktop;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import edgewise.device.Agent;
import edgewise.wire.Blobs;
import edgewise.wire.Bytes;
import edgewise.wire.Messages.Abort;
import edgewise.wire.Messages.Accept;
import edgewise.wire.Messages.Assignment;
import edgewise.wire.Messages.BlobRef;
import edgewise.wire.Messages.Decline;
import edgewise.wire.Messages.DiscoveryTerms;
import edgewise.wire.Messages.EvaluationReport;
import edgewise.wire.Messages.Kind;
import edgewise.wire.Messages.Measure;
import edgewise.wire.Messages.PrivacyTerms;
import edgewise.wire.Messages.UploadChunk;
import edgewise.wire.Messages.UploadGrant;
import edgewise.wire.Messages.UploadRequest;
import edgewise.wire.Topics;
import java.io.File;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Collectors;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Other ways than the broker and the coordinator: aggregators, HTTP; other things to ask for: words, private rounds. */
class WaysTest {
    @TempDir
    File folder;

    private Rig rig;
    private Agent agent;
    private final List<String> asked = new ArrayList<>();

    @BeforeEach
    void start() {
        rig = new Rig(folder);
        agent = rig.start();
    }

    @Test
    void anUpdateGoesToTheAggregatorAndAllElseToTheCoordinator() {
        rig.tell(3, rig.assignment().withAggregator("agg-1"));
        rig.until(UploadRequest.class);
        rig.tell(3, UploadGrant.ABSENT.withAttempt(1).withWindow(4));
        rig.until(UploadChunk.class);
        String up = Topics.deviceUp(Rig.FLEET, Rig.DEVICE);
        for (int i = 0; i < rig.said.size(); i++) {
            boolean upload = rig.said.get(i).body() instanceof UploadRequest || rig.said.get(i).body() instanceof UploadChunk;
            if (!rig.saidOn.get(i).endsWith("/state")) assertEquals(upload ? up + "/agg-1" : up, rig.saidOn.get(i));
        }
        assertTrue(rig.saidOn.contains(up + "/agg-1"));
    }

    // HTTP

    private HttpServer serve(String how) throws IOException {
        HttpServer server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        server.createContext("/", exchange -> answer(exchange, how));
        server.start();
        return server;
    }

    private void answer(HttpExchange exchange, String how) throws IOException {
        String path = exchange.getRequestURI().getPath(), range = exchange.getRequestHeaders().getFirst("Range");
        asked.add(path + " " + range);
        byte[] data = path.endsWith(Bytes.hex(rig.graphRef.hash())) ? rig.graph : rig.weights;
        String[] ends = range.substring("bytes=".length()).split("-");
        byte[] piece = Arrays.copyOfRange(data, Integer.parseInt(ends[0]), Integer.parseInt(ends[1]) + 1);
        if (how.equals("corrupt")) piece[piece.length / 2] ^= 1;
        exchange.getResponseHeaders().set("Content-Range", "bytes " + ends[0] + "-" + ends[1] + "/"
                + (how.equals("another") ? 7 : data.length));
        exchange.getResponseHeaders().set("Location", "/elsewhere");
        exchange.sendResponseHeaders(how.equals("moved") ? 302 : 206, piece.length);
        exchange.getResponseBody().write(piece, 0, how.equals("torn") ? piece.length / 3 : piece.length);
        exchange.close();
    }

    private void untilDownloaded() throws InterruptedException {
        for (int i = 0; i < 3000 && rig.last(UploadRequest.class) == null; i++) {
            rig.steps(1);
            rig.serve();
            rig.now += 0.01;
            if (rig.last(UploadRequest.class) == null && i % 4 == 0) Thread.sleep(1);
        }
        assertNotNull(rig.last(UploadRequest.class));
    }

    @Test
    void blobsComeOverHttpAndTheBrokerIsNotAsked() throws Exception {
        HttpServer server = serve("well");
        try {
            rig.tell(4, rig.assignment().withBlobsUrl("http://127.0.0.1:" + server.getAddress().getPort() + "/blobs"));
            untilDownloaded();
            assertFalse(rig.everAsked.stream().anyMatch(topic -> topic.contains("/blob/")));
            assertEquals(2, asked.size()); // a range for each blob, though the weights have many chunks
            assertTrue(asked.get(1).equals("/blobs/" + Bytes.hex(rig.weightsRef.hash()) + " bytes=0-" + (rig.weights.length - 1)));
        } finally {
            server.stop(0);
        }
    }

    @Test
    void aServerThatFailsOrLiesLeavesTheRestToTheBroker() throws Exception {
        for (String how : Arrays.asList("corrupt", "another", "moved", "torn", "gone", "file:///etc")) {
            HttpServer server = serve(how);
            try {
                String url = "http://127.0.0.1:" + server.getAddress().getPort();
                if (how.equals("gone")) server.stop(0);
                rig.everAsked.clear();
                rig.said.clear();
                asked.clear();
                rig.tell(5, rig.assignment().withAttempt(5 + how.length()).withBlobsUrl(how.contains(":") ? how : url));
                untilDownloaded();
                assertTrue(rig.everAsked.stream().anyMatch(topic -> topic.contains("/blob/")), how);
                assertFalse(asked.stream().anyMatch(path -> path.startsWith("/elsewhere")), how); // no redirect is followed
                rig.tell(5, Abort.ABSENT.withAttempt(5 + how.length()));
                rig.steps(2);
                rig.now += 1000;
                edgewise.wire.Files.delete(rig.home.blobs);
                edgewise.wire.Files.makeFolder(rig.home.blobs);
            } finally {
                server.stop(0);
            }
        }
    }

    // Words

    private Assignment discovery(String found, long length, long votes) {
        byte[] data = found.getBytes(StandardCharsets.UTF_8);
        BlobRef ref = Blobs.makeRef(data);
        rig.blobs.put(ref, data);
        return Assignment.ABSENT.withAttempt(1).withKind(Kind.DISCOVER).withWeights(ref).withDeadline(60).withSeed(3)
                .withDiscovery(new DiscoveryTerms(length, votes));
    }

    @Test
    void aDeviceVotesForWhatProlongsTheFoundPrefixesIfItsOwnerLetsIt() {
        rig.tell(6, discovery("s\nt\ny", 2, 4));
        assertTrue(rig.until(Decline.class).reason().contains("does not let it vote"));
        rig.policy = rig.policy.with("max_votes", 2);
        rig.now += 100;
        rig.tell(7, discovery("s\nt\ny", 2, 4));
        EvaluationReport report = rig.until(EvaluationReport.class);
        List<String> votes = report.measures().stream().map(Measure::name).collect(Collectors.toList());
        assertEquals(2, votes.size()); // the owner's limit, not the coordinator's
        assertTrue(votes.stream().allMatch(vote -> vote.length() == 2 && "sty".indexOf(vote.charAt(0)) >= 0), votes.toString());
        assertTrue(report.measures().stream().allMatch(m -> m.value() == 1));
        assertEquals(1, report.examples());
        assertNull(new edgewise.device.LatestModel(rig.home).load()); // no model came with it
        agent = rig.start();
        assertEquals(votes, rig.until(EvaluationReport.class).measures().stream().map(Measure::name).collect(Collectors.toList()));
    }

    // Private rounds

    private Assignment numbered(long number, long separation) {
        return rig.assignment().withEpochs(1).withEncoding("clip-0.5")
                .withPrivacy(new PrivacyTerms("dp-ftrl", 1.5, number, separation, false, 77, 0));
    }

    private void takenOrNot(long round, Assignment offer, String refusal) {
        rig.said.clear();
        rig.tell(round, offer);
        rig.steps(2);
        Decline decline = rig.last(Decline.class);
        if (refusal == null) {
            assertNull(decline, "round " + round + " was declined");
            assertNotNull(rig.last(Accept.class));
            rig.tell(round, Abort.ABSENT.withAttempt(offer.attempt()));
            rig.steps(2);
        } else {
            assertTrue(decline.reason().contains(refusal), decline.reason());
        }
        rig.now += 100;
    }

    @Test
    void roundsOfARunAreKeptApartByTheDevicesOwnLog() {
        takenOrNot(10, numbered(1, 3), null);
        takenOrNot(11, numbered(2, 3), "is 1 after this device's last, expected 3");
        agent = rig.start();
        takenOrNot(12, numbered(3, 3), "is 2 after this device's last, expected 3");
        takenOrNot(13, numbered(1, 3).withAttempt(2), null); // its round was abandoned: nothing was released
        takenOrNot(14, numbered(4, 3), null);
        rig.policy = rig.policy.with("min_separation_rounds", 5);
        takenOrNot(15, numbered(8, 0), "is 4 after this device's last, expected 5");
        takenOrNot(16, numbered(9, 0), null);
        takenOrNot(17, rig.assignment(), "does not number them");
    }

    @Test
    void noMoreRoundsOfARunAreTakenThanAreAgreed() {
        takenOrNot(10, atMost(1, 2), null);
        takenOrNot(11, atMost(2, 2), null);
        agent = rig.start();
        takenOrNot(12, atMost(3, 2), "took part in 2 rounds of the run, at most 2 are agreed");
        takenOrNot(13, atMost(2, 2).withAttempt(2), null); // its round was abandoned: nothing was released
        takenOrNot(14, atMost(3, 0), null);
        rig.policy = rig.policy.with("max_participations", 3);
        takenOrNot(15, atMost(4, 9), "took part in 3 rounds of the run, at most 3 are agreed");
        takenOrNot(16, rig.assignment(), "does not number them");
    }

    private Assignment atMost(long number, long participations) {
        Assignment asked = numbered(number, 0);
        return asked.withPrivacy(asked.privacy().withParticipations(participations));
    }

    @Test
    void noiseIsAskedForAsTheOwnerWishes() {
        rig.policy = rig.policy.with("require_noise", 1);
        takenOrNot(20, rig.assignment(), "noise of 0 times the norm");
        takenOrNot(21, numbered(1, 0).withEncoding("float32"), "noise of 0 times"); // no norm, no promise
        takenOrNot(22, numbered(1, 0).withPrivacy(new PrivacyTerms("gaussian", 0.5, 1, 0, false, 7, 0)), "noise of 0.5 times");
        takenOrNot(23, numbered(2, 0), null);
    }
}
