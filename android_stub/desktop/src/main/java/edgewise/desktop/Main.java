package edgewise.desktop;

import com.google.gson.JsonObject;
import edgewise.device.Agent;
import edgewise.device.Bundle;
import edgewise.device.Clock;
import edgewise.device.DeviceHost;
import edgewise.device.Home;
import edgewise.device.Identity;
import edgewise.device.Policy;
import edgewise.device.Predictor;
import edgewise.device.Trust;
import edgewise.device.store.ExampleStore;
import edgewise.device.transport.BrokerAddress;
import edgewise.device.transport.MqttTransport;
import edgewise.wire.Bytes;
import edgewise.wire.Files;
import edgewise.wire.Weights;
import edgewise.wire.errors.EdgewiseError;
import edgewise.wire.model.Artifact;
import java.io.File;
import java.security.SecureRandom;
import java.util.Collections;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.atomic.AtomicBoolean;
import javax.net.SocketFactory;

/**
 * A device as a process on a desktop JVM, for tests and for a look at what a phone does.
 *
 * <pre>
 * java -jar edgewise-desktop.jar run --broker mqtt://127.0.0.1:1883 --fleet home --device jvm-1 --home FOLDER
 * java -jar edgewise-desktop.jar run --bundle FILE --home FOLDER
 * java -jar edgewise-desktop.jar add --home FOLDER "see you at seven"
 * java -jar edgewise-desktop.jar predict --home FOLDER "see you"
 * java -jar edgewise-desktop.jar inspect MODEL.tflite
 * </pre>
 */
public final class Main {
    private Main() {}

    public static void main(String[] arguments) {
        try {
            Map<String, String> options = options(arguments);
            switch (arguments.length == 0 ? "" : arguments[0]) {
                case "run" -> run(options);
                case "add" -> add(options);
                case "predict" -> predict(options);
                case "inspect" -> inspect(options);
                default -> throw new edgewise.wire.errors.InputError(
                        "expected run, add, predict or inspect, such as: run --bundle FILE --home FOLDER");
            }
        } catch (EdgewiseError error) {
            System.err.println("edgewise-desktop: " + error.getMessage());
            System.exit(error instanceof edgewise.wire.errors.InputError ? 2 : 1);
        }
    }

    private static Map<String, String> options(String[] arguments) {
        Map<String, String> found = new HashMap<>();
        for (int i = 1; i < arguments.length; i++) {
            if (arguments[i].startsWith("--") && i + 1 < arguments.length) found.put(arguments[i].substring(2), arguments[++i]);
            else found.put("", arguments[i]);
        }
        return found;
    }

    private static String needed(Map<String, String> options, String name) {
        String value = options.get(name);
        if (value == null) throw new edgewise.wire.errors.InputError("--" + name + " is missing");
        return value;
    }

    private static ExampleStore store(Home home) {
        return new ExampleStore(home.examples, JdbcDatabase::new, () -> keeping(Policy.load(home.policy)),
                Clock.SYSTEM::wall);
    }

    private static ExampleStore.Limits keeping(Policy policy) {
        return new ExampleStore.Limits(86400 * policy.get("keep_days"), (long) policy.get("keep_examples"),
                (long) (Policy.MEGABYTE * policy.get("keep_megabytes")));
    }

    private static void run(Map<String, String> options) {
        System.setProperty("java.util.logging.SimpleFormatter.format", "%1$tF %1$tT %5$s%6$s%n");
        Home home = new Home(new File(needed(options, "home")));
        BrokerAddress address;
        Identity identity;
        SocketFactory sockets = null;
        Trust trust = Trust.NOBODY_IS_ASKED;
        long session = new SecureRandom().nextLong() >>> 1;
        if (options.containsKey("bundle")) {
            Bundle bundle = Bundle.parse(Files.read(new File(options.get("bundle")), 1 << 20));
            address = bundle.address();
            identity = new Identity(bundle.fleet(), bundle.device(), session);
            sockets = bundle.sockets();
            trust = bundle.trust();
        } else {
            address = BrokerAddress.parse(needed(options, "broker"));
            identity = new Identity(needed(options, "fleet"), needed(options, "device"), session);
        }
        MqttTransport transport = new MqttTransport(address, identity.fleet() + "." + identity.device(), identity.will(),
                sockets);
        AtomicBoolean stop = new AtomicBoolean();
        Thread main = Thread.currentThread();
        java.lang.Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            stop.set(true);
            try {
                main.join(5000); // a goodbye is said, and the work is on disk
            } catch (InterruptedException error) {
                Thread.currentThread().interrupt();
            }
        }));
        try (ExampleStore store = store(home)) {
            DeviceHost host = new DeviceHost(home, store, new DesktopRuntime(), Collections.emptyList());
            try (Agent agent = new Agent(home, transport, identity, host, JdbcDatabase::new, Clock.SYSTEM,
                    () -> Policy.load(home.policy), () -> false, trust)) {
                transport.start();
                agent.run(stop::get);
            }
        }
    }

    private static void add(Map<String, String> options) {
        try (ExampleStore store = store(new Home(new File(needed(options, "home"))))) {
            System.out.println(store.add(needed(options, "")));
        }
    }

    private static void predict(Map<String, String> options) {
        try (Predictor predictor = Predictor.open(new Home(new File(needed(options, "home"))), new DesktopRuntime())) {
            for (Predictor.Suggestion one : predictor.suggest(options.getOrDefault("", ""), 3)) {
                System.out.println(one.word() + " " + one.probability());
            }
        }
    }

    private static void inspect(Map<String, String> options) {
        Artifact artifact = Artifact.load(new File(needed(options, "")));
        JsonObject said = new JsonObject();
        said.addProperty("name", artifact.manifest().name());
        said.addProperty("graph_hash", Bytes.hex(artifact.graphHash()));
        said.addProperty("weights_hash", Bytes.hex(artifact.weightsHash()));
        said.addProperty("parameters", Weights.parameters(artifact.manifest().weights()));
        said.addProperty("signatures", artifact.signatures().keySet().toString());
        said.addProperty("vocabulary", artifact.manifest().vocabulary().size());
        byte[] again = artifact.withWeights(artifact.weights());
        said.addProperty("file_hash", Bytes.hex(Bytes.hash(again)));
        System.out.println(said);
    }
}
