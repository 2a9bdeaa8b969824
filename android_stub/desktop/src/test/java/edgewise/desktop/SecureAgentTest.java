package edgewise.desktop;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import edgewise.device.Agent;
import edgewise.device.store.ParticipationLog;
import edgewise.device.store.ParticipationLog.Entry;
import edgewise.device.store.ParticipationLog.Outcome;
import edgewise.wire.Blobs;
import edgewise.wire.Bytes;
import edgewise.wire.Files;
import edgewise.wire.Messages.Abort;
import edgewise.wire.Messages.Assignment;
import edgewise.wire.Messages.BlobRef;
import edgewise.wire.Messages.Body;
import edgewise.wire.Messages.Decline;
import edgewise.wire.Messages.ReportAck;
import edgewise.wire.Messages.SecureConsent;
import edgewise.wire.Messages.SecureInbox;
import edgewise.wire.Messages.SecureKeys;
import edgewise.wire.Messages.SecurePledge;
import edgewise.wire.Messages.SecureReveal;
import edgewise.wire.Messages.SecureRoster;
import edgewise.wire.Messages.SecureShares;
import edgewise.wire.Messages.UploadChunk;
import edgewise.wire.Messages.UploadGrant;
import edgewise.wire.Messages.UploadRequest;
import edgewise.wire.secure.Circle;
import java.io.File;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A device in a secure round, undisturbed, killed after every word that it says, and told two things. */
class SecureAgentTest {
    private static final long ROUND = 7;

    @TempDir
    File folder;

    private Rig rig;
    private Agent agent;
    private Circle circle;

    @BeforeEach
    void start() {
        rig = new Rig(folder);
        agent = rig.start();
        circle = new Circle(Rig.FLEET, ROUND);
    }

    private Assignment assignment() {
        return rig.assignment().withEpochs(1).withEncoding("masked").withSecure(Circle.TERMS);
    }

    private Entry entry() {
        try (ParticipationLog records = new ParticipationLog(rig.home.participation, JdbcDatabase::new)) {
            return records.entries(1).get(0);
        }
    }

    private <T extends Body> T next(Class<T> kind, Body told) {
        rig.said.clear();
        if (told != null) rig.tell(ROUND, told);
        return rig.until(kind);
    }

    private <T extends Body> T killed(Class<T> kind) {
        agent = rig.start(); // nothing was closed: the process was killed
        return rig.until(kind);
    }

    private SecureRoster roster(SecureKeys keys) {
        byte[] data = circle.roster(Rig.DEVICE, keys);
        BlobRef ref = Blobs.makeRef(data);
        rig.blobs.put(ref, data);
        return new SecureRoster(1, ref);
    }

    private SecureInbox share() {
        rig.tell(ROUND, assignment());
        return circle.inbox(next(SecureShares.class, roster(rig.until(SecureKeys.class))));
    }

    @Test
    void fromItsKeysToTheSharesThatItOpens() {
        SecureInbox inbox = share();
        byte[] pledge = next(SecurePledge.class, inbox).signature();
        UploadRequest request = rig.until(UploadRequest.class);
        assertEquals("masked", request.encoding());
        assertEquals(1, request.examples()); // of itself a device says nothing
        assertEquals(0, request.steps() + request.loss() + request.seconds());
        UploadChunk chunk = next(UploadChunk.class, UploadGrant.ABSENT.withAttempt(1).withWindow(4));
        assertArrayEquals(request.update().hash(), Bytes.hash(chunk.data()));
        byte[] plain = Files.read(new File(rig.home.session, "update"), 1 << 24);
        assertFalse(new String(chunk.data(), java.nio.charset.StandardCharsets.ISO_8859_1)
                .contains(new String(plain, 0, 40, java.nio.charset.StandardCharsets.ISO_8859_1)));
        ReportAck safe = ReportAck.ABSENT.withAttempt(1).withAccepted(true);
        assertEquals(0, next(SecureConsent.class, safe).signature().length); // a question: who survived?
        SecureConsent consent = next(SecureConsent.class, circle.survivors(1, 2));
        assertEquals(64, consent.signature().length);
        rig.said.clear();
        rig.now += 11;
        rig.steps(2);
        assertArrayEquals(consent.signature(), rig.last(SecureConsent.class).signature()); // said again
        SecureReveal opened = next(SecureReveal.class, circle.quorum(pledge, consent.signature()));
        assertEquals(4 * 33, opened.data().length);
        rig.tell(ROUND, safe);
        rig.steps(2);
        assertFalse(agent.working());
        assertEquals(Outcome.REPORTED, entry().outcome());
        assertEquals(0, rig.home.session.listFiles().length); // the secrets are gone
    }

    @Test
    void killedAfterEveryWordItSaysTheSameAgain() {
        rig.tell(ROUND, assignment());
        SecureKeys keys = rig.until(SecureKeys.class);
        assertArrayEquals(keys.signer(), killed(SecureKeys.class).signer());
        SecureShares shares = next(SecureShares.class, roster(keys));
        assertArrayEquals(shares.data(), killed(SecureShares.class).data());
        SecureInbox inbox = circle.inbox(shares);
        rig.tell(ROUND, inbox);
        rig.steps(2); // one mask of three
        byte[] pledge = killed(SecurePledge.class).signature();
        byte[] masked = rig.until(UploadRequest.class).update().hash();
        assertArrayEquals(masked, killed(UploadRequest.class).update().hash());
        assertArrayEquals(pledge, rig.last(SecurePledge.class).signature());
        ReportAck safe = ReportAck.ABSENT.withAttempt(1).withAccepted(true);
        next(SecureConsent.class, safe);
        assertArrayEquals(masked, killed(UploadRequest.class).update().hash()); // it cannot know any more
        next(SecureConsent.class, safe);
        byte[] consent = next(SecureConsent.class, circle.survivors(1, 2)).signature();
        killed(UploadRequest.class);
        assertArrayEquals(consent, next(SecureConsent.class, circle.survivors(1, 2)).signature());
        byte[] opened = next(SecureReveal.class, circle.quorum(pledge, consent)).data();
        killed(UploadRequest.class);
        assertArrayEquals(opened, next(SecureReveal.class, circle.quorum(pledge, consent)).data());
        rig.tell(ROUND, safe);
        rig.steps(2);
        assertEquals(Outcome.REPORTED, entry().outcome());
    }

    @Test
    void afterEveryReconnectItSaysAgainWhatItSaidLast() {
        rig.tell(ROUND, assignment().withAggregator("agg-1"));
        SecureKeys keys = rig.until(SecureKeys.class);
        assertArrayEquals(keys.mask(), cut(SecureKeys.class).mask());
        SecureShares shares = next(SecureShares.class, roster(keys));
        assertArrayEquals(shares.data(), cut(SecureShares.class).data());
        next(SecurePledge.class, circle.inbox(shares));
        byte[] masked = rig.until(UploadRequest.class).update().hash();
        assertArrayEquals(masked, cut(UploadRequest.class).update().hash());
        assertEquals(1, rig.count(SecurePledge.class));
        String up = edgewise.wire.Topics.deviceUp(Rig.FLEET, Rig.DEVICE); // the masked update alone goes to the aggregator
        for (int i = 0; i < rig.said.size(); i++) {
            if (rig.said.get(i).body() instanceof UploadRequest) assertEquals(up + "/agg-1", rig.saidOn.get(i));
            if (rig.said.get(i).body() instanceof SecurePledge) assertEquals(up, rig.saidOn.get(i));
        }
    }

    private <T extends Body> T cut(Class<T> kind) {
        rig.said.clear();
        rig.events.add(new edgewise.device.transport.Transport.Disconnected("cut"));
        rig.steps(2);
        assertEquals(0, rig.said.size()); // nothing is said into a link that is down
        rig.events.add(new edgewise.device.transport.Transport.Connected());
        T found = rig.until(kind);
        edgewise.wire.Messages.CheckIn in = rig.last(edgewise.wire.Messages.CheckIn.class);
        assertEquals(ROUND, in.resumeRound());
        return found;
    }

    @Test
    void aSecondUnmaskingIsRefusedAlsoByTheNextProcess() {
        byte[] pledge = next(SecurePledge.class, share()).signature();
        rig.until(UploadRequest.class);
        next(SecureConsent.class, ReportAck.ABSENT.withAttempt(1).withAccepted(true));
        next(SecureConsent.class, circle.survivors(1, 2));
        killed(UploadRequest.class);
        rig.said.clear();
        rig.tell(ROUND, circle.survivors(1, 2, 3)); // with another's share opened both ways, its update could be read
        Decline decline = rig.until(Decline.class);
        assertTrue(decline.reason().contains("a second survivors"), decline.reason());
        assertTrue(pledge.length == 64 && rig.count(SecureReveal.class) == 0);
        rig.steps(2);
        assertFalse(agent.working());
    }

    @Test
    void aTornSecretMeansANewOneAndTheRosterOfTheOldOneIsRefused() {
        rig.tell(ROUND, assignment());
        SecureKeys keys = rig.until(SecureKeys.class);
        Files.writeDurably(new File(rig.home.session, "secure"), new byte[] {1, 2, 3});
        assertNotEquals(Bytes.hex(keys.mask()), Bytes.hex(killed(SecureKeys.class).mask()));
        Decline decline = next(Decline.class, roster(keys));
        assertTrue(decline.reason().contains("does not have this device's keys"), decline.reason());
        assertEquals(Outcome.FAILED, entry().outcome());
    }

    @Test
    void theOwnersPolicyIsAskedBeforeAndInTheRound() {
        rig.policy = rig.policy.with("min_cohort", 5);
        assertTrue(next(Decline.class, assignment()).reason().contains("at most 4 devices would take part"));
        rig.policy = rig.policy.with("min_cohort", 0).with("min_threshold", 4);
        rig.now += 100;
        assertTrue(next(Decline.class, assignment().withAttempt(2)).reason().contains("could be of 3 updates"));
        rig.policy = rig.policy.with("min_threshold", 3).with("require_secure_aggregation", 1);
        rig.now += 100;
        assertTrue(next(Decline.class, rig.assignment().withAttempt(3)).reason().contains("secure aggregation"));
    }

    @Test
    void whoseMaskedUpdateCountsStaysToOpenTheSumAndHasReportedHoweverItEnds() {
        next(SecurePledge.class, share());
        rig.until(UploadRequest.class);
        next(SecureConsent.class, ReportAck.ABSENT.withAttempt(1).withAccepted(true));
        rig.now += 290; // behind the assignment's deadline of 600 s there are 300 more
        rig.steps(1);
        assertTrue(agent.working());
        rig.tell(ROUND, Abort.ABSENT.withAttempt(1).withReason("was not needed"));
        rig.steps(2);
        assertEquals(Outcome.REPORTED, entry().outcome());
    }
}
