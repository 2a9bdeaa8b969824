package edgewise.device;

import edgewise.device.Host.Counts;
import edgewise.wire.Messages.CheckIn;
import edgewise.wire.errors.EdgewiseError;
import java.util.Random;
import java.util.function.Supplier;

/**
 * The device between two assignments: may it take part now, and if so, saying so. Law: no check-in for work while a
 * condition or the owner's policy stands against it.
 */
final class Availability {
    static final double RECHECK_SECONDS = 60;
    private static final double RECHECK_JITTER = 0.2; // a fleet that started at once does not speak at once for ever
    private static final double COME_BACK_MAX = 7 * 86400.0; // nobody is sent away for longer than a week

    private final Link link;
    private final Host host;
    private final Status status;
    private final LatestModel model;
    private final Clock clock;
    private final Supplier<Policy> policy;
    private final Budget budget;
    private final Random dice = new Random();
    private final String software;
    private Counts counts = new Counts(0, 0);
    private String told = "";
    private double earliest = Double.NEGATIVE_INFINITY;
    double due = Double.NEGATIVE_INFINITY;

    Availability(Link link, Host host, Status status, LatestModel model, Clock clock, Supplier<Policy> policy,
            Budget budget, String software) {
        this.link = link;
        this.host = host;
        this.status = status;
        this.model = model;
        this.clock = clock;
        this.policy = policy;
        this.budget = budget;
        this.software = software;
    }

    /** Keeps the owner's separation from a report that was accepted so many seconds ago. */
    void keepDistance(double sinceReport) {
        double left = policy.get().get("min_separation") - Math.max(sinceReport, 0);
        earliest = clock.now() + Math.max(left, 0);
        due = Math.max(due, earliest);
    }

    void connected() {
        if (status.state() == DeviceState.ELIGIBLE) offer();
    }

    void disconnected() {
        if (status.state() == DeviceState.CHECKED_IN) status.enter(DeviceState.ELIGIBLE, null, "");
    }

    /** Is idle for a time. */
    void sleep(double seconds, String why) {
        due = Math.max(clock.now() + seconds, earliest);
        status.enter(DeviceState.IDLE, null, why);
    }

    /** Looks again at once, if the owner's separation allows it. */
    void wake() {
        due = earliest;
    }

    /** Sees whether the device can take part, and offers it. */
    void tick() {
        if (clock.now() < due) return;
        String why = obstacle();
        if (why != null) {
            String kind = why.split(":")[0]; // a reading that changes is no news; another condition is
            sleep(recheckSeconds(), kind.equals(told) ? "" : "not eligible: " + why);
            told = kind;
            return;
        }
        told = "";
        due = clock.now() + recheckSeconds();
        if (status.state() == DeviceState.IDLE) status.enter(DeviceState.ELIGIBLE, null, "");
        if (link.up) offer();
    }

    /** Returns why the device cannot take part now, {@code null} if it can. */
    private String obstacle() {
        String why;
        try {
            counts = host.counts();
            why = host.obstacle();
        } catch (EdgewiseError error) {
            return error.getMessage();
        }
        double least = policy.get().get("min_examples");
        if (why == null && counts.train() < least) {
            why = counts.train() + " examples to train on, the owner asks for at least " + (long) least;
        }
        return why != null ? why : budget.obstacle();
    }

    /** Says what this device has, and which work it still holds. */
    void checkIn(Work work) {
        LatestModel.Latest latest = model.load();
        CheckIn said = CheckIn.ABSENT.withSession(link.identity.session())
                .withTrainExamples(counts.train()).withHeldOutExamples(counts.heldOut())
                .withRuntime(host.runtime()).withSoftware(software);
        if (latest != null) said = said.withGraphHash(latest.graph());
        if (work != null) said = said.withResumeRound(work.round()).withResumeAttempt(work.asked().attempt());
        link.say(said, 0);
    }

    private void offer() {
        checkIn(null);
        status.enter(DeviceState.CHECKED_IN, null, "");
    }

    /** Returns when to look again: about a minute. */
    double recheckSeconds() {
        return RECHECK_SECONDS * (1 - RECHECK_JITTER + 2 * RECHECK_JITTER * dice.nextDouble());
    }

    /** Returns a time to come back that a coordinator may ask for: finite, from now, within a week. */
    static double bounded(float seconds) {
        return Float.isFinite(seconds) ? Math.min(Math.max(seconds, 0), COME_BACK_MAX) : RECHECK_SECONDS;
    }
}
