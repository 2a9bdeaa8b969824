// Made by scripts/generate-java-messages from wire/edgewise_wire/messages.py; do not edit.
package edgewise.wire;

import edgewise.wire.codec.Layout;
import edgewise.wire.codec.Slot;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;

/** The messages of protocol 1; what each field means stands beside the Python dataclasses they are made from. */
public final class Messages {
    public static final String IDENTIFIER = "EWM1";
    public static final int PAYLOAD_BYTES = 131072;
    public static final int CHUNK_BYTES = 130048;
    public static final int DELTAS_MAX = 16;
    public static final int CHUNKS_MAX = 1900;

    /** What an envelope carries. */
    public interface Body {
        /** Returns the table that holds it. */
        Layout<?> layout();
    }

    /** Every body in the order of the union; the first has number 1. */
    public static final List<Layout<?>> BODIES = Collections.unmodifiableList(Arrays.asList(
            Presence.LAYOUT,
            CheckIn.LAYOUT,
            Accept.LAYOUT,
            Decline.LAYOUT,
            Progress.LAYOUT,
            UploadRequest.LAYOUT,
            UploadChunk.LAYOUT,
            EvaluationReport.LAYOUT,
            BlobRequest.LAYOUT,
            Assignment.LAYOUT,
            UploadGrant.LAYOUT,
            ChunkAck.LAYOUT,
            ReportAck.LAYOUT,
            Abort.LAYOUT,
            ComeBackLater.LAYOUT,
            BlobChunk.LAYOUT,
            SecureKeys.LAYOUT,
            SecureShares.LAYOUT,
            SecurePledge.LAYOUT,
            SecureConsent.LAYOUT,
            SecureReveal.LAYOUT,
            SecureRoster.LAYOUT,
            SecureInbox.LAYOUT,
            SecureSurvivors.LAYOUT,
            SecureQuorum.LAYOUT));

    /** Where a device stands in its session (Bonawitz et al. 2019, §3); the numbers are on the wire. */
    public static final class DeviceState {
        public static final int IDLE = 0;
        public static final int ELIGIBLE = 1;
        public static final int CHECKED_IN = 2;
        public static final int ASSIGNED = 3;
        public static final int DOWNLOADING = 4;
        public static final int TRAINING = 5;
        public static final int UPLOADING = 6;
        public static final int REPORTED = 7;

        private DeviceState() {}
    }

    /** What an assignment asks for. */
    public static final class Kind {
        public static final int TRAIN = 0;
        public static final int EVALUATE = 1;
        public static final int DISCOVER = 2;

        private Kind() {}
    }

    /** Names a blob and everything needed to fetch and check it. */
    public record BlobRef(byte[] hash, long size, long chunkBytes, byte[] chunkHashes) {
        public static final BlobRef ABSENT = new BlobRef(new byte[0], 0L, 130048L, new byte[0]);
        public static final Layout<BlobRef> LAYOUT = new Layout<>(
                "BlobRef",
                v -> new BlobRef((byte[]) v[0], (Long) v[1], (Long) v[2], (byte[]) v[3]),
                m -> new Object[] {m.hash(), m.size(), m.chunkBytes(), m.chunkHashes()},
                Slot.octets("hash", 32, 32),
                Slot.scalar("size", Slot.Kind.U64, 0L),
                Slot.scalar("chunk_bytes", Slot.Kind.U32, 130048L),
                Slot.octets("chunk_hashes", 60800, 0));

        public BlobRef withHash(byte[] it) {
            return new BlobRef(it, size, chunkBytes, chunkHashes);
        }

        public BlobRef withSize(long it) {
            return new BlobRef(hash, it, chunkBytes, chunkHashes);
        }

        public BlobRef withChunkBytes(long it) {
            return new BlobRef(hash, size, it, chunkHashes);
        }

        public BlobRef withChunkHashes(byte[] it) {
            return new BlobRef(hash, size, chunkBytes, it);
        }
    }

    /** One sum over a device's examples, by its metric's name ({@code loss_sum}, {@code weight_sum}, {@code top1}, …). */
    public record Measure(String name, double value) {
        public static final Measure ABSENT = new Measure("", 0.0d);
        public static final Layout<Measure> LAYOUT = new Layout<>(
                "Measure",
                v -> new Measure((String) v[0], (Double) v[1]),
                m -> new Object[] {m.name(), m.value()},
                Slot.utf8("name", 64),
                Slot.scalar("value", Slot.Kind.F64, 0.0d));

        public Measure withName(String it) {
            return new Measure(it, value);
        }

        public Measure withValue(double it) {
            return new Measure(name, it);
        }
    }

    /** Chunks {@code first} to {@code last}, both included. */
    public record Range(long first, long last) {
        public static final Range ABSENT = new Range(0L, 0L);
        public static final Layout<Range> LAYOUT = new Layout<>(
                "Range",
                v -> new Range((Long) v[0], (Long) v[1]),
                m -> new Object[] {m.first(), m.last()},
                Slot.scalar("first", Slot.Kind.U32, 0L),
                Slot.scalar("last", Slot.Kind.U32, 0L));

        public Range withFirst(long it) {
            return new Range(it, last);
        }

        public Range withLast(long it) {
            return new Range(first, it);
        }
    }

    /** A step from weights that a device may have to newer ones: those with the hash {@code base}, plus what {@code blob} encodes. */
    public record Delta(byte[] base, BlobRef blob, String encoding) {
        public static final Delta ABSENT = new Delta(new byte[0], BlobRef.ABSENT, "");
        public static final Layout<Delta> LAYOUT = new Layout<>(
                "Delta",
                v -> new Delta((byte[]) v[0], (BlobRef) v[1], (String) v[2]),
                m -> new Object[] {m.base(), m.blob(), m.encoding()},
                Slot.octets("base", 32, 0),
                Slot.table("blob", BlobRef.LAYOUT, BlobRef.ABSENT),
                Slot.utf8("encoding", 64));

        public Delta withBase(byte[] it) {
            return new Delta(it, blob, encoding);
        }

        public Delta withBlob(BlobRef it) {
            return new Delta(base, it, encoding);
        }

        public Delta withEncoding(String it) {
            return new Delta(base, blob, it);
        }
    }

    /** How a round's updates become words that are masked and summed ({@code edgewise_wire.secure.fixed_point}). */
    public record SecureTerms(long cohort, long least, int valueBits, double range, long weightMax, double noise, double clip) {
        public static final SecureTerms ABSENT = new SecureTerms(0L, 0L, 0, 0.0d, 0L, 0.0d, 0.0d);
        public static final Layout<SecureTerms> LAYOUT = new Layout<>(
                "SecureTerms",
                v -> new SecureTerms((Long) v[0], (Long) v[1], (Integer) v[2], (Double) v[3], (Long) v[4], (Double) v[5], (Double) v[6]),
                m -> new Object[] {m.cohort(), m.least(), m.valueBits(), m.range(), m.weightMax(), m.noise(), m.clip()},
                Slot.scalar("cohort", Slot.Kind.U32, 0L),
                Slot.scalar("least", Slot.Kind.U32, 0L),
                Slot.scalar("value_bits", Slot.Kind.U8, 0),
                Slot.scalar("range", Slot.Kind.F64, 0.0d),
                Slot.scalar("weight_max", Slot.Kind.U32, 0L),
                Slot.scalar("noise", Slot.Kind.F64, 0.0d),
                Slot.scalar("clip", Slot.Kind.F64, 0.0d));

        public SecureTerms withCohort(long it) {
            return new SecureTerms(it, least, valueBits, range, weightMax, noise, clip);
        }

        public SecureTerms withLeast(long it) {
            return new SecureTerms(cohort, it, valueBits, range, weightMax, noise, clip);
        }

        public SecureTerms withValueBits(int it) {
            return new SecureTerms(cohort, least, it, range, weightMax, noise, clip);
        }

        public SecureTerms withRange(double it) {
            return new SecureTerms(cohort, least, valueBits, it, weightMax, noise, clip);
        }

        public SecureTerms withWeightMax(long it) {
            return new SecureTerms(cohort, least, valueBits, range, it, noise, clip);
        }

        public SecureTerms withNoise(double it) {
            return new SecureTerms(cohort, least, valueBits, range, weightMax, it, clip);
        }

        public SecureTerms withClip(double it) {
            return new SecureTerms(cohort, least, valueBits, range, weightMax, noise, it);
        }
    }

    /** What a training round promises a device of its privacy, and what it asks for it; all absent where it has none. */
    public record PrivacyTerms(String mechanism, double noiseMultiplier, long number, long separation, boolean askWithinNorm, long run, long participations) {
        public static final PrivacyTerms ABSENT = new PrivacyTerms("", 0.0d, 0L, 0L, false, 0L, 0L);
        public static final Layout<PrivacyTerms> LAYOUT = new Layout<>(
                "PrivacyTerms",
                v -> new PrivacyTerms((String) v[0], (Double) v[1], (Long) v[2], (Long) v[3], (Boolean) v[4], (Long) v[5], (Long) v[6]),
                m -> new Object[] {m.mechanism(), m.noiseMultiplier(), m.number(), m.separation(), m.askWithinNorm(), m.run(), m.participations()},
                Slot.utf8("mechanism", 64),
                Slot.scalar("noise_multiplier", Slot.Kind.F64, 0.0d),
                Slot.scalar("number", Slot.Kind.U64, 0L),
                Slot.scalar("separation", Slot.Kind.U32, 0L),
                Slot.scalar("ask_within_norm", Slot.Kind.BOOL, false),
                Slot.scalar("run", Slot.Kind.U64, 0L),
                Slot.scalar("participations", Slot.Kind.U32, 0L));

        public PrivacyTerms withMechanism(String it) {
            return new PrivacyTerms(it, noiseMultiplier, number, separation, askWithinNorm, run, participations);
        }

        public PrivacyTerms withNoiseMultiplier(double it) {
            return new PrivacyTerms(mechanism, it, number, separation, askWithinNorm, run, participations);
        }

        public PrivacyTerms withNumber(long it) {
            return new PrivacyTerms(mechanism, noiseMultiplier, it, separation, askWithinNorm, run, participations);
        }

        public PrivacyTerms withSeparation(long it) {
            return new PrivacyTerms(mechanism, noiseMultiplier, number, it, askWithinNorm, run, participations);
        }

        public PrivacyTerms withAskWithinNorm(boolean it) {
            return new PrivacyTerms(mechanism, noiseMultiplier, number, separation, it, run, participations);
        }

        public PrivacyTerms withRun(long it) {
            return new PrivacyTerms(mechanism, noiseMultiplier, number, separation, askWithinNorm, it, participations);
        }

        public PrivacyTerms withParticipations(long it) {
            return new PrivacyTerms(mechanism, noiseMultiplier, number, separation, askWithinNorm, run, it);
        }
    }

    /** What a round that looks for words asks: at most {@code votes} prefixes of the device's words, of {@code length} characters. */
    public record DiscoveryTerms(long length, long votes) {
        public static final DiscoveryTerms ABSENT = new DiscoveryTerms(0L, 0L);
        public static final Layout<DiscoveryTerms> LAYOUT = new Layout<>(
                "DiscoveryTerms",
                v -> new DiscoveryTerms((Long) v[0], (Long) v[1]),
                m -> new Object[] {m.length(), m.votes()},
                Slot.scalar("length", Slot.Kind.U32, 0L),
                Slot.scalar("votes", Slot.Kind.U32, 0L));

        public DiscoveryTerms withLength(long it) {
            return new DiscoveryTerms(it, votes);
        }

        public DiscoveryTerms withVotes(long it) {
            return new DiscoveryTerms(length, it);
        }
    }

    /** Retained on a device's {@code state} topic; its last will is the same with {@code online} false. */
    public record Presence(boolean online, long session) implements Body {
        public static final Presence ABSENT = new Presence(false, 0L);
        public static final Layout<Presence> LAYOUT = new Layout<>(
                "Presence",
                v -> new Presence((Boolean) v[0], (Long) v[1]),
                m -> new Object[] {m.online(), m.session()},
                Slot.scalar("online", Slot.Kind.BOOL, false),
                Slot.scalar("session", Slot.Kind.U64, 0L));

        @Override
        public Layout<Presence> layout() {
            return LAYOUT;
        }

        public Presence withOnline(boolean it) {
            return new Presence(it, session);
        }

        public Presence withSession(long it) {
            return new Presence(online, it);
        }
    }

    /** A device is eligible and offers itself. {@code session} changes whenever its process starts anew. */
    public record CheckIn(long session, byte[] graphHash, long trainExamples, long heldOutExamples, String runtime, String software, long resumeRound, long resumeAttempt) implements Body {
        public static final CheckIn ABSENT = new CheckIn(0L, new byte[0], 0L, 0L, "", "", 0L, 0L);
        public static final Layout<CheckIn> LAYOUT = new Layout<>(
                "CheckIn",
                v -> new CheckIn((Long) v[0], (byte[]) v[1], (Long) v[2], (Long) v[3], (String) v[4], (String) v[5], (Long) v[6], (Long) v[7]),
                m -> new Object[] {m.session(), m.graphHash(), m.trainExamples(), m.heldOutExamples(), m.runtime(), m.software(), m.resumeRound(), m.resumeAttempt()},
                Slot.scalar("session", Slot.Kind.U64, 0L),
                Slot.octets("graph_hash", 32, 0),
                Slot.scalar("train_examples", Slot.Kind.U32, 0L),
                Slot.scalar("held_out_examples", Slot.Kind.U32, 0L),
                Slot.utf8("runtime", 64),
                Slot.utf8("software", 64),
                Slot.scalar("resume_round", Slot.Kind.U64, 0L),
                Slot.scalar("resume_attempt", Slot.Kind.U32, 0L));

        @Override
        public Layout<CheckIn> layout() {
            return LAYOUT;
        }

        public CheckIn withSession(long it) {
            return new CheckIn(it, graphHash, trainExamples, heldOutExamples, runtime, software, resumeRound, resumeAttempt);
        }

        public CheckIn withGraphHash(byte[] it) {
            return new CheckIn(session, it, trainExamples, heldOutExamples, runtime, software, resumeRound, resumeAttempt);
        }

        public CheckIn withTrainExamples(long it) {
            return new CheckIn(session, graphHash, it, heldOutExamples, runtime, software, resumeRound, resumeAttempt);
        }

        public CheckIn withHeldOutExamples(long it) {
            return new CheckIn(session, graphHash, trainExamples, it, runtime, software, resumeRound, resumeAttempt);
        }

        public CheckIn withRuntime(String it) {
            return new CheckIn(session, graphHash, trainExamples, heldOutExamples, it, software, resumeRound, resumeAttempt);
        }

        public CheckIn withSoftware(String it) {
            return new CheckIn(session, graphHash, trainExamples, heldOutExamples, runtime, it, resumeRound, resumeAttempt);
        }

        public CheckIn withResumeRound(long it) {
            return new CheckIn(session, graphHash, trainExamples, heldOutExamples, runtime, software, it, resumeAttempt);
        }

        public CheckIn withResumeAttempt(long it) {
            return new CheckIn(session, graphHash, trainExamples, heldOutExamples, runtime, software, resumeRound, it);
        }
    }

    /** The device takes the assignment. */
    public record Accept(long attempt) implements Body {
        public static final Accept ABSENT = new Accept(0L);
        public static final Layout<Accept> LAYOUT = new Layout<>(
                "Accept",
                v -> new Accept((Long) v[0]),
                m -> new Object[] {m.attempt()},
                Slot.scalar("attempt", Slot.Kind.U32, 0L));

        @Override
        public Layout<Accept> layout() {
            return LAYOUT;
        }

        public Accept withAttempt(long it) {
            return new Accept(it);
        }
    }

    /** The device does not take the assignment, or gives it up; {@code reason} says why. */
    public record Decline(long attempt, String reason) implements Body {
        public static final Decline ABSENT = new Decline(0L, "");
        public static final Layout<Decline> LAYOUT = new Layout<>(
                "Decline",
                v -> new Decline((Long) v[0], (String) v[1]),
                m -> new Object[] {m.attempt(), m.reason()},
                Slot.scalar("attempt", Slot.Kind.U32, 0L),
                Slot.utf8("reason", 512));

        @Override
        public Layout<Decline> layout() {
            return LAYOUT;
        }

        public Decline withAttempt(long it) {
            return new Decline(it, reason);
        }

        public Decline withReason(String it) {
            return new Decline(attempt, it);
        }
    }

    /** How far the device is: {@code done} of {@code total} chunks or steps in {@code state}. */
    public record Progress(long attempt, int state, long done, long total, float loss) implements Body {
        public static final Progress ABSENT = new Progress(0L, 0, 0L, 0L, 0.0f);
        public static final Layout<Progress> LAYOUT = new Layout<>(
                "Progress",
                v -> new Progress((Long) v[0], (Integer) v[1], (Long) v[2], (Long) v[3], (Float) v[4]),
                m -> new Object[] {m.attempt(), m.state(), m.done(), m.total(), m.loss()},
                Slot.scalar("attempt", Slot.Kind.U32, 0L),
                Slot.scalar("state", Slot.Kind.U8, 0),
                Slot.scalar("done", Slot.Kind.U32, 0L),
                Slot.scalar("total", Slot.Kind.U32, 0L),
                Slot.scalar("loss", Slot.Kind.F32, 0.0f));

        @Override
        public Layout<Progress> layout() {
            return LAYOUT;
        }

        public Progress withAttempt(long it) {
            return new Progress(it, state, done, total, loss);
        }

        public Progress withState(int it) {
            return new Progress(attempt, it, done, total, loss);
        }

        public Progress withDone(long it) {
            return new Progress(attempt, state, it, total, loss);
        }

        public Progress withTotal(long it) {
            return new Progress(attempt, state, done, it, loss);
        }

        public Progress withLoss(float it) {
            return new Progress(attempt, state, done, total, it);
        }
    }

    /** The device has an update and asks for a slot to send it. */
    public record UploadRequest(long attempt, BlobRef update, long examples, float loss, long steps, float seconds, String encoding, boolean withinNorm) implements Body {
        public static final UploadRequest ABSENT = new UploadRequest(0L, BlobRef.ABSENT, 0L, 0.0f, 0L, 0.0f, "", false);
        public static final Layout<UploadRequest> LAYOUT = new Layout<>(
                "UploadRequest",
                v -> new UploadRequest((Long) v[0], (BlobRef) v[1], (Long) v[2], (Float) v[3], (Long) v[4], (Float) v[5], (String) v[6], (Boolean) v[7]),
                m -> new Object[] {m.attempt(), m.update(), m.examples(), m.loss(), m.steps(), m.seconds(), m.encoding(), m.withinNorm()},
                Slot.scalar("attempt", Slot.Kind.U32, 0L),
                Slot.table("update", BlobRef.LAYOUT, BlobRef.ABSENT),
                Slot.scalar("examples", Slot.Kind.U64, 0L),
                Slot.scalar("loss", Slot.Kind.F32, 0.0f),
                Slot.scalar("steps", Slot.Kind.U32, 0L),
                Slot.scalar("seconds", Slot.Kind.F32, 0.0f),
                Slot.utf8("encoding", 64),
                Slot.scalar("within_norm", Slot.Kind.BOOL, false));

        @Override
        public Layout<UploadRequest> layout() {
            return LAYOUT;
        }

        public UploadRequest withAttempt(long it) {
            return new UploadRequest(it, update, examples, loss, steps, seconds, encoding, withinNorm);
        }

        public UploadRequest withUpdate(BlobRef it) {
            return new UploadRequest(attempt, it, examples, loss, steps, seconds, encoding, withinNorm);
        }

        public UploadRequest withExamples(long it) {
            return new UploadRequest(attempt, update, it, loss, steps, seconds, encoding, withinNorm);
        }

        public UploadRequest withLoss(float it) {
            return new UploadRequest(attempt, update, examples, it, steps, seconds, encoding, withinNorm);
        }

        public UploadRequest withSteps(long it) {
            return new UploadRequest(attempt, update, examples, loss, it, seconds, encoding, withinNorm);
        }

        public UploadRequest withSeconds(float it) {
            return new UploadRequest(attempt, update, examples, loss, steps, it, encoding, withinNorm);
        }

        public UploadRequest withEncoding(String it) {
            return new UploadRequest(attempt, update, examples, loss, steps, seconds, it, withinNorm);
        }

        public UploadRequest withWithinNorm(boolean it) {
            return new UploadRequest(attempt, update, examples, loss, steps, seconds, encoding, it);
        }
    }

    /** Chunk {@code index} of the update of (round, device, attempt). */
    public record UploadChunk(long attempt, long index, byte[] data) implements Body {
        public static final UploadChunk ABSENT = new UploadChunk(0L, 0L, new byte[0]);
        public static final Layout<UploadChunk> LAYOUT = new Layout<>(
                "UploadChunk",
                v -> new UploadChunk((Long) v[0], (Long) v[1], (byte[]) v[2]),
                m -> new Object[] {m.attempt(), m.index(), m.data()},
                Slot.scalar("attempt", Slot.Kind.U32, 0L),
                Slot.scalar("index", Slot.Kind.U32, 0L),
                Slot.octets("data", 130048, 0));

        @Override
        public Layout<UploadChunk> layout() {
            return LAYOUT;
        }

        public UploadChunk withAttempt(long it) {
            return new UploadChunk(it, index, data);
        }

        public UploadChunk withIndex(long it) {
            return new UploadChunk(attempt, it, data);
        }

        public UploadChunk withData(byte[] it) {
            return new UploadChunk(attempt, index, it);
        }
    }

    /** Sums over a device's held-out examples; never the examples. */
    public record EvaluationReport(long attempt, long examples, List<Measure> measures) implements Body {
        public static final EvaluationReport ABSENT = new EvaluationReport(0L, 0L, Collections.emptyList());
        public static final Layout<EvaluationReport> LAYOUT = new Layout<>(
                "EvaluationReport",
                v -> new EvaluationReport((Long) v[0], (Long) v[1], cast(v[2])),
                m -> new Object[] {m.attempt(), m.examples(), m.measures()},
                Slot.scalar("attempt", Slot.Kind.U32, 0L),
                Slot.scalar("examples", Slot.Kind.U64, 0L),
                Slot.tables("measures", Measure.LAYOUT, 64));

        @Override
        public Layout<EvaluationReport> layout() {
            return LAYOUT;
        }

        public EvaluationReport withAttempt(long it) {
            return new EvaluationReport(it, examples, measures);
        }

        public EvaluationReport withExamples(long it) {
            return new EvaluationReport(attempt, it, measures);
        }

        public EvaluationReport withMeasures(List<Measure> it) {
            return new EvaluationReport(attempt, examples, it);
        }
    }

    /** The broker did not have these chunks; the coordinator publishes them again. */
    public record BlobRequest(byte[] hash, List<Range> missing) implements Body {
        public static final BlobRequest ABSENT = new BlobRequest(new byte[0], Collections.emptyList());
        public static final Layout<BlobRequest> LAYOUT = new Layout<>(
                "BlobRequest",
                v -> new BlobRequest((byte[]) v[0], cast(v[1])),
                m -> new Object[] {m.hash(), m.missing()},
                Slot.octets("hash", 32, 32),
                Slot.tables("missing", Range.LAYOUT, 1900));

        @Override
        public Layout<BlobRequest> layout() {
            return LAYOUT;
        }

        public BlobRequest withHash(byte[] it) {
            return new BlobRequest(it, missing);
        }

        public BlobRequest withMissing(List<Range> it) {
            return new BlobRequest(hash, it);
        }
    }

    /** What the coordinator asks of a device in a round. */
    public record Assignment(long attempt, int kind, BlobRef graph, BlobRef weights, long version, long epochs, float learningRate, long maxExamples, long seed, float deadline, float mu, String encoding, byte[] signature, String correction, BlobRef control, long controlRound, List<Delta> deltas, String blobsUrl, SecureTerms secure, String aggregator, PrivacyTerms privacy, DiscoveryTerms discovery) implements Body {
        public static final Assignment ABSENT = new Assignment(0L, 0, BlobRef.ABSENT, BlobRef.ABSENT, 0L, 1L, 0.0f, 0L, 0L, 0.0f, 0.0f, "", new byte[0], "", BlobRef.ABSENT, 0L, Collections.emptyList(), "", SecureTerms.ABSENT, "", PrivacyTerms.ABSENT, DiscoveryTerms.ABSENT);
        public static final Layout<Assignment> LAYOUT = new Layout<>(
                "Assignment",
                v -> new Assignment((Long) v[0], (Integer) v[1], (BlobRef) v[2], (BlobRef) v[3], (Long) v[4], (Long) v[5], (Float) v[6], (Long) v[7], (Long) v[8], (Float) v[9], (Float) v[10], (String) v[11], (byte[]) v[12], (String) v[13], (BlobRef) v[14], (Long) v[15], cast(v[16]), (String) v[17], (SecureTerms) v[18], (String) v[19], (PrivacyTerms) v[20], (DiscoveryTerms) v[21]),
                m -> new Object[] {m.attempt(), m.kind(), m.graph(), m.weights(), m.version(), m.epochs(), m.learningRate(), m.maxExamples(), m.seed(), m.deadline(), m.mu(), m.encoding(), m.signature(), m.correction(), m.control(), m.controlRound(), m.deltas(), m.blobsUrl(), m.secure(), m.aggregator(), m.privacy(), m.discovery()},
                Slot.scalar("attempt", Slot.Kind.U32, 0L),
                Slot.scalar("kind", Slot.Kind.U8, 0),
                Slot.table("graph", BlobRef.LAYOUT, BlobRef.ABSENT),
                Slot.table("weights", BlobRef.LAYOUT, BlobRef.ABSENT),
                Slot.scalar("version", Slot.Kind.U64, 0L),
                Slot.scalar("epochs", Slot.Kind.U32, 1L),
                Slot.scalar("learning_rate", Slot.Kind.F32, 0.0f),
                Slot.scalar("max_examples", Slot.Kind.U32, 0L),
                Slot.scalar("seed", Slot.Kind.U64, 0L),
                Slot.scalar("deadline", Slot.Kind.F32, 0.0f),
                Slot.scalar("mu", Slot.Kind.F32, 0.0f),
                Slot.utf8("encoding", 64),
                Slot.octets("signature", 64, 0),
                Slot.utf8("correction", 64),
                Slot.table("control", BlobRef.LAYOUT, BlobRef.ABSENT),
                Slot.scalar("control_round", Slot.Kind.U64, 0L),
                Slot.tables("deltas", Delta.LAYOUT, 16),
                Slot.utf8("blobs_url", 256),
                Slot.table("secure", SecureTerms.LAYOUT, SecureTerms.ABSENT),
                Slot.utf8("aggregator", 64),
                Slot.table("privacy", PrivacyTerms.LAYOUT, PrivacyTerms.ABSENT),
                Slot.table("discovery", DiscoveryTerms.LAYOUT, DiscoveryTerms.ABSENT));

        @Override
        public Layout<Assignment> layout() {
            return LAYOUT;
        }

        public Assignment withAttempt(long it) {
            return new Assignment(it, kind, graph, weights, version, epochs, learningRate, maxExamples, seed, deadline, mu, encoding, signature, correction, control, controlRound, deltas, blobsUrl, secure, aggregator, privacy, discovery);
        }

        public Assignment withKind(int it) {
            return new Assignment(attempt, it, graph, weights, version, epochs, learningRate, maxExamples, seed, deadline, mu, encoding, signature, correction, control, controlRound, deltas, blobsUrl, secure, aggregator, privacy, discovery);
        }

        public Assignment withGraph(BlobRef it) {
            return new Assignment(attempt, kind, it, weights, version, epochs, learningRate, maxExamples, seed, deadline, mu, encoding, signature, correction, control, controlRound, deltas, blobsUrl, secure, aggregator, privacy, discovery);
        }

        public Assignment withWeights(BlobRef it) {
            return new Assignment(attempt, kind, graph, it, version, epochs, learningRate, maxExamples, seed, deadline, mu, encoding, signature, correction, control, controlRound, deltas, blobsUrl, secure, aggregator, privacy, discovery);
        }

        public Assignment withVersion(long it) {
            return new Assignment(attempt, kind, graph, weights, it, epochs, learningRate, maxExamples, seed, deadline, mu, encoding, signature, correction, control, controlRound, deltas, blobsUrl, secure, aggregator, privacy, discovery);
        }

        public Assignment withEpochs(long it) {
            return new Assignment(attempt, kind, graph, weights, version, it, learningRate, maxExamples, seed, deadline, mu, encoding, signature, correction, control, controlRound, deltas, blobsUrl, secure, aggregator, privacy, discovery);
        }

        public Assignment withLearningRate(float it) {
            return new Assignment(attempt, kind, graph, weights, version, epochs, it, maxExamples, seed, deadline, mu, encoding, signature, correction, control, controlRound, deltas, blobsUrl, secure, aggregator, privacy, discovery);
        }

        public Assignment withMaxExamples(long it) {
            return new Assignment(attempt, kind, graph, weights, version, epochs, learningRate, it, seed, deadline, mu, encoding, signature, correction, control, controlRound, deltas, blobsUrl, secure, aggregator, privacy, discovery);
        }

        public Assignment withSeed(long it) {
            return new Assignment(attempt, kind, graph, weights, version, epochs, learningRate, maxExamples, it, deadline, mu, encoding, signature, correction, control, controlRound, deltas, blobsUrl, secure, aggregator, privacy, discovery);
        }

        public Assignment withDeadline(float it) {
            return new Assignment(attempt, kind, graph, weights, version, epochs, learningRate, maxExamples, seed, it, mu, encoding, signature, correction, control, controlRound, deltas, blobsUrl, secure, aggregator, privacy, discovery);
        }

        public Assignment withMu(float it) {
            return new Assignment(attempt, kind, graph, weights, version, epochs, learningRate, maxExamples, seed, deadline, it, encoding, signature, correction, control, controlRound, deltas, blobsUrl, secure, aggregator, privacy, discovery);
        }

        public Assignment withEncoding(String it) {
            return new Assignment(attempt, kind, graph, weights, version, epochs, learningRate, maxExamples, seed, deadline, mu, it, signature, correction, control, controlRound, deltas, blobsUrl, secure, aggregator, privacy, discovery);
        }

        public Assignment withSignature(byte[] it) {
            return new Assignment(attempt, kind, graph, weights, version, epochs, learningRate, maxExamples, seed, deadline, mu, encoding, it, correction, control, controlRound, deltas, blobsUrl, secure, aggregator, privacy, discovery);
        }

        public Assignment withCorrection(String it) {
            return new Assignment(attempt, kind, graph, weights, version, epochs, learningRate, maxExamples, seed, deadline, mu, encoding, signature, it, control, controlRound, deltas, blobsUrl, secure, aggregator, privacy, discovery);
        }

        public Assignment withControl(BlobRef it) {
            return new Assignment(attempt, kind, graph, weights, version, epochs, learningRate, maxExamples, seed, deadline, mu, encoding, signature, correction, it, controlRound, deltas, blobsUrl, secure, aggregator, privacy, discovery);
        }

        public Assignment withControlRound(long it) {
            return new Assignment(attempt, kind, graph, weights, version, epochs, learningRate, maxExamples, seed, deadline, mu, encoding, signature, correction, control, it, deltas, blobsUrl, secure, aggregator, privacy, discovery);
        }

        public Assignment withDeltas(List<Delta> it) {
            return new Assignment(attempt, kind, graph, weights, version, epochs, learningRate, maxExamples, seed, deadline, mu, encoding, signature, correction, control, controlRound, it, blobsUrl, secure, aggregator, privacy, discovery);
        }

        public Assignment withBlobsUrl(String it) {
            return new Assignment(attempt, kind, graph, weights, version, epochs, learningRate, maxExamples, seed, deadline, mu, encoding, signature, correction, control, controlRound, deltas, it, secure, aggregator, privacy, discovery);
        }

        public Assignment withSecure(SecureTerms it) {
            return new Assignment(attempt, kind, graph, weights, version, epochs, learningRate, maxExamples, seed, deadline, mu, encoding, signature, correction, control, controlRound, deltas, blobsUrl, it, aggregator, privacy, discovery);
        }

        public Assignment withAggregator(String it) {
            return new Assignment(attempt, kind, graph, weights, version, epochs, learningRate, maxExamples, seed, deadline, mu, encoding, signature, correction, control, controlRound, deltas, blobsUrl, secure, it, privacy, discovery);
        }

        public Assignment withPrivacy(PrivacyTerms it) {
            return new Assignment(attempt, kind, graph, weights, version, epochs, learningRate, maxExamples, seed, deadline, mu, encoding, signature, correction, control, controlRound, deltas, blobsUrl, secure, aggregator, it, discovery);
        }

        public Assignment withDiscovery(DiscoveryTerms it) {
            return new Assignment(attempt, kind, graph, weights, version, epochs, learningRate, maxExamples, seed, deadline, mu, encoding, signature, correction, control, controlRound, deltas, blobsUrl, secure, aggregator, privacy, it);
        }
    }

    /** A slot is open: send what is not in {@code have}, keeping at most {@code window} chunks unacknowledged. */
    public record UploadGrant(long attempt, int window, List<Range> have) implements Body {
        public static final UploadGrant ABSENT = new UploadGrant(0L, 0, Collections.emptyList());
        public static final Layout<UploadGrant> LAYOUT = new Layout<>(
                "UploadGrant",
                v -> new UploadGrant((Long) v[0], (Integer) v[1], cast(v[2])),
                m -> new Object[] {m.attempt(), m.window(), m.have()},
                Slot.scalar("attempt", Slot.Kind.U32, 0L),
                Slot.scalar("window", Slot.Kind.U16, 0),
                Slot.tables("have", Range.LAYOUT, 1900));

        @Override
        public Layout<UploadGrant> layout() {
            return LAYOUT;
        }

        public UploadGrant withAttempt(long it) {
            return new UploadGrant(it, window, have);
        }

        public UploadGrant withWindow(int it) {
            return new UploadGrant(attempt, it, have);
        }

        public UploadGrant withHave(List<Range> it) {
            return new UploadGrant(attempt, window, it);
        }
    }

    /** The chunks that the coordinator holds so far. */
    public record ChunkAck(long attempt, List<Range> have) implements Body {
        public static final ChunkAck ABSENT = new ChunkAck(0L, Collections.emptyList());
        public static final Layout<ChunkAck> LAYOUT = new Layout<>(
                "ChunkAck",
                v -> new ChunkAck((Long) v[0], cast(v[1])),
                m -> new Object[] {m.attempt(), m.have()},
                Slot.scalar("attempt", Slot.Kind.U32, 0L),
                Slot.tables("have", Range.LAYOUT, 1900));

        @Override
        public Layout<ChunkAck> layout() {
            return LAYOUT;
        }

        public ChunkAck withAttempt(long it) {
            return new ChunkAck(it, have);
        }

        public ChunkAck withHave(List<Range> it) {
            return new ChunkAck(attempt, it);
        }
    }

    /** The report is safe ({@code accepted}), or refused for {@code reason}; {@code come_back} is seconds until the next check-in. */
    public record ReportAck(long attempt, boolean accepted, String reason, float comeBack) implements Body {
        public static final ReportAck ABSENT = new ReportAck(0L, false, "", 0.0f);
        public static final Layout<ReportAck> LAYOUT = new Layout<>(
                "ReportAck",
                v -> new ReportAck((Long) v[0], (Boolean) v[1], (String) v[2], (Float) v[3]),
                m -> new Object[] {m.attempt(), m.accepted(), m.reason(), m.comeBack()},
                Slot.scalar("attempt", Slot.Kind.U32, 0L),
                Slot.scalar("accepted", Slot.Kind.BOOL, false),
                Slot.utf8("reason", 512),
                Slot.scalar("come_back", Slot.Kind.F32, 0.0f));

        @Override
        public Layout<ReportAck> layout() {
            return LAYOUT;
        }

        public ReportAck withAttempt(long it) {
            return new ReportAck(it, accepted, reason, comeBack);
        }

        public ReportAck withAccepted(boolean it) {
            return new ReportAck(attempt, it, reason, comeBack);
        }

        public ReportAck withReason(String it) {
            return new ReportAck(attempt, accepted, it, comeBack);
        }

        public ReportAck withComeBack(float it) {
            return new ReportAck(attempt, accepted, reason, it);
        }
    }

    /** Stop working on this attempt; {@code come_back} is seconds until the next check-in. */
    public record Abort(long attempt, String reason, float comeBack) implements Body {
        public static final Abort ABSENT = new Abort(0L, "", 0.0f);
        public static final Layout<Abort> LAYOUT = new Layout<>(
                "Abort",
                v -> new Abort((Long) v[0], (String) v[1], (Float) v[2]),
                m -> new Object[] {m.attempt(), m.reason(), m.comeBack()},
                Slot.scalar("attempt", Slot.Kind.U32, 0L),
                Slot.utf8("reason", 512),
                Slot.scalar("come_back", Slot.Kind.F32, 0.0f));

        @Override
        public Layout<Abort> layout() {
            return LAYOUT;
        }

        public Abort withAttempt(long it) {
            return new Abort(it, reason, comeBack);
        }

        public Abort withReason(String it) {
            return new Abort(attempt, it, comeBack);
        }

        public Abort withComeBack(float it) {
            return new Abort(attempt, reason, it);
        }
    }

    /** Not now: check in again in {@code seconds} (0 = at once, which a restarted coordinator says to everyone online). */
    public record ComeBackLater(float seconds, String reason) implements Body {
        public static final ComeBackLater ABSENT = new ComeBackLater(0.0f, "");
        public static final Layout<ComeBackLater> LAYOUT = new Layout<>(
                "ComeBackLater",
                v -> new ComeBackLater((Float) v[0], (String) v[1]),
                m -> new Object[] {m.seconds(), m.reason()},
                Slot.scalar("seconds", Slot.Kind.F32, 0.0f),
                Slot.utf8("reason", 512));

        @Override
        public Layout<ComeBackLater> layout() {
            return LAYOUT;
        }

        public ComeBackLater withSeconds(float it) {
            return new ComeBackLater(it, reason);
        }

        public ComeBackLater withReason(String it) {
            return new ComeBackLater(seconds, it);
        }
    }

    /** Chunk {@code index} of the blob {@code hash}, retained on its blob topic. */
    public record BlobChunk(byte[] hash, long index, byte[] data) implements Body {
        public static final BlobChunk ABSENT = new BlobChunk(new byte[0], 0L, new byte[0]);
        public static final Layout<BlobChunk> LAYOUT = new Layout<>(
                "BlobChunk",
                v -> new BlobChunk((byte[]) v[0], (Long) v[1], (byte[]) v[2]),
                m -> new Object[] {m.hash(), m.index(), m.data()},
                Slot.octets("hash", 32, 32),
                Slot.scalar("index", Slot.Kind.U32, 0L),
                Slot.octets("data", 130048, 0));

        @Override
        public Layout<BlobChunk> layout() {
            return LAYOUT;
        }

        public BlobChunk withHash(byte[] it) {
            return new BlobChunk(it, index, data);
        }

        public BlobChunk withIndex(long it) {
            return new BlobChunk(hash, it, data);
        }

        public BlobChunk withData(byte[] it) {
            return new BlobChunk(hash, index, it);
        }
    }

    /** A device has a finished update, and the keys of its part in a secure round, each 32 bytes. */
    public record SecureKeys(long attempt, byte[] agreement, byte[] mask, byte[] signer, byte[] certificate, byte[] signature) implements Body {
        public static final SecureKeys ABSENT = new SecureKeys(0L, new byte[0], new byte[0], new byte[0], new byte[0], new byte[0]);
        public static final Layout<SecureKeys> LAYOUT = new Layout<>(
                "SecureKeys",
                v -> new SecureKeys((Long) v[0], (byte[]) v[1], (byte[]) v[2], (byte[]) v[3], (byte[]) v[4], (byte[]) v[5]),
                m -> new Object[] {m.attempt(), m.agreement(), m.mask(), m.signer(), m.certificate(), m.signature()},
                Slot.scalar("attempt", Slot.Kind.U32, 0L),
                Slot.octets("agreement", 32, 32),
                Slot.octets("mask", 32, 32),
                Slot.octets("signer", 32, 32),
                Slot.octets("certificate", 1024, 0),
                Slot.octets("signature", 72, 0));

        @Override
        public Layout<SecureKeys> layout() {
            return LAYOUT;
        }

        public SecureKeys withAttempt(long it) {
            return new SecureKeys(it, agreement, mask, signer, certificate, signature);
        }

        public SecureKeys withAgreement(byte[] it) {
            return new SecureKeys(attempt, it, mask, signer, certificate, signature);
        }

        public SecureKeys withMask(byte[] it) {
            return new SecureKeys(attempt, agreement, it, signer, certificate, signature);
        }

        public SecureKeys withSigner(byte[] it) {
            return new SecureKeys(attempt, agreement, mask, it, certificate, signature);
        }

        public SecureKeys withCertificate(byte[] it) {
            return new SecureKeys(attempt, agreement, mask, signer, it, signature);
        }

        public SecureKeys withSignature(byte[] it) {
            return new SecureKeys(attempt, agreement, mask, signer, certificate, it);
        }
    }

    /** A device's secrets in shares, sealed for one neighbour each, 82 bytes, in the roster's order. */
    public record SecureShares(long attempt, byte[] data) implements Body {
        public static final SecureShares ABSENT = new SecureShares(0L, new byte[0]);
        public static final Layout<SecureShares> LAYOUT = new Layout<>(
                "SecureShares",
                v -> new SecureShares((Long) v[0], (byte[]) v[1]),
                m -> new Object[] {m.attempt(), m.data()},
                Slot.scalar("attempt", Slot.Kind.U32, 0L),
                Slot.octets("data", 130048, 0));

        @Override
        public Layout<SecureShares> layout() {
            return LAYOUT;
        }

        public SecureShares withAttempt(long it) {
            return new SecureShares(it, data);
        }

        public SecureShares withData(byte[] it) {
            return new SecureShares(attempt, it);
        }
    }

    /** A device has its inbox, and signs with whom it masks its update; it signs no other list of this round. */
    public record SecurePledge(long attempt, byte[] signature) implements Body {
        public static final SecurePledge ABSENT = new SecurePledge(0L, new byte[0]);
        public static final Layout<SecurePledge> LAYOUT = new Layout<>(
                "SecurePledge",
                v -> new SecurePledge((Long) v[0], (byte[]) v[1]),
                m -> new Object[] {m.attempt(), m.signature()},
                Slot.scalar("attempt", Slot.Kind.U32, 0L),
                Slot.octets("signature", 64, 0));

        @Override
        public Layout<SecurePledge> layout() {
            return LAYOUT;
        }

        public SecurePledge withAttempt(long it) {
            return new SecurePledge(it, signature);
        }

        public SecurePledge withSignature(byte[] it) {
            return new SecurePledge(attempt, it);
        }
    }

    /** A device has seen who shared and who survived, and signs both lists; it signs no other of this round. */
    public record SecureConsent(long attempt, byte[] signature) implements Body {
        public static final SecureConsent ABSENT = new SecureConsent(0L, new byte[0]);
        public static final Layout<SecureConsent> LAYOUT = new Layout<>(
                "SecureConsent",
                v -> new SecureConsent((Long) v[0], (byte[]) v[1]),
                m -> new Object[] {m.attempt(), m.signature()},
                Slot.scalar("attempt", Slot.Kind.U32, 0L),
                Slot.octets("signature", 64, 0));

        @Override
        public Layout<SecureConsent> layout() {
            return LAYOUT;
        }

        public SecureConsent withAttempt(long it) {
            return new SecureConsent(it, signature);
        }

        public SecureConsent withSignature(byte[] it) {
            return new SecureConsent(attempt, it);
        }
    }

    /** One share, 33 bytes, of each device in {@code of}: of its own mask if it survived, else of the key of its masks. */
    public record SecureReveal(long attempt, byte[] of, byte[] data) implements Body {
        public static final SecureReveal ABSENT = new SecureReveal(0L, new byte[0], new byte[0]);
        public static final Layout<SecureReveal> LAYOUT = new Layout<>(
                "SecureReveal",
                v -> new SecureReveal((Long) v[0], (byte[]) v[1], (byte[]) v[2]),
                m -> new Object[] {m.attempt(), m.of(), m.data()},
                Slot.scalar("attempt", Slot.Kind.U32, 0L),
                Slot.octets("of", 192, 0),
                Slot.octets("data", 130048, 0));

        @Override
        public Layout<SecureReveal> layout() {
            return LAYOUT;
        }

        public SecureReveal withAttempt(long it) {
            return new SecureReveal(it, of, data);
        }

        public SecureReveal withOf(byte[] it) {
            return new SecureReveal(attempt, it, data);
        }

        public SecureReveal withData(byte[] it) {
            return new SecureReveal(attempt, of, it);
        }
    }

    /** Who takes part in a secure round: a blob, whose hash is what all must agree on. */
    public record SecureRoster(long attempt, BlobRef roster) implements Body {
        public static final SecureRoster ABSENT = new SecureRoster(0L, BlobRef.ABSENT);
        public static final Layout<SecureRoster> LAYOUT = new Layout<>(
                "SecureRoster",
                v -> new SecureRoster((Long) v[0], (BlobRef) v[1]),
                m -> new Object[] {m.attempt(), m.roster()},
                Slot.scalar("attempt", Slot.Kind.U32, 0L),
                Slot.table("roster", BlobRef.LAYOUT, BlobRef.ABSENT));

        @Override
        public Layout<SecureRoster> layout() {
            return LAYOUT;
        }

        public SecureRoster withAttempt(long it) {
            return new SecureRoster(it, roster);
        }

        public SecureRoster withRoster(BlobRef it) {
            return new SecureRoster(attempt, it);
        }
    }

    /** Who has shared its secrets, and what those of them who are this device's neighbours have sealed for it. */
    public record SecureInbox(long attempt, byte[] sharers, byte[] data) implements Body {
        public static final SecureInbox ABSENT = new SecureInbox(0L, new byte[0], new byte[0]);
        public static final Layout<SecureInbox> LAYOUT = new Layout<>(
                "SecureInbox",
                v -> new SecureInbox((Long) v[0], (byte[]) v[1], (byte[]) v[2]),
                m -> new Object[] {m.attempt(), m.sharers(), m.data()},
                Slot.scalar("attempt", Slot.Kind.U32, 0L),
                Slot.octets("sharers", 192, 0),
                Slot.octets("data", 130048, 0));

        @Override
        public Layout<SecureInbox> layout() {
            return LAYOUT;
        }

        public SecureInbox withAttempt(long it) {
            return new SecureInbox(it, sharers, data);
        }

        public SecureInbox withSharers(byte[] it) {
            return new SecureInbox(attempt, it, data);
        }

        public SecureInbox withData(byte[] it) {
            return new SecureInbox(attempt, sharers, it);
        }
    }

    /** Whose masked updates have arrived, and the pledge of each of them that is this device's neighbour. */
    public record SecureSurvivors(long attempt, byte[] survivors, byte[] data) implements Body {
        public static final SecureSurvivors ABSENT = new SecureSurvivors(0L, new byte[0], new byte[0]);
        public static final Layout<SecureSurvivors> LAYOUT = new Layout<>(
                "SecureSurvivors",
                v -> new SecureSurvivors((Long) v[0], (byte[]) v[1], (byte[]) v[2]),
                m -> new Object[] {m.attempt(), m.survivors(), m.data()},
                Slot.scalar("attempt", Slot.Kind.U32, 0L),
                Slot.octets("survivors", 192, 0),
                Slot.octets("data", 130048, 0));

        @Override
        public Layout<SecureSurvivors> layout() {
            return LAYOUT;
        }

        public SecureSurvivors withAttempt(long it) {
            return new SecureSurvivors(it, survivors, data);
        }

        public SecureSurvivors withSurvivors(byte[] it) {
            return new SecureSurvivors(attempt, it, data);
        }

        public SecureSurvivors withData(byte[] it) {
            return new SecureSurvivors(attempt, survivors, it);
        }
    }

    /** The consents of a quorum, 64 bytes each in the roster's order; {@code signers} says whose they are. */
    public record SecureQuorum(long attempt, byte[] signers, byte[] data) implements Body {
        public static final SecureQuorum ABSENT = new SecureQuorum(0L, new byte[0], new byte[0]);
        public static final Layout<SecureQuorum> LAYOUT = new Layout<>(
                "SecureQuorum",
                v -> new SecureQuorum((Long) v[0], (byte[]) v[1], (byte[]) v[2]),
                m -> new Object[] {m.attempt(), m.signers(), m.data()},
                Slot.scalar("attempt", Slot.Kind.U32, 0L),
                Slot.octets("signers", 192, 0),
                Slot.octets("data", 130048, 0));

        @Override
        public Layout<SecureQuorum> layout() {
            return LAYOUT;
        }

        public SecureQuorum withAttempt(long it) {
            return new SecureQuorum(it, signers, data);
        }

        public SecureQuorum withSigners(byte[] it) {
            return new SecureQuorum(attempt, it, data);
        }

        public SecureQuorum withData(byte[] it) {
            return new SecureQuorum(attempt, signers, it);
        }
    }

    /** What every message carries around its body. {@code round} is 0 outside of rounds. */
    public record Envelope(String fleet, long round, long messageId, Body body, int protocol) {
        public static final Layout<Envelope> LAYOUT = new Layout<>(
                "Envelope",
                v -> new Envelope((String) v[0], (Long) v[1], (Long) v[2], (Body) v[4], (Integer) v[5]),
                m -> new Object[] {m.fleet(), m.round(), m.messageId(), BODIES.indexOf(m.body().layout()) + 1, m.body(), m.protocol()},
                Slot.utf8("fleet", 64),
                Slot.scalar("round", Slot.Kind.U64, 0L),
                Slot.scalar("message_id", Slot.Kind.U64, 0L),
                Slot.unionType("body_type"),
                Slot.union("body", BODIES),
                Slot.scalar("protocol", Slot.Kind.U16, 1));

        public Envelope withFleet(String it) {
            return new Envelope(it, round, messageId, body, protocol);
        }

        public Envelope withRound(long it) {
            return new Envelope(fleet, it, messageId, body, protocol);
        }

        public Envelope withMessageId(long it) {
            return new Envelope(fleet, round, it, body, protocol);
        }

        public Envelope withBody(Body it) {
            return new Envelope(fleet, round, messageId, it, protocol);
        }

        public Envelope withProtocol(int it) {
            return new Envelope(fleet, round, messageId, body, it);
        }
    }

    @SuppressWarnings("unchecked")
    private static <T> T cast(Object value) {
        return (T) value;
    }

    private Messages() {}
}
