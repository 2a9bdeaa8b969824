package edgewise.android;

import edgewise.device.Runtime;
import edgewise.wire.errors.ModelError;
import edgewise.wire.model.Artifact;
import java.io.File;

/** A phone without a runtime: TensorFlow Lite's native library for Android runs on no desktop JVM. */
final class NoRuntime implements Runtime {
    @Override
    public String name() {
        return "none";
    }

    @Override
    public Session open(File model, Artifact artifact) {
        throw new ModelError("no runtime on this machine");
    }
}
