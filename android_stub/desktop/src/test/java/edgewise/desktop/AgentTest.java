package edgewise.desktop;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import edgewise.device.Agent;
import edgewise.device.DeviceState;
import edgewise.device.LatestModel;
import edgewise.device.Predictor;
import edgewise.device.Trust;
import edgewise.device.store.ParticipationLog;
import edgewise.device.store.ParticipationLog.Entry;
import edgewise.device.store.ParticipationLog.Outcome;
import edgewise.wire.Bytes;
import edgewise.wire.Messages.Abort;
import edgewise.wire.Messages.Accept;
import edgewise.wire.Messages.Assignment;
import edgewise.wire.Messages.BlobChunk;
import edgewise.wire.Messages.BlobRequest;
import edgewise.wire.Messages.CheckIn;
import edgewise.wire.Messages.ChunkAck;
import edgewise.wire.Messages.ComeBackLater;
import edgewise.wire.Messages.Decline;
import edgewise.wire.Messages.Envelope;
import edgewise.wire.Messages.EvaluationReport;
import edgewise.wire.Messages.Kind;
import edgewise.wire.Messages.Range;
import edgewise.wire.Messages.ReportAck;
import edgewise.wire.Messages.UploadChunk;
import edgewise.wire.Messages.UploadGrant;
import edgewise.wire.Messages.UploadRequest;
import edgewise.wire.Topics;
import edgewise.wire.VerifyKey;
import edgewise.wire.codec.Codec;
import java.io.File;
import java.util.Collections;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The agent's session, from check-in to acknowledgement, undisturbed and disturbed, with the real trainer. */
class AgentTest {
    @TempDir
    File folder;

    private Rig rig;
    private Agent agent;

    @BeforeEach
    void start() {
        rig = new Rig(folder);
        agent = rig.start();
    }

    private List<Entry> log() {
        try (ParticipationLog records = new ParticipationLog(rig.home.participation, JdbcDatabase::new)) {
            return records.entries(10);
        }
    }

    private UploadRequest trainToReport(long round) {
        rig.tell(round, rig.assignment());
        return rig.until(UploadRequest.class);
    }

    @Test
    void aRoundFromCheckInToItsAcknowledgement() {
        CheckIn in = rig.until(CheckIn.class);
        assertEquals(20, in.trainExamples());
        assertEquals(5, in.heldOutExamples());
        assertTrue(in.runtime().startsWith("tensorflow-lite"), in.runtime());
        assertEquals(DeviceState.CHECKED_IN, agent.state());
        UploadRequest request = trainToReport(3);
        assertEquals(DeviceState.UPLOADING, agent.state());
        assertEquals(20, request.examples());
        assertEquals("float32", request.encoding());
        assertTrue(request.steps() > 0 && request.loss() > 0);
        rig.tell(3, UploadGrant.ABSENT.withAttempt(1).withWindow(4));
        UploadChunk chunk = rig.until(UploadChunk.class);
        assertEquals(request.update().size(), chunk.data().length);
        assertArrayEquals(request.update().hash(), Bytes.hash(chunk.data()));
        rig.tell(3, ChunkAck.ABSENT.withAttempt(1).withHave(Collections.singletonList(new Range(0, 0))));
        rig.tell(3, ReportAck.ABSENT.withAttempt(1).withAccepted(true).withComeBack(30));
        rig.steps(3);
        assertEquals(DeviceState.IDLE, agent.state());
        Entry entry = log().get(0);
        assertEquals(Outcome.REPORTED, entry.outcome());
        assertTrue(entry.bytesUp() == chunk.data().length && entry.bytesDown() > 0 && entry.norm() > 0);
        assertFalse(new File(rig.home.session, "update").exists());
        // The same message again is not trained again; the model that came with the round serves predictions.
        int accepted = rig.count(Accept.class);
        rig.now += 31;
        rig.steps(2);
        assertEquals(accepted, rig.count(Accept.class));
        try (Predictor predictor = Predictor.open(rig.home, new DesktopRuntime())) {
            assertEquals(3, predictor.suggest("see you", 3).size());
        }
    }

    @Test
    void anEvaluationSendsSumsAndNothingElse() {
        rig.tell(4, rig.assignment().withKind(Kind.EVALUATE));
        EvaluationReport report = rig.until(EvaluationReport.class);
        assertEquals(5, report.examples());
        assertTrue(report.measures().stream().anyMatch(m -> m.name().equals("loss_sum") && m.value() > 0));
        rig.now += 11;
        rig.steps(2);
        assertEquals(2, rig.count(EvaluationReport.class)); // until it is acknowledged
        rig.tell(4, ReportAck.ABSENT.withAttempt(1).withAccepted(true));
        rig.steps(2);
        assertEquals(Outcome.REPORTED, log().get(0).outcome());
    }

    @Test
    void aProcessKilledBeforeItsReportWasAcknowledgedSaysTheSameAgain() {
        UploadRequest first = trainToReport(5);
        agent = rig.start(); // nothing was closed: the process was killed
        UploadRequest again = rig.until(UploadRequest.class);
        assertArrayEquals(first.update().hash(), again.update().hash());
        CheckIn in = rig.last(CheckIn.class);
        assertEquals(5, in.resumeRound());
        assertEquals(1, in.resumeAttempt());
        rig.tell(5, UploadGrant.ABSENT.withAttempt(1).withWindow(1));
        assertArrayEquals(first.update().hash(), Bytes.hash(rig.until(UploadChunk.class).data()));
    }

    @Test
    void aProcessKilledWhileTrainingTrainsToTheSameBits() {
        UploadRequest peaceful = trainToReport(6);
        rig.tell(6, Abort.ABSENT.withAttempt(1));
        rig.steps(2);
        rig.now += 1000;
        rig.tell(6, rig.assignment().withAttempt(2));
        for (int i = 0; i < 500 && agent.state() != DeviceState.TRAINING; i++) {
            rig.steps(1);
            rig.serve();
        }
        agent = rig.start();
        assertArrayEquals(peaceful.update().hash(), rig.until(UploadRequest.class).update().hash());
    }

    /** Answers the device as a coordinator would until it has reported; everything is said twice. */
    private void drive() {
        boolean granted = false, acknowledged = false;
        for (int i = 0; i < 400 && (i < 20 || agent.working()); i++) {
            agent.step(0);
            rig.serve();
            rig.serve();
            for (int n = 0; n < 2 && !granted && rig.last(UploadRequest.class) != null; n++) {
                rig.tell(21, UploadGrant.ABSENT.withAttempt(1).withWindow(4));
            }
            granted = rig.last(UploadRequest.class) != null;
            for (int n = 0; n < 2 && !acknowledged && rig.last(UploadChunk.class) != null; n++) {
                rig.tell(21, ReportAck.ABSENT.withAttempt(1).withAccepted(true).withComeBack(60));
            }
            acknowledged = rig.last(UploadChunk.class) != null;
        }
        assertFalse(agent.working());
    }

    private java.util.Set<String> hashesSaid() {
        java.util.Set<String> found = new java.util.TreeSet<>();
        for (Envelope one : rig.said) {
            if (one.body() instanceof UploadRequest request) found.add(Bytes.hex(request.update().hash()));
            if (one.body() instanceof UploadChunk chunk) found.add(Bytes.hex(Bytes.hash(chunk.data())));
        }
        return found;
    }

    /** Between any two things that the agent asks of the world: its clock, its link, its log. */
    @Test
    void killedAtAnyMomentItEndsInTheSameUpdateAndInOneReport() {
        rig.calls = 0;
        rig.events.add(rig.message(21, rig.assignment()));
        drive();
        java.util.Set<String> expected = hashesSaid();
        int moments = rig.calls, killed = 0;
        assertEquals(1, expected.size());
        for (int moment = 1; moment < moments; moment += Math.max(1, moments / 20)) {
            rig.store.close();
            rig = new Rig(new File(folder, "killed-" + moment));
            agent = rig.start();
            edgewise.device.transport.Transport.Message asked = rig.message(21, rig.assignment());
            rig.calls = 0;
            rig.killAt = moment;
            rig.events.add(asked);
            java.util.Set<String> said = new java.util.TreeSet<>();
            try {
                drive();
            } catch (Rig.Killed gone) {
                killed++;
            }
            rig.killAt = 0;
            said.addAll(hashesSaid());
            agent = rig.start();
            rig.events.add(asked); // the broker does not know whether it was heard
            drive();
            said.addAll(hashesSaid());
            assertEquals(expected, said, "killed at moment " + moment + " of " + moments);
            assertEquals(1, log().stream().filter(e -> e.outcome() == Outcome.REPORTED).count(), "moment " + moment);
        }
        assertTrue(killed >= 15, "killed " + killed + " times");
    }

    /** Links that break all the time, messages lost: it costs time and nothing else. */
    @Test
    void aBadNetworkCostsTimeAndNothingElse() {
        rig.events.add(rig.message(21, rig.assignment()));
        drive();
        java.util.Set<String> expected = hashesSaid();
        for (int seed = 0; seed < 2; seed++) {
            java.util.Random dice = new java.util.Random(seed);
            rig.store.close();
            rig = new Rig(new File(folder, "network-" + seed));
            agent = rig.start();
            rig.tell(21, rig.assignment());
            for (int i = 0; i < 4000 && rig.count(UploadChunk.class) < 1; i++) {
                agent.step(0);
                rig.serve();
                if (dice.nextInt(3) == 0) rig.events.pollLast(); // lost
                if (dice.nextInt(3) == 0 && !rig.events.isEmpty()) rig.events.addLast(rig.events.pollFirst()); // overtaken
                if (dice.nextInt(25) == 0) {
                    rig.events.addLast(new edgewise.device.transport.Transport.Disconnected("cut"));
                    rig.events.addLast(new edgewise.device.transport.Transport.Connected());
                }
                if (dice.nextInt(4) == 0) rig.now += 3;
                if (i % 10 == 0) rig.tell(21, rig.assignment().withDeadline(dice.nextInt(500) + 1)); // the time is counted anew
                if (rig.last(UploadRequest.class) != null && i % 7 == 0) {
                    rig.tell(21, UploadGrant.ABSENT.withAttempt(1).withWindow(1));
                }
            }
            assertEquals(expected, hashesSaid(), "seed " + seed);
        }
    }

    @Test
    void aGraphThatKillsTheProcessIsNotTriedForEver() {
        rig.tell(7, rig.assignment());
        rig.steps(2);
        for (int life = 0; life < 4; life++) {
            for (int i = 0; i < 500 && agent.state() != DeviceState.TRAINING && agent.working(); i++) {
                rig.steps(1);
                rig.serve();
            }
            agent = rig.start();
        }
        assertTrue(log().get(0).reason().contains("3 times"), log().get(0).toString());
        assertEquals(Outcome.FAILED, log().get(0).outcome());
    }

    @Test
    void aTornSessionIsForgottenAndTheDeviceGoesOn() throws Exception {
        byte[] whole = trainToReport(8).update().hash();
        try (java.io.RandomAccessFile file = new java.io.RandomAccessFile(new File(rig.home.session, "update"), "rw")) {
            file.setLength(100);
        }
        agent = rig.start();
        assertArrayEquals(whole, rig.until(UploadRequest.class).update().hash());
        rig.tell(8, UploadGrant.ABSENT.withAttempt(1).withWindow(1));
        assertArrayEquals(whole, Bytes.hash(rig.until(UploadChunk.class).data())); // trained anew: what the disk kept is not sent
        try (java.io.RandomAccessFile file = new java.io.RandomAccessFile(new File(rig.home.session, "assignment"), "rw")) {
            file.setLength(20);
        }
        agent = rig.start();
        assertFalse(agent.working());
        assertEquals(DeviceState.CHECKED_IN, agent.state());
        assertEquals(Outcome.FAILED, log().get(0).outcome());
    }

    @Test
    void corruptChunksAreDroppedAndTheGoodOneIsWaitedFor() {
        rig.tell(9, rig.assignment());
        rig.steps(2);
        assertNotNull(rig.last(Accept.class));
        String topic = rig.topics.stream().filter(t -> t.contains("/blob/")).findFirst().orElseThrow();
        int index = Integer.parseInt(topic.substring(topic.lastIndexOf('/') + 1));
        byte[] hash = topic.contains(Bytes.hex(rig.graphRef.hash())) ? rig.graphRef.hash() : rig.weightsRef.hash();
        rig.deliver(topic, 0, new BlobChunk(hash, index, new byte[] {1, 2, 3}));
        rig.events.add(new edgewise.device.transport.Transport.Message(topic, new byte[] {9, 9, 9}));
        rig.steps(3);
        assertTrue(rig.topics.contains(topic)); // still wanted
        rig.now += 11;
        rig.steps(2);
        assertNotNull(rig.last(BlobRequest.class)); // after a silence the coordinator is asked
        assertNotNull(rig.until(UploadRequest.class));
    }

    @Test
    void onlyWhatTheCoordinatorSignedIsTaken() {
        VerifyKey key = new VerifyKey(Bytes.unhex("03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8"));
        rig.trust = new Trust(key, null, null);
        agent = rig.start();
        for (int i = 0; i < 3; i++) {
            rig.tell(10 + i, rig.assignment().withSignature(new byte[64]));
            rig.steps(2);
        }
        assertNull(rig.last(Accept.class));
        assertEquals(2, rig.count(Decline.class)); // the 1st and 2nd are told of: a flood is not answered by another
        assertTrue(rig.last(Decline.class).reason().contains("did not sign"));
    }

    @Test
    void whatIsNotForThisDeviceIsDropped() {
        rig.deliver(Topics.deviceDown(Rig.FLEET, "another"), 3, rig.assignment());
        rig.deliver(Topics.deviceDown(Rig.FLEET, Rig.DEVICE), 3, CheckIn.ABSENT);
        Envelope foreign = new Envelope("elsewhere", 3, 1, rig.assignment(), 1);
        rig.events.add(new edgewise.device.transport.Transport.Message(
                Topics.deviceDown(Rig.FLEET, Rig.DEVICE), Codec.encode(foreign)));
        rig.steps(5);
        assertFalse(agent.working());
        assertEquals(DeviceState.CHECKED_IN, agent.state());
    }

    @Test
    void aLostConditionStopsTrainingBetweenTwoBatches() {
        rig.tell(13, rig.assignment());
        for (int i = 0; i < 500 && agent.state() != DeviceState.TRAINING; i++) {
            rig.steps(1);
            rig.serve();
        }
        rig.obstacle = "not charging";
        rig.steps(2);
        assertEquals("not charging", rig.last(Decline.class).reason());
        assertEquals(Outcome.DECLINED, log().get(0).outcome());
        rig.now += 100;
        int before = rig.count(CheckIn.class);
        rig.steps(3);
        assertEquals(before, rig.count(CheckIn.class)); // no check-in while a condition stands against it
        rig.obstacle = null;
        rig.now += 100;
        rig.steps(3);
        assertEquals(before + 1, rig.count(CheckIn.class));
    }

    @Test
    void theDeadlineAnAbortAndANewerAssignmentEndTheWork() {
        rig.tell(14, rig.assignment().withDeadline(5));
        rig.until(Accept.class);
        rig.now += 6;
        rig.steps(1);
        assertTrue(rig.last(Decline.class).reason().contains("deadline"));
        rig.tell(15, rig.assignment());
        rig.until(UploadRequest.class);
        rig.tell(16, rig.assignment());
        rig.tell(15, rig.assignment().withAttempt(9)); // older than the one in work
        rig.steps(3);
        assertEquals(16, rig.said.stream().filter(e -> e.body() instanceof Accept).reduce((a, b) -> b).get().round());
        rig.tell(16, Abort.ABSENT.withAttempt(1).withReason("abandoned").withComeBack(7));
        rig.steps(2);
        assertEquals(List.of(Outcome.ABORTED, Outcome.SUPERSEDED, Outcome.EXPIRED),
                log().stream().map(Entry::outcome).toList());
        assertEquals(DeviceState.IDLE, agent.state());
    }

    @Test
    void aRefusalIsToldRecordedAndRepeated() {
        rig.policy = rig.policy.with("max_epochs", 1);
        Assignment asked = rig.assignment();
        rig.tell(17, asked);
        Decline decline = rig.until(Decline.class);
        assertTrue(decline.reason().contains("at most 1"), decline.reason());
        assertEquals(Outcome.DECLINED, log().get(0).outcome());
        rig.tell(18, asked.withGraph(asked.graph().withSize(1)));
        rig.steps(2);
        assertTrue(rig.last(Decline.class).reason().contains("chunk hashes"));
    }

    @Test
    void aDayHasOnlySoManyEpochs() {
        rig.policy = rig.policy.with("max_epochs_day", 3);
        trainToReport(19);
        rig.tell(19, ReportAck.ABSENT.withAttempt(1).withAccepted(true));
        rig.steps(2);
        rig.now += 60;
        rig.tell(20, rig.assignment());
        rig.steps(2);
        assertTrue(rig.last(Decline.class).reason().contains("of the owner's 3 a day 1 are left"));
    }

    @Test
    void pausedItDoesNotOfferItselfAndComesBackWhenTold() {
        rig.tell(0, ComeBackLater.ABSENT.withSeconds(500).withReason("enough"));
        rig.steps(2);
        int before = rig.count(CheckIn.class);
        rig.now += 400;
        rig.steps(2);
        assertEquals(before, rig.count(CheckIn.class));
        rig.tell(0, ComeBackLater.ABSENT);
        rig.steps(3);
        assertEquals(before + 1, rig.count(CheckIn.class));
        assertTrue(rig.home.paused.mkdir());
        rig.now += 500;
        rig.steps(3);
        assertEquals(before + 1, rig.count(CheckIn.class));
        assertNull(new LatestModel(rig.home).load());
    }
}
