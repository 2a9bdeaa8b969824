package edgewise.device;

import edgewise.device.store.ParticipationLog;
import edgewise.device.store.ParticipationLog.Used;
import edgewise.wire.Messages.Assignment;
import edgewise.wire.Messages.Kind;
import java.util.Locale;
import java.util.function.BooleanSupplier;
import java.util.function.Supplier;

/** What the owner allows a day, held against the participation log: so it also counts what earlier processes did. */
final class Budget {
    private static final double DAY = 86400, LOOK_SECONDS = 30;

    private final ParticipationLog records;
    private final Clock clock;
    private final Supplier<Policy> policy;
    private final BooleanSupplier metered;
    private Used used = Used.NOTHING;
    private double again = Double.NEGATIVE_INFINITY;

    Budget(ParticipationLog records, Clock clock, Supplier<Policy> policy, BooleanSupplier metered) {
        this.records = records;
        this.clock = clock;
        this.policy = policy;
        this.metered = metered;
    }

    boolean metered() {
        return metered.getAsBoolean();
    }

    /** Asks the log again: something was just written into it. */
    void changed() {
        again = Double.NEGATIVE_INFINITY;
    }

    private Used used() {
        if (clock.now() >= again) {
            again = clock.now() + LOOK_SECONDS;
            used = records.used(clock.wall() - DAY, clock.wall() + DAY);
        }
        return used;
    }

    /** Returns which of the day's limits is used up, {@code null} if none. */
    String obstacle() {
        double epochs = policy.get().get("max_epochs_day"), minutes = policy.get().get("max_minutes_day");
        if (epochs > 0 && used().epochs() >= epochs) return "the owner's " + (long) epochs + " epochs a day are used up";
        if (minutes > 0 && used().seconds() >= 60 * minutes) {
            return "the owner's " + (long) minutes + " minutes a day are used up";
        }
        return traffic(0, true);
    }

    /** Returns why an assignment that moves so many bytes does not fit into what is left, {@code null} if it does. */
    String refusal(Assignment asked, double bytes) {
        double epochs = policy.get().get("max_epochs_day");
        if (asked.kind() == Kind.TRAIN && epochs > 0 && used().epochs() + asked.epochs() > epochs) {
            return asked.epochs() + " epochs were asked for, of the owner's " + (long) epochs + " a day "
                    + (long) (epochs - used().epochs()) + " are left";
        }
        String why = traffic(bytes, false);
        return why != null ? why : obstacle();
    }

    /** Returns which limit work in progress has passed, by what the log does not know of it yet. */
    String overrun(double seconds, double moved) {
        double minutes = policy.get().get("max_minutes_day");
        if (minutes > 0 && used().seconds() + seconds >= 60 * minutes) {
            return "the owner's " + (long) minutes + " minutes a day are used up";
        }
        return traffic(moved, false);
    }

    private String traffic(double more, boolean full) {
        double day = policy.get().get("max_megabytes_day"), paid = policy.get().get("metered_megabytes");
        if (over(used().traffic(), more, day, full)) return words(day, "a day", used().traffic(), more);
        if (metered() && over(used().metered(), more, paid, full)) {
            return words(paid, "a day on metered networks", used().metered(), more);
        }
        return null;
    }

    private static boolean over(double before, double more, double megabytes, boolean full) {
        if (megabytes <= 0) return false;
        double most = megabytes * Policy.MEGABYTE;
        return full ? before >= most : before + more > most;
    }

    private static String words(double megabytes, String span, double before, double more) {
        if (more == 0) return String.format(Locale.ROOT, "the owner's %.1f MB %s are used up", megabytes, span);
        return String.format(Locale.ROOT, "the round would move %.1f MB, of the owner's %.1f MB %s %.1f MB are left",
                more / Policy.MEGABYTE, megabytes, span, Math.max(megabytes - before / Policy.MEGABYTE, 0));
    }
}
