package edgewise.device;

import com.google.gson.JsonNull;
import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;
import edgewise.wire.Files;
import edgewise.wire.Messages.Progress;
import edgewise.wire.errors.UnavailableError;
import java.io.File;
import java.nio.charset.StandardCharsets;
import java.util.logging.Logger;

/** Where the device stands, told to its owner's log, to {@code status.json}, and to the coordinator as progress. */
final class Status {
    private static final Logger LOG = Logger.getLogger("edgewise.device");
    private static final double PROGRESS_SECONDS = 5;

    private final File path;
    private final Link link;
    private final Clock clock;
    private DeviceState state = DeviceState.IDLE;
    private double progressAt;

    Status(File path, Link link, Clock clock) {
        this.path = path;
        this.link = link;
        this.clock = clock;
    }

    DeviceState state() {
        return state;
    }

    /** Changes the state and says so; the same state again is news only with a reason. */
    void enter(DeviceState next, Work work, String why) {
        if (next == state && why.isEmpty()) return;
        state = next;
        LOG.info(next.word() + (work == null ? "" : " (" + work + ")") + (why.isEmpty() ? "" : ": " + Link.sentence(why)));
        show(next.word(), work);
        if (work != null) {
            progressAt = clock.now();
            progress(work, LocalTraining.Step.NONE);
        }
    }

    /**
     * Tells the coordinator how far the work is, now and then; what is lost of it is not missed. In a secure round it hears
     * that the device is at it and no more: steps and loss of one device are in the sum.
     */
    void progress(Work work, LocalTraining.Step now) {
        if (clock.now() < progressAt) return;
        progressAt = clock.now() + PROGRESS_SECONDS;
        LocalTraining.Step step = work.asked().secure().cohort() > 0 ? LocalTraining.Step.NONE : now;
        link.say(Progress.ABSENT.withAttempt(work.asked().attempt()).withState(state.ordinal()).withDone(step.done())
                .withTotal(step.total()).withLoss(step.loss()), work.round(), 0, "");
    }

    /** Writes {@code status.json}; a full disk is no reason to stop. */
    void show(String word, Work work) {
        JsonObject plain = new JsonObject();
        plain.addProperty("state", word);
        plain.addProperty("since", clock.wall());
        plain.addProperty("fleet", link.identity.fleet());
        plain.addProperty("device", link.identity.device());
        plain.add("round", work == null ? JsonNull.INSTANCE : new JsonPrimitive(work.round()));
        try {
            Files.writeLightly(path, (plain + "\n").getBytes(StandardCharsets.UTF_8));
        } catch (UnavailableError error) {
            LOG.fine(error.getMessage());
        }
    }
}
