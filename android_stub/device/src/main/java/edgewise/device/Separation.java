package edgewise.device;

import edgewise.device.store.ParticipationLog;
import edgewise.wire.Messages.Assignment;
import edgewise.wire.Messages.Kind;
import edgewise.wire.Messages.PrivacyTerms;
import java.util.function.Supplier;

/**
 * The distance between two rounds of one run that a device takes part in, by its own log and whatever a coordinator says: a
 * guarantee by DP-FTRL holds for devices whose rounds are far enough apart.
 */
final class Separation {
    private final ParticipationLog records;
    private final Supplier<Policy> policy;

    Separation(ParticipationLog records, Supplier<Policy> policy) {
        this.records = records;
        this.policy = policy;
    }

    /**
     * Returns why an assignment comes too early, {@code null} if it does not. The same number again is not too early: the
     * round that had it before was abandoned, and released nothing.
     */
    String refusal(Assignment asked) {
        if (asked.kind() != Kind.TRAIN) return null;
        PrivacyTerms terms = asked.privacy();
        long own = (long) policy.get().get("min_separation_rounds"), number = ParticipationLog.bounded(terms.number());
        if (own > 1 && number == 0) {
            return "the owner asks for " + own + " rounds between two, and the assignment does not number them";
        }
        long least = Math.max(terms.separation(), own);
        long last = number > 0 && least > 1 ? records.lastNumber(terms.run()) : 0;
        if (last == 0 || number == last || number - last >= least) return null;
        return "round " + number + " of the run is " + (number - last) + " after this device's last, expected " + least;
    }
}
