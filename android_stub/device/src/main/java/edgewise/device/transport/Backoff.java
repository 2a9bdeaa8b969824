package edgewise.device.transport;

import java.util.Random;

/** The waits between attempts to connect: doubling, with jitter, so that a fleet does not return as one. */
final class Backoff {
    private static final double BASE_SECONDS = 0.25, CAP_SECONDS = 30;

    private final Random dice = new Random();
    private int tries;

    /** Returns the seconds to wait before the next attempt. */
    double next() {
        double full = Math.min(CAP_SECONDS, BASE_SECONDS * Math.pow(2, Math.min(tries++, 60)));
        return full * (0.5 + 0.5 * dice.nextDouble());
    }

    void reset() {
        tries = 0;
    }
}
