package edgewise.android;

import edgewise.device.Runtime;
import edgewise.device.Tensor;
import edgewise.wire.errors.ModelError;
import edgewise.wire.model.Artifact;
import edgewise.wire.model.TfliteFile.Signature;
import java.io.File;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import org.tensorflow.lite.Interpreter;
import org.tensorflow.lite.TensorFlowLite;

/** TensorFlow Lite (or LiteRT, which has the same classes) as apps have it: the signatures of a model by name. */
final class InterpreterRuntime implements Runtime {
    private static final int BYTES = 4; // float32 and int32 are all that edgewise's signatures take and give

    @Override
    public String name() {
        return "tensorflow-lite android " + TensorFlowLite.runtimeVersion();
    }

    @Override
    public Session open(File model, Artifact artifact) {
        try {
            return new InterpreterSession(new Interpreter(model, new Interpreter.Options().setNumThreads(1)), artifact);
        } catch (IllegalArgumentException | IllegalStateException error) {
            throw new ModelError("the runtime refuses the model: " + error.getMessage(), error);
        }
    }

    private static final class InterpreterSession implements Session {
        private final Interpreter interpreter;
        private final Artifact artifact;

        InterpreterSession(Interpreter interpreter, Artifact artifact) {
            this.interpreter = interpreter;
            this.artifact = artifact;
        }

        @Override
        public Map<String, Tensor> call(String name, Map<String, Tensor> inputs) {
            Signature signature = artifact.signatures().get(name);
            if (signature == null) throw new ModelError("the graph has no signature '" + name + "'");
            Map<String, Object> given = new HashMap<>(), taken = new HashMap<>();
            inputs.forEach((input, tensor) -> given.put(input, tensor.data()));
            Map<String, Tensor> outputs = new LinkedHashMap<>();
            signature.outputs().forEach((output, tensor) -> {
                int[] shape = new int[tensor.spec().shape().size()];
                for (int i = 0; i < shape.length; i++) shape[i] = tensor.spec().shape().get(i);
                ByteBuffer data = ByteBuffer.allocateDirect((int) (BYTES * tensor.spec().size()))
                        .order(ByteOrder.nativeOrder());
                taken.put(output, data);
                outputs.put(output, new Tensor(tensor.spec().dtype(), shape, data));
            });
            try {
                interpreter.runSignature(given, taken, name);
            } catch (IllegalArgumentException | IllegalStateException error) {
                throw new ModelError("signature '" + name + "' failed: " + error.getMessage(), error);
            }
            for (Tensor tensor : outputs.values()) tensor.data().position(0);
            return outputs;
        }

        @Override
        public void close() {
            interpreter.close();
        }
    }
}
