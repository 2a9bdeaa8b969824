package edgewise.wire.secure;

import edgewise.wire.Messages.SecureTerms;

/** How much noise a secure sum carries for certain, by its terms; the same as {@code wire/edgewise_wire/secure/noise.py}. */
public final class Noise {
    /** Of one device's noise, in steps²: a larger table would be drawn from than a phone holds. */
    public static final double VARIANCE_MAX = 1e12;

    private Noise() {}

    /** Returns how many devices of a sum add their noise for certain: the fewest, without the corrupt of a whole cohort. */
    public static long honest(long least, long cohort) {
        return least - (long) (Plan.CORRUPT * cohort);
    }

    /**
     * Returns the noise of a sum over the largest norm of an update in it, 0 where nothing is sure: what honest devices add,
     * by what all are told to add.
     *
     * @param numbers how many an update has
     */
    public static double multiplier(SecureTerms terms, long numbers) {
        long sure = honest(terms.least(), terms.cohort());
        if (!(terms.noise() > 0 && terms.clip() > 0 && terms.weightMax() == 1 && sure > 0)) return 0;
        double norm = Form.roundedNorm(terms.clip() / Form.of(terms).step(), (int) numbers);
        return Math.sqrt(sure * terms.noise()) / norm;
    }
}
