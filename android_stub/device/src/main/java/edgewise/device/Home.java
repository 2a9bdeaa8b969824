package edgewise.device;

import edgewise.wire.Files;
import java.io.File;

/**
 * The paths inside a device's folder; the same names as {@code edge/edgewise_edge/home.py}.
 *
 * <pre>
 * examples.sqlite        the owner's examples
 * participation.sqlite   what was asked and sent
 * policy.json            the owner's limits (optional)
 * paused                 exists while the owner has paused participation
 * model.json, blobs/     the latest graph and weights
 * session/               the assignment in work
 * status.json            what the agent last said about itself
 * </pre>
 */
public final class Home {
    public final File path;
    public final File examples;
    public final File participation;
    public final File policy;
    public final File paused;
    public final File blobs;
    public final File session;
    public final File model;
    public final File status;

    /** Throws {@code UnavailableError} if the folder cannot be made. */
    public Home(File path) {
        this.path = path.getAbsoluteFile();
        examples = new File(this.path, "examples.sqlite");
        participation = new File(this.path, "participation.sqlite");
        policy = new File(this.path, "policy.json");
        paused = new File(this.path, "paused");
        blobs = new File(this.path, "blobs");
        session = new File(this.path, "session");
        model = new File(this.path, "model.json");
        status = new File(this.path, "status.json");
        Files.makeFolder(this.path);
        Files.makeFolder(blobs);
        Files.makeFolder(session);
    }

    /** Removes what was made of the owner's examples: control variates, residuals, an update that waits to be sent. */
    public void forgetWhatWasLearned() {
        Files.delete(new File(path, Controls.CONTROLS));
        Files.delete(new File(path, Controls.RESIDUALS));
        File[] work = session.listFiles();
        if (work != null) for (File one : work) one.delete();
    }
}
