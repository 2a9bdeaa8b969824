package edgewise.wire.transforms;

import edgewise.wire.Bytes;
import edgewise.wire.random.Pcg64;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;

/**
 * Where all randomness of one encoding comes from; both sides know it, so what it yields need not be sent.
 *
 * @param seed the assignment's seed, an unsigned 64-bit number
 * @param round the round's number
 * @param device the device's name
 */
public record Key(long seed, long round, String device) {
    private byte[] digest(String purpose) {
        MessageDigest digest = Bytes.sha256();
        digest.update(("edgewise/" + purpose + "\n").getBytes(StandardCharsets.UTF_8));
        byte[] numbers = new byte[16];
        Bytes.putI64(numbers, 0, seed);
        Bytes.putI64(numbers, 8, round);
        digest.update(numbers);
        return digest.digest(device.getBytes(StandardCharsets.UTF_8));
    }

    /** Returns 64 bits for one purpose. */
    public long number(String purpose) {
        return Bytes.i64(digest(purpose), 0);
    }

    /** Returns 32 bits that tell, in an encoding's header, whether it was made with this key. */
    public int tag() {
        return Bytes.i32(digest("tag"), 0);
    }

    /** Returns the generator of what the coordinator need not draw again (the dice of stochastic rounding). */
    public Pcg64 noise() {
        return Pcg64.ofWords(Pcg64.words(digest("noise")));
    }
}
