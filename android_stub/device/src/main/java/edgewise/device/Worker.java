package edgewise.device;

import edgewise.device.Link.Heard;
import edgewise.device.LocalTraining.LocalSums;
import edgewise.device.LocalTraining.LocalUpdate;
import edgewise.device.LocalTraining.Result;
import edgewise.device.store.ParticipationLog;
import edgewise.device.store.ParticipationLog.Entry;
import edgewise.device.store.ParticipationLog.Outcome;
import edgewise.wire.BlobStore;
import edgewise.wire.Blobs;
import edgewise.wire.Bytes;
import edgewise.wire.Messages.Accept;
import edgewise.wire.Messages.Assignment;
import edgewise.wire.Messages.BlobRef;
import edgewise.wire.Messages.Body;
import edgewise.wire.Messages.Decline;
import edgewise.wire.Messages.EvaluationReport;
import edgewise.wire.Messages.Kind;
import edgewise.wire.Messages.Measure;
import edgewise.wire.Messages.UploadRequest;
import edgewise.wire.errors.EdgewiseError;
import edgewise.wire.errors.UnavailableError;
import edgewise.wire.secure.Form;
import edgewise.wire.secure.Member;
import edgewise.wire.transforms.Clip;
import java.io.File;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import java.util.function.Supplier;
import java.util.logging.Logger;

/**
 * The device at work on at most one assignment, from its acceptance to its end, whatever the end is. Law: whatever is told
 * to the coordinator is on disk before; whatever goes wrong ends the work and not the agent.
 */
final class Worker {
    private static final Logger LOG = Logger.getLogger("edgewise.device");
    private static final double CONDITION_SECONDS = 5; // how often a device that computes nothing looks at its conditions
    private static final double ACCOUNT_SECONDS = 30; // a killed process forgets at most so much of the time it computed
    private static final double UNMASK_SECONDS = 300; // a masked update counts: the device stays so long to open the sum
    private static final int BEGINNINGS_MAX = 3; // a graph that kills the process is not tried for ever

    /** How work ended; {@code comeBack} is in seconds, {@code null} where nobody said. */
    record Ended(Work work, Outcome outcome, String reason, Float comeBack) {}

    private final Home home;
    private final Link link;
    private final Host host;
    private final Status status;
    private final LatestModel model;
    private final ParticipationLog records;
    private final Clock clock;
    private final Supplier<Policy> policy;
    private final Budget budget;
    private final Trust trust;
    private final Admission admission;
    private final Consumer<Ended> onEnd;
    private final BlobStore blobs;
    private final SessionFolder session;
    private Phase phase = new Phase();
    private Work work;
    private double accounted;
    private double deadline = Double.POSITIVE_INFINITY;
    private double conditionAt = Double.POSITIVE_INFINITY;

    Worker(Home home, Link link, Host host, Status status, LatestModel model, ParticipationLog records, Clock clock,
            Supplier<Policy> policy, Budget budget, Trust trust, Consumer<Ended> onEnd) {
        this.home = home;
        this.link = link;
        this.host = host;
        this.status = status;
        this.model = model;
        this.records = records;
        this.clock = clock;
        this.policy = policy;
        this.budget = budget;
        this.trust = trust;
        this.onEnd = onEnd;
        blobs = new BlobStore(home.blobs);
        admission = new Admission(host, blobs, policy, budget, new Separation(records, policy));
        session = new SessionFolder(home.session, link.identity.fleet());
    }

    Work work() {
        return work;
    }

    boolean busy() {
        return phase.busy();
    }

    double due() {
        return Math.min(deadline, Math.min(phase.due(), conditionAt));
    }

    // Beginnings

    /** Returns why this device does not take an assignment, {@code null} if it does; nothing is written for it. */
    String refusal(Assignment asked) {
        try {
            return admission.refusal(asked);
        } catch (EdgewiseError error) {
            return discreet(error);
        }
    }

    /** Takes an assignment and begins. Throws {@link UnavailableError} if it cannot be kept on disk. */
    void accept(Work taken) {
        session.save(taken);
        records.begin(taken.digest(), taken.round(), taken.asked(), taken.received(), Outcome.WORKING, "");
        link.say(Accept.ABSENT.withAttempt(taken.asked().attempt()), taken.round());
        takeUp(taken, policy.get().secondsAllowed(taken.asked().deadline()));
        begin(download(taken, Deltas.weightsToFetch(taken.asked(), blobs)));
    }

    /** Goes on where an earlier process stopped, if it stopped in the middle. */
    void resume() {
        SessionFolder.Found found = session.load();
        records.closeOpen(found == null ? Bytes.NONE : found.work().digest(), clock.wall());
        if (found == null) return;
        Work kept = found.work();
        Entry entry = records.find(kept.digest());
        if (entry != null && entry.outcome() != Outcome.WORKING) {
            session.clear(); // it had ended; only its files had not gone yet
            return;
        }
        if (entry == null) records.begin(kept.digest(), kept.round(), kept.asked(), clock.wall(), Outcome.WORKING, "");
        double allowed = policy.get().secondsAllowed(kept.asked().deadline());
        // A clock may have jumped: never wait longer than the deadline, never believe that it lies ahead.
        double passed = kept.received() > 0 ? Math.min(Math.max(clock.wall() - kept.received(), 0), allowed) : 0;
        LOG.info("taking up " + kept + " where it was left");
        takeUp(kept, allowed - passed);
        begin(found.report() != null ? sending(kept, found.report())
                : download(kept, Deltas.weightsToFetch(kept.asked(), blobs)));
    }

    private void takeUp(Work taken, double seconds) {
        work = taken;
        deadline = clock.now() + seconds;
        conditionAt = clock.now() + CONDITION_SECONDS;
        status.enter(DeviceState.ASSIGNED, taken, "");
    }

    // What happens

    void connected() {
        guarded(() -> phase.connected());
    }

    void hear(Heard heard) {
        guarded(() -> phase.hear(heard));
    }

    /** Takes word that the coordinator has the report safe; returns whether the work is done with that. */
    boolean acknowledged() {
        boolean[] done = {true};
        guarded(() -> done[0] = phase.acknowledged());
        if (!done[0]) deadline = Math.max(deadline, clock.now() + UNMASK_SECONDS);
        return done[0];
    }

    /** Says again what was last said about this work. */
    void repeat() {
        if (status.state() == DeviceState.UPLOADING) phase.repeat();
        else if (work != null) link.say(Accept.ABSENT.withAttempt(work.asked().attempt()), work.round());
    }

    /** Does what is due, and begins the next phase if this one is finished. */
    void tick() {
        double now = clock.now();
        if (now >= deadline) {
            giveUp(Outcome.EXPIRED, "the deadline passed while the device was " + status.state().word());
            return;
        }
        if (now >= conditionAt) {
            conditionAt = now + CONDITION_SECONDS;
            String why = obstacle();
            if (why != null) {
                giveUp(Outcome.DECLINED, why);
                return;
            }
        }
        if (now >= phase.due()) guarded(() -> phase.tick());
        guarded(this::advance);
        if (work != null) status.progress(work, phase.progress());
    }

    /** Computes one batch, unless the device may not any more. */
    void compute() {
        String why = obstacle();
        if (why != null) {
            giveUp(Outcome.DECLINED, why);
            return;
        }
        guarded(() -> phase.compute());
        if (phase.seconds - accounted >= ACCOUNT_SECONDS) account();
    }

    /** Lets go of everything but the files, from which the next process resumes. */
    void pause() {
        phase.stop();
    }

    private String obstacle() {
        String why = host.obstacle();
        return why != null ? why : budget.overrun(phase.seconds - accounted, phase.bytesDown() + phase.bytesUp());
    }

    // Phases

    private void begin(Phase next) {
        leavePhase();
        phase = next;
        status.enter(next.state(), work, "");
        guarded(next::start);
    }

    private void account() {
        double seconds = phase.seconds - accounted;
        if (work == null || seconds <= 0) return;
        recorded(() -> records.addSeconds(work.digest(), seconds));
        accounted = phase.seconds;
        budget.changed();
    }

    private void leavePhase() {
        account();
        accounted = 0;
        Phase left = phase;
        phase = new Phase();
        left.stop();
        if (work == null || left.bytesDown() + left.bytesUp() == 0) return;
        recorded(() -> records.addTraffic(work.digest(), left.bytesDown(), left.bytesUp(), budget.metered()));
        budget.changed();
    }

    private void advance() {
        if (work == null || !phase.finished()) return;
        if (phase instanceof Download) {
            if (!Deltas.assemble(work.asked(), blobs)) {
                begin(download(work, java.util.Collections.singletonList(work.asked().weights())));
                return;
            }
            if (work.asked().kind() != Kind.DISCOVER) model.save(work.asked(), work.round());
            if (session.countBegin() > BEGINNINGS_MAX) {
                giveUp(Outcome.FAILED, "the process ended " + BEGINNINGS_MAX + " times while it computed this");
            } else {
                begin(computing());
            }
        } else if (phase instanceof Compute computed) {
            begin(sending(work, keepResult(computed)));
        }
    }

    private Download download(Work taken, List<BlobRef> weights) {
        List<BlobRef> refs = new ArrayList<>();
        if (taken.asked().graph().size() > 0) refs.add(taken.asked().graph()); // a round that looks for words has none
        refs.addAll(weights);
        if (!taken.asked().correction().isEmpty()) refs.add(taken.asked().control());
        return new Download(link, clock, blobs, taken.round(), refs, taken.asked().blobsUrl());
    }

    private Compute computing() {
        Assignment asked = work.asked();
        int most = policy.get().examplesUsed(asked.maxExamples(), host.counts().of(asked.kind()));
        boolean votes = asked.kind() == Kind.DISCOVER;
        if (votes) most = (int) Math.min(policy.get().get("max_votes"), Integer.MAX_VALUE);
        File weights = blobs.path(asked.weights().hash()), graph = votes ? weights : blobs.path(asked.graph().hash());
        return new Compute(host, clock, work, link.identity.device(), graph, weights, most,
                trainer -> correction(asked, trainer));
    }

    private Correction correction(Assignment asked, Trainer trainer) {
        if (asked.correction().isEmpty()) return asked.mu() == 0 ? null : new Correction(asked.mu(), null, null);
        float[] server = Compute.readWeights(blobs.path(asked.control().hash()), trainer, "control variates");
        float[] own = new Controls(home, asked.graph().hash(), Controls.CONTROLS).load(asked.controlRound(), server.length);
        return new Correction(asked.mu(), server, own);
    }

    private Phase sending(Work taken, Body report) {
        if (taken.asked().secure().cohort() > 0) {
            Policy owner = policy.get();
            Member.Rules rules = new Member.Rules((long) owner.get("min_cohort"), (long) owner.get("min_threshold"));
            return new SecureReport(link, clock, blobs, session, taken, rules, trust);
        }
        if (report instanceof UploadRequest request) {
            return new Upload(link, clock, taken.round(), request, session.update, taken.asked().aggregator());
        }
        return new SendReport(link, clock, taken, (EvaluationReport) report);
    }

    /** Puts the result on disk, the update before the report that vouches for it. */
    private Body keepResult(Compute computed) {
        Result result = computed.takeResult();
        Body report;
        if (result instanceof LocalUpdate update) {
            report = keepUpdate(update, computed.seconds);
            recorded(() -> records.note(work.digest(), update.examples(), update.steps(), (double) update.loss(),
                    update.norm()));
        } else if (result instanceof Votes.Chosen votes) {
            List<Measure> measures = new ArrayList<>();
            for (String prefix : votes.prefixes()) measures.add(new Measure(prefix, 1));
            report = EvaluationReport.ABSENT.withAttempt(work.asked().attempt()).withExamples(1).withMeasures(measures);
        } else {
            LocalSums sums = (LocalSums) result;
            List<Measure> measures = new ArrayList<>();
            sums.sums().forEach((name, value) -> measures.add(new Measure(name, value)));
            report = EvaluationReport.ABSENT.withAttempt(work.asked().attempt()).withExamples(sums.examples())
                    .withMeasures(measures);
            recorded(() -> records.note(work.digest(), sums.examples(), 0, null, null));
        }
        session.saveReport(work, report);
        return report;
    }

    private UploadRequest keepUpdate(LocalUpdate update, double seconds) {
        Assignment asked = work.asked();
        if (asked.secure().cohort() > 0) {
            session.saveUpdate(Encoding.secureWords(asked, update.update(), update.examples(), update.loss()));
            return UploadRequest.ABSENT.withAttempt(asked.attempt()).withUpdate(Blobs.makeRef(session.update))
                    .withExamples(1).withEncoding(Form.ENCODING);
        }
        session.saveUpdate(Encoding.encodeUpdate(home, work, link.identity.device(), update.update()));
        if (update.control() != null) {
            Controls controls = new Controls(home, asked.graph().hash(), Controls.CONTROLS);
            controls.save(work.round(), update.control(), asked.controlRound());
        }
        // Asked for where the clipping norm follows the updates (Andrew et al. 2021, §3): one bit of what is sent anyway.
        double norm = Policy.offeredClipping(asked);
        boolean within = asked.privacy().askWithinNorm() && norm > 0 && Clip.norm(update.update()) <= norm;
        String encoding = asked.encoding().isEmpty() ? "float32" : asked.encoding();
        return UploadRequest.ABSENT.withAttempt(asked.attempt()).withUpdate(Blobs.makeRef(session.update))
                .withExamples(update.examples()).withLoss(update.loss()).withSteps(update.steps())
                .withSeconds((float) seconds).withEncoding(encoding).withWithinNorm(within);
    }

    // Ends

    /** Ends the work of the device's own accord, and says so. */
    void giveUp(Outcome outcome, String reason) {
        if (work == null) return;
        link.say(Decline.ABSENT.withAttempt(work.asked().attempt()).withReason(Link.sentence(reason)), work.round());
        end(outcome, reason, null);
    }

    /** Ends the work: the record first, then the files, so that a crash between the two repeats nothing. */
    void end(Outcome outcome, String reason, Float comeBack) {
        Work ended = work;
        if (ended == null) return;
        if (phase.safe()) outcome = Outcome.REPORTED; // the update counts, however the rest of a secure round went
        Outcome how = outcome;
        if (outcome == Outcome.REPORTED) status.enter(DeviceState.REPORTED, ended, "");
        leavePhase();
        work = null;
        deadline = conditionAt = Double.POSITIVE_INFINITY;
        recorded(() -> records.end(ended.digest(), clock.wall(), how, reason));
        recorded(session::clear);
        recorded(() -> blobs.prune(model.hashes()));
        onEnd.accept(new Ended(ended, how, reason, comeBack));
    }

    /** Writes down what is done anyway; a full disk must not keep the device from ending it. */
    private void recorded(Runnable act) {
        try {
            act.run();
        } catch (UnavailableError error) {
            LOG.warning("not recorded: " + error.getMessage());
        }
    }

    private void guarded(Runnable act) {
        try {
            act.run();
        } catch (EdgewiseError | OutOfMemoryError error) {
            giveUp(Outcome.FAILED, discreet(error));
        }
    }

    /** Returns an error's words without the owner's paths: they go to the coordinator. */
    private String discreet(Throwable error) {
        String words = error.getMessage() == null ? "" : error.getMessage().replace(home.path.getPath(), "HOME");
        return words.isEmpty() ? error.getClass().getSimpleName() : words;
    }
}
