package edgewise.device;

import edgewise.wire.model.WeightSpec;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;

/**
 * What is added to each gradient of local training: FedProx's pull (Li et al. 2020) and SCAFFOLD's control variates
 * (Karimireddy et al. 2020); all vectors are as long as the weights.
 *
 * @param mu FedProx's μ
 * @param server c of SCAFFOLD, {@code null} without it
 * @param own this device's cᵢ, {@code null} while it is zero
 */
public record Correction(float mu, float[] server, float[] own) {
    /** The corrections that this device can make, by their names on the wire. */
    public static final List<String> NAMES = Collections.unmodifiableList(Arrays.asList("", "scaffold"));

    /** Returns −μ·w₀ + c − cᵢ. */
    float[] offset(float[] weights) {
        float[] total = new float[weights.length];
        for (int i = 0; i < total.length; i++) {
            total[i] = weights[i] * -mu;
            if (server != null) total[i] += server[i];
            if (own != null) total[i] -= own[i];
        }
        return total;
    }

    /** Returns Δc = −c + (x − y)/(K·η), zero for averaged state. */
    float[] change(float[] update, List<WeightSpec> specs, int steps, double learningRate) {
        float[] change = new float[update.length];
        float factor = (float) (-1.0 / (steps * learningRate));
        for (int i = 0; i < change.length; i++) {
            change[i] = update[i] * factor;
            if (server != null) change[i] -= server[i];
        }
        int at = 0;
        for (WeightSpec spec : specs) {
            if (!spec.averaged()) continue;
            int end = at + (int) spec.size();
            if (!spec.role().equals("trainable")) Arrays.fill(change, at, end, 0f);
            at = end;
        }
        return change;
    }
}
