package edgewise.desktop;

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
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.tensorflowlite.BuiltinOpResolver;
import org.bytedeco.tensorflowlite.FlatBufferModel;
import org.bytedeco.tensorflowlite.Interpreter;
import org.bytedeco.tensorflowlite.InterpreterBuilder;
import org.bytedeco.tensorflowlite.SignatureRunner;
import org.bytedeco.tensorflowlite.TfLiteTensor;

/** TensorFlow Lite's C++ library on a desktop JVM, through JavaCPP's presets; built-in operators alone. */
public final class DesktopRuntime implements Runtime {
    private static final int OK = 0;

    @Override
    public String name() {
        return "tensorflow-lite javacpp " + org.bytedeco.tensorflowlite.global.tensorflowlite.TfLiteVersion().getString();
    }

    @Override
    public Session open(File model, Artifact artifact) {
        return new DesktopSession(model, artifact);
    }

    private static final class DesktopSession implements Session {
        private final Artifact artifact;
        private final FlatBufferModel model;
        private final BuiltinOpResolver resolver = new BuiltinOpResolver();
        private final Interpreter interpreter = new Interpreter((org.bytedeco.javacpp.Pointer) null);
        private final Map<String, SignatureRunner> runners = new HashMap<>();

        DesktopSession(File file, Artifact artifact) {
            this.artifact = artifact;
            model = FlatBufferModel.BuildFromFile(file.getPath());
            if (model == null || model.isNull()) throw new ModelError("the runtime refuses the model " + file);
            try (InterpreterBuilder builder = new InterpreterBuilder(model, resolver)) {
                if (builder.apply(interpreter, 1) != OK || interpreter.isNull()) {
                    throw new ModelError("the runtime refuses the model " + file);
                }
            }
            if (interpreter.AllocateTensors() != OK) throw new ModelError("no memory for the tensors of " + file);
        }

        @Override
        public Map<String, Tensor> call(String name, Map<String, Tensor> inputs) {
            Signature signature = artifact.signatures().get(name);
            if (signature == null) throw new ModelError("the graph has no signature '" + name + "'");
            SignatureRunner runner = runners.computeIfAbsent(name, this::runner);
            signature.inputs().forEach((input, tensor) -> {
                Tensor given = inputs.get(input);
                if (given == null) throw new ModelError("signature '" + name + "': no input '" + input + "'");
                ByteBuffer target = memory(runner.input_tensor(input));
                if (target.remaining() != given.data().capacity()) {
                    throw new ModelError("signature '" + name + "': input '" + input + "' has " + given.data().capacity()
                            + " bytes, the graph takes " + target.remaining());
                }
                target.put(given.data().duplicate());
            });
            if (runner.Invoke() != OK) throw new ModelError("signature '" + name + "' failed");
            Map<String, Tensor> outputs = new LinkedHashMap<>();
            signature.outputs().forEach((output, tensor) -> outputs.put(output, taken(runner.output_tensor(output),
                    tensor.spec().dtype())));
            return outputs;
        }

        private SignatureRunner runner(String name) {
            SignatureRunner runner = interpreter.GetSignatureRunner(name);
            if (runner == null || runner.isNull() || runner.AllocateTensors() != OK) {
                throw new ModelError("the runtime has no signature '" + name + "'");
            }
            return runner;
        }

        private static ByteBuffer memory(TfLiteTensor tensor) {
            BytePointer raw = tensor.data().raw();
            return raw.capacity(tensor.bytes()).asByteBuffer().order(ByteOrder.nativeOrder());
        }

        private static Tensor taken(TfLiteTensor tensor, String dtype) {
            int[] shape = new int[tensor.dims().size()];
            for (int i = 0; i < shape.length; i++) shape[i] = tensor.dims().data().get(i);
            ByteBuffer copy = ByteBuffer.allocateDirect((int) tensor.bytes()).order(ByteOrder.nativeOrder());
            copy.put(memory(tensor)).flip();
            return new Tensor(dtype, shape, copy);
        }

        @Override
        public void close() {
            interpreter.close();
            resolver.close();
            model.close();
        }
    }
}
