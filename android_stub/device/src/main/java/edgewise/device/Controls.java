package edgewise.device;

import edgewise.wire.Bytes;
import edgewise.wire.Files;
import edgewise.wire.Weights;
import java.io.File;

/**
 * A device's own vectors between rounds, by graph and round: control variates (Karimireddy et al. 2020: cᵢ never leaves the
 * device) and residuals (error feedback). Which one is in force the coordinator says with each assignment.
 */
final class Controls {
    static final String CONTROLS = "controls", RESIDUALS = "residuals";

    private final File folder;

    Controls(Home home, byte[] graphHash, String kind) {
        folder = new File(new File(home.path, kind), Bytes.hex(graphHash).substring(0, 32));
    }

    /** Returns the vector as it was after a round; {@code null}, meaning zeros, if there is none that fits. */
    float[] load(long round, int parameters) {
        File path = new File(folder, Long.toString(round));
        if (round == 0 || !path.isFile() || path.length() != 4L * parameters) return null;
        float[] found = Weights.fromBytes(Files.read(path, 4L * parameters), parameters);
        return Weights.finite(found) ? found : null;
    }

    /** Keeps the vector as it is after a round, beside the one that is in force until that round has counted. */
    void save(long round, float[] values, long inForce) {
        Files.makeFolder(folder);
        File[] old = folder.listFiles();
        if (old != null) {
            for (File one : old) {
                if (!one.getName().equals(Long.toString(inForce)) && !one.getName().equals(Long.toString(round))) one.delete();
            }
        }
        Files.writeDurably(new File(folder, Long.toString(round)), Weights.toBytes(values));
    }
}
