package edgewise.device;

import edgewise.wire.Bytes;
import edgewise.wire.Messages.Assignment;
import edgewise.wire.Messages.Kind;
import edgewise.wire.Messages.SecureTerms;
import edgewise.wire.crypto.Agreement;
import edgewise.wire.errors.ConfigError;
import edgewise.wire.random.Pcg64;
import edgewise.wire.secure.Form;
import edgewise.wire.secure.Noise;
import edgewise.wire.secure.Skellam;
import edgewise.wire.transforms.Clip;
import edgewise.wire.transforms.Codec;
import edgewise.wire.transforms.Codecs;
import edgewise.wire.transforms.Key;
import java.security.SecureRandom;

/** How a device's update becomes the bytes that it sends: in the encoding that the assignment names. */
final class Encoding {
    private Encoding() {}

    /** Returns how many bytes an assignment's update will have; 0 for an encoding that is not known. */
    static long updateBytes(Assignment asked) {
        if (asked.kind() != Kind.TRAIN || unknown(asked) != null) return 0;
        long numbers = (asked.weights().size() + (asked.correction().isEmpty() ? 0 : asked.control().size())) / 4;
        if (asked.secure().cohort() > 0) return Form.of(asked.secure()).packedBytes(numbers);
        return Codecs.get(asked.encoding()).size((int) Math.max(1, Math.min(numbers, Integer.MAX_VALUE / 8)));
    }

    /** Returns why this device cannot encode as it is asked, {@code null} if it can. */
    static String unknown(Assignment asked) {
        if (asked.secure().cohort() > 0) return secureProblem(asked);
        try {
            Codecs.get(asked.encoding());
            return null;
        } catch (ConfigError error) {
            return "updates encoded as '" + asked.encoding() + "' are not known to this version";
        }
    }

    /** Returns why this device cannot take part in a secure round on these terms, {@code null} if it can. */
    private static String secureProblem(Assignment asked) {
        SecureTerms terms = asked.secure();
        if (!asked.encoding().equals(Form.ENCODING)) {
            return "a secure round's updates encoded as '" + asked.encoding() + "' are not known to this version";
        }
        if (terms.least() < 2 || terms.least() > terms.cohort() || terms.cohort() > Form.COHORT_MAX) {
            return "a secure round of " + terms.least() + " to " + terms.cohort() + " devices: expected 2 to "
                    + Form.COHORT_MAX;
        }
        if (!(terms.clip() >= 0 && terms.clip() < Double.POSITIVE_INFINITY)) {
            return "clipping norm " + terms.clip() + ": expected a number of at least 0";
        }
        if (terms.noise() != 0 && !(terms.clip() > 0 && terms.weightMax() == 1)) {
            return "noise without a clipping norm and equal weights protects nobody";
        }
        if (terms.noise() > Noise.VARIANCE_MAX) {
            return "noise of a variance of " + terms.noise() + ": this version draws up to " + Noise.VARIANCE_MAX;
        }
        if (!asked.correction().isEmpty()) return "a secure round cannot carry a control variate besides";
        try {
            Form.of(terms);
            return null;
        } catch (ConfigError error) {
            return error.getMessage();
        }
    }

    /**
     * Returns what a device adds to a secure sum: uint32[parameters + 2], in the clear; it never leaves the device.
     *
     * @throws edgewise.wire.errors.InputError if the update has a number that is not finite
     */
    static byte[] secureWords(Assignment asked, float[] update, int examples, float loss) {
        SecureTerms terms = asked.secure();
        Form form = Form.of(terms);
        float[] sent = terms.clip() > 0 ? Clip.shrunk(update, terms.clip()) : update;
        long[] noise = null;
        double norm = Double.POSITIVE_INFINITY;
        byte[] key = new byte[Agreement.KEY_BYTES], dice = new byte[Agreement.KEY_BYTES];
        SecureRandom random = new SecureRandom();
        random.nextBytes(key);
        random.nextBytes(dice);
        if (terms.noise() > 0) {
            norm = Form.roundedNorm(terms.clip() / form.step(), update.length);
            noise = Skellam.draw(update.length, terms.noise(), key);
        }
        int[] words = form.encode(sent, examples, loss, Pcg64.ofWords(Pcg64.words(dice))::random, norm, noise);
        byte[] out = new byte[4 * words.length];
        for (int i = 0; i < words.length; i++) Bytes.putI32(out, 4 * i, words[i]);
        return out;
    }

    /**
     * Returns an update's bytes; what they leave unsaid is kept on disk for a later round. Law: a function of (seed, round,
     * device), the update and the residual in force: made again after a crash, it is the same bytes.
     */
    static byte[] encodeUpdate(Home home, Work work, String device, float[] update) {
        Assignment asked = work.asked();
        Codec codec = Codecs.get(asked.encoding());
        Controls kept = new Controls(home, asked.graph().hash(), Controls.RESIDUALS);
        float[] residual = codec.stateful() ? kept.load(asked.controlRound(), update.length) : null;
        Codec.Encoded encoded = codec.encode(update, new Key(asked.seed(), work.round(), device), residual);
        if (encoded.residual() != null) kept.save(work.round(), encoded.residual(), asked.controlRound());
        return encoded.data();
    }
}
