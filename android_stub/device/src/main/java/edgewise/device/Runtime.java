package edgewise.device;

import edgewise.wire.model.Artifact;
import java.io.Closeable;
import java.io.File;
import java.util.Map;

/** A TFLite runtime: on a phone {@code Interpreter}, on a desktop JVM the C++ library. */
public interface Runtime {
    /** Returns its name and version, for the coordinator. */
    String name();

    /**
     * Opens a model file that was checked.
     *
     * @throws edgewise.wire.errors.ModelError if the runtime refuses it
     */
    Session open(File model, Artifact artifact);

    /** One interpreter over one model. */
    interface Session extends Closeable {
        /**
         * Runs one signature; the tensors returned are the caller's own.
         *
         * @throws edgewise.wire.errors.ModelError if the graph has no such signature or a kernel fails
         */
        Map<String, Tensor> call(String signature, Map<String, Tensor> inputs);

        @Override
        void close();
    }
}
