package edgewise.device;

import edgewise.device.Link.Heard;
import edgewise.device.Worker.Ended;
import edgewise.device.store.Database;
import edgewise.device.store.ParticipationLog;
import edgewise.device.store.ParticipationLog.Entry;
import edgewise.device.store.ParticipationLog.Outcome;
import edgewise.device.transport.Transport;
import edgewise.wire.Messages.Abort;
import edgewise.wire.Messages.Assignment;
import edgewise.wire.Messages.BlobChunk;
import edgewise.wire.Messages.Body;
import edgewise.wire.Messages.ChunkAck;
import edgewise.wire.Messages.ComeBackLater;
import edgewise.wire.Messages.Decline;
import edgewise.wire.Messages.ReportAck;
import edgewise.wire.Messages.SecureInbox;
import edgewise.wire.Messages.SecureQuorum;
import edgewise.wire.Messages.SecureRoster;
import edgewise.wire.Messages.SecureSurvivors;
import edgewise.wire.Messages.UploadGrant;
import edgewise.wire.errors.TransportError;
import edgewise.wire.errors.UnavailableError;
import java.io.Closeable;
import java.util.function.BooleanSupplier;
import java.util.function.Supplier;
import java.util.logging.Logger;

/**
 * One device in one fleet: a session is states with typed outcomes (Bonawitz et al. 2019, §3), driven by {@link #step}.
 *
 * <p>Single-threaded. Every step waits for one event at the most, lets the timers that are due act, and computes one batch
 * if there is something to compute; so an abort, a newer assignment or a lost condition stops training between two batches.
 * {@code docs/protocol.md} says what the device must do; {@code edge/edgewise_edge/agent.py} is the same in Python.
 */
public final class Agent implements Closeable {
    public static final String SOFTWARE = "edgewise-java 0.1.0";
    private static final Logger LOG = Logger.getLogger("edgewise.device");
    private static final double POLL_SECONDS = 1; // how late `run` notices that it should stop
    private static final double RELEASE_SECONDS = 60; // a fleet that is at work asks again sooner
    private static final double REPEAT_SECONDS = 900; // so long after its end an assignment may be delivered again

    private final Link link;
    private final Host host;
    private final Clock clock;
    private final ParticipationLog records;
    private final Status status;
    private final Availability availability;
    private final Worker worker;
    private double releaseAt = Double.POSITIVE_INFINITY;

    /**
     * Takes up what an earlier process left in {@code home}.
     *
     * @param transport a link made with {@code identity.will()}
     * @param policy the owner's limits as they are now
     * @param metered whether the network costs its owner money now
     * @param trust what vouches for assignments, and for other devices
     */
    public Agent(Home home, Transport transport, Identity identity, Host host, Database.Opener databases, Clock clock,
            Supplier<Policy> policy, BooleanSupplier metered, Trust trust) {
        this.host = host;
        this.clock = clock;
        link = new Link(transport, identity, trust.key());
        records = new ParticipationLog(home.participation, databases);
        Budget budget = new Budget(records, clock, policy, metered);
        status = new Status(home.status, link, clock);
        LatestModel model = new LatestModel(home);
        availability = new Availability(link, host, status, model, clock, policy, budget, SOFTWARE);
        worker = new Worker(home, link, host, status, model, records, clock, policy, budget, trust,
                this::onEnd);
        Double last = records.lastReport();
        if (last != null) availability.keepDistance(clock.wall() - last);
        link.listen();
        worker.resume();
    }

    /** Returns where the device stands in its session. */
    public DeviceState state() {
        return status.state();
    }

    /** Returns whether an assignment is in work. */
    public boolean working() {
        return worker.work() != null;
    }

    /** Returns when the next timer acts, by the agent's clock. */
    public double due() {
        return worker.work() == null ? Math.min(availability.due, releaseAt) : worker.due();
    }

    /** Waits for an event, at most so many seconds and never past the next timer; handles it; does what is due. */
    public void step(double seconds) {
        double patience = Math.max(0, Math.min(seconds, due() - clock.now()));
        Transport.Event event = poll(worker.busy() ? 0 : patience);
        if (event != null) handle(event);
        if (worker.work() == null) {
            availability.tick();
            releaseIfIdle();
        } else {
            worker.tick();
        }
        if (worker.busy()) worker.compute();
    }

    /** Steps until {@code stop} says so; {@code close} is the caller's. */
    public void run(BooleanSupplier stop) {
        while (!stop.getAsBoolean()) step(POLL_SECONDS);
    }

    /** Says that this device goes offline, and lets go of everything; the work stays on disk for the next process. */
    @Override
    public void close() {
        worker.pause();
        link.show(false);
        link.transport.close();
        status.show("stopped", null);
        host.release();
        records.close();
    }

    // Events

    private Transport.Event poll(double seconds) {
        try {
            return link.transport.poll(seconds);
        } catch (TransportError error) { // a subscription that the broker refused, told once
            LOG.warning(error.getMessage());
            return null;
        }
    }

    private void handle(Transport.Event event) {
        if (event instanceof Transport.Connected) {
            LOG.info("connected as " + link.identity.device() + " in fleet " + link.identity.fleet());
            link.up = true;
            link.show(true);
            availability.connected();
            if (worker.work() != null) {
                availability.checkIn(worker.work());
                worker.connected();
            }
        } else if (event instanceof Transport.Disconnected gone) {
            link.up = false;
            LOG.info("the link is down: " + gone.reason());
            availability.disconnected();
        } else if (event instanceof Transport.Message message) {
            Heard heard = link.hear(message);
            if (heard != null) onMessage(heard);
        }
    }

    private void onMessage(Heard heard) {
        Body body = heard.body();
        if (body instanceof Assignment asked) onAssignment(heard, asked);
        else if (body instanceof ComeBackLater later) onComeBack(later);
        else if (body instanceof BlobChunk) worker.hear(heard);
        else if (body instanceof UploadGrant grant) onWord(heard, grant.attempt());
        else if (body instanceof ChunkAck ack) onWord(heard, ack.attempt());
        else if (body instanceof ReportAck ack) onWord(heard, ack.attempt());
        else if (body instanceof Abort abort) onWord(heard, abort.attempt());
        else if (body instanceof SecureRoster told) onWord(heard, told.attempt());
        else if (body instanceof SecureInbox told) onWord(heard, told.attempt());
        else if (body instanceof SecureSurvivors told) onWord(heard, told.attempt());
        else if (body instanceof SecureQuorum told) onWord(heard, told.attempt());
    }

    /** Takes what is said about one attempt; about another than the one in work it means nothing any more. */
    private void onWord(Heard heard, long attempt) {
        Work work = worker.work();
        if (work == null || heard.round() != work.round() || attempt != work.asked().attempt()) {
            LOG.fine("ignored " + heard.body().layout().name + ": round " + heard.round() + " is not in work");
        } else if (heard.body() instanceof ReportAck ack) {
            // Also while training anew after a crash: the coordinator holds what an earlier process sent.
            if (ack.accepted() && !worker.acknowledged()) return; // a secure round goes on: its sum is still masked
            Outcome outcome = ack.accepted() ? Outcome.REPORTED : Outcome.REFUSED;
            worker.end(outcome, Link.sentence(ack.reason()), ack.comeBack());
        } else if (heard.body() instanceof Abort abort) {
            worker.end(Outcome.ABORTED, Link.sentence(abort.reason()), abort.comeBack());
        } else {
            worker.hear(heard);
        }
    }

    private void onComeBack(ComeBackLater body) {
        double seconds = Availability.bounded(body.seconds());
        if (worker.work() != null) {
            if (seconds > 0) return;
            availability.checkIn(worker.work());
            if (state() == DeviceState.UPLOADING) worker.repeat(); // a coordinator that has just come has heard nothing
        } else if (seconds > 0) {
            String why = body.reason().isEmpty() ? "no reason given" : body.reason();
            availability.sleep(seconds, "told to come back in " + (long) seconds + " s: " + why);
        } else {
            availability.wake();
        }
    }

    // Assignments

    private void onAssignment(Heard heard, Assignment asked) {
        Work work = new Work(link.identity.fleet(), heard.round(), heard.messageId(), asked, clock.wall());
        Work current = worker.work();
        if (current != null) {
            if (work.sameAs(current)) {
                worker.repeat();
                return;
            }
            if (work.olderThan(current)) {
                LOG.fine("ignored the assignment of " + work + ": older than the one in work");
                return;
            }
            worker.end(Outcome.SUPERSEDED, work + " came", null);
        }
        Entry earlier = records.find(work.digest());
        if (earlier == null || isPast(earlier)) {
            consider(work);
        } else if (earlier.outcome() == Outcome.DECLINED) {
            decline(work, earlier.reason());
        }
    }

    /** Returns whether a participation ended so long ago that no broker can be delivering its assignment again. */
    private boolean isPast(Entry entry) {
        if (link.signed()) return false; // who sends the same signed message again has recorded it
        return entry.ended() != null && clock.wall() - entry.ended() > REPEAT_SECONDS;
    }

    private void consider(Work work) {
        String reason = worker.refusal(work.asked());
        if (reason == null) {
            try {
                worker.accept(work);
                return;
            } catch (UnavailableError error) {
                LOG.warning(error.getMessage());
                reason = "the device cannot write to its disk";
            }
        }
        decline(work, reason);
        try {
            records.begin(work.digest(), work.round(), work.asked(), work.received(), Outcome.DECLINED, reason);
        } catch (UnavailableError error) {
            LOG.warning("not recorded: " + error.getMessage());
        }
        availability.sleep(availability.recheckSeconds(), "declined " + work + ": " + reason);
    }

    private void decline(Work work, String reason) {
        link.say(Decline.ABSENT.withAttempt(work.asked().attempt()).withReason(Link.sentence(reason)), work.round());
    }

    private void releaseIfIdle() {
        if (clock.now() < releaseAt) return;
        releaseAt = Double.POSITIVE_INFINITY;
        host.release();
    }

    private void onEnd(Ended ended) {
        releaseAt = clock.now() + RELEASE_SECONDS;
        if (ended.outcome() == Outcome.REPORTED) availability.keepDistance(0);
        Float comeBack = ended.comeBack();
        double seconds = comeBack == null ? availability.recheckSeconds() : Availability.bounded(comeBack);
        availability.sleep(seconds, ended.outcome().word() + " " + ended.work()
                + (ended.reason().isEmpty() ? "" : ": " + ended.reason()));
    }
}
