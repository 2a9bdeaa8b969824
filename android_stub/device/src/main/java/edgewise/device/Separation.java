package edgewise.device;

import edgewise.device.store.ParticipationLog;
import edgewise.wire.Messages.Assignment;
import edgewise.wire.Messages.Kind;
import edgewise.wire.Messages.PrivacyTerms;
import java.util.function.Supplier;

/**
 * How often a device takes part in one run, and how far apart, by its own log and whatever a coordinator says: a guarantee by
 * DP-FTRL holds for devices whose rounds are far enough apart, one of so many participations for those that take part in no
 * more.
 */
final class Separation {
    private final ParticipationLog records;
    private final Supplier<Policy> policy;

    Separation(ParticipationLog records, Supplier<Policy> policy) {
        this.records = records;
        this.policy = policy;
    }

    /**
     * Returns why an assignment comes too early or once too often, {@code null} if it does not. The same number again is
     * neither: the round that had it before was abandoned, and released nothing.
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
        if (last != 0 && number != last && number - last < least) {
            return "round " + number + " of the run is " + (number - last) + " after this device's last, expected " + least;
        }
        return tooOften(terms, number, (long) policy.get().get("max_participations"));
    }

    private String tooOften(PrivacyTerms terms, long number, long own) {
        if (own > 0 && number == 0) {
            return "the owner allows " + own + " rounds of a run, and the assignment does not number them";
        }
        long agreed = terms.participations(), most = own > 0 && agreed > 0 ? Math.min(own, agreed) : Math.max(own, agreed);
        if (number == 0 || most == 0) return null;
        long taken = records.roundsTaken(terms.run(), number);
        return taken < most ? null
                : "this device took part in " + taken + " rounds of the run, at most " + most + " are agreed";
    }
}
