package edgewise.device;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import edgewise.wire.Files;
import edgewise.wire.Json;
import edgewise.wire.Messages.Assignment;
import edgewise.wire.Messages.Kind;
import edgewise.wire.Messages.SecureTerms;
import edgewise.wire.Topics;
import edgewise.wire.errors.ConfigError;
import edgewise.wire.secure.Noise;
import edgewise.wire.transforms.Numbers;
import java.io.File;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;

/**
 * What the owner of a device allows, whatever a coordinator asks; the rules and their names are those of
 * {@code edge/edgewise_edge/policy.py}, but for what a phone's own job scheduler decides (power, heat, load, hours).
 *
 * <p>Megabytes are 10^6 bytes, both directions together; a day is the last 24 hours; 0 means no limit where nothing else is
 * said.
 */
public final class Policy {
    public static final double MEGABYTE = 1e6;
    private static final double ROUNDING = 1e-9; // a multiplier that is calculated back is not too small by its last bit
    private static final Map<String, Double> DEFAULTS = new LinkedHashMap<>();

    static {
        DEFAULTS.put("min_examples", 1.0);
        DEFAULTS.put("max_epochs", 20.0);
        DEFAULTS.put("max_examples", 0.0);
        DEFAULTS.put("max_megabytes", 200.0);
        DEFAULTS.put("max_minutes", 120.0);
        DEFAULTS.put("min_separation", 0.0);
        DEFAULTS.put("max_epochs_day", 0.0);
        DEFAULTS.put("max_minutes_day", 0.0);
        DEFAULTS.put("max_megabytes_day", 0.0);
        DEFAULTS.put("metered_megabytes", 0.0);
        DEFAULTS.put("require_clipping", 0.0);
        DEFAULTS.put("require_noise", 0.0);
        DEFAULTS.put("min_separation_rounds", 0.0);
        DEFAULTS.put("max_participations", 0.0);
        DEFAULTS.put("max_votes", 0.0);
        DEFAULTS.put("require_secure_aggregation", 0.0);
        DEFAULTS.put("min_cohort", 0.0);
        DEFAULTS.put("min_threshold", 0.0);
        DEFAULTS.put("keep_days", 0.0);
        DEFAULTS.put("keep_examples", 100_000.0);
        DEFAULTS.put("keep_megabytes", 16.0);
    }

    private final Map<String, Double> rules;

    private Policy(Map<String, Double> rules) {
        this.rules = rules;
    }

    /** The defaults. */
    public Policy() {
        this(DEFAULTS);
    }

    /** Returns the policy with one rule changed; yes is 1. Throws {@link ConfigError} if there is no such rule or value. */
    public Policy with(String name, double value) {
        if (!DEFAULTS.containsKey(name)) {
            throw new ConfigError("policy '" + name + "': there is no such rule; expected one of " + DEFAULTS.keySet());
        }
        if (!(value >= (name.equals("min_examples") ? 1 : 0)) || Double.isInfinite(value)) {
            throw new ConfigError("policy " + name + ": expected a number of at least 0, got " + value);
        }
        Map<String, Double> changed = new LinkedHashMap<>(rules);
        changed.put(name, value);
        return new Policy(changed);
    }

    /** Returns a rule's value. */
    public double get(String name) {
        return rules.get(name);
    }

    /** Reads the owner's rules; what the file does not name keeps its default, what another client knows is passed over. */
    public static Policy load(File path) {
        if (!path.isFile()) return new Policy();
        JsonElement found = Json.parse(Files.read(path, 1 << 20));
        if (found == null || !found.isJsonObject()) throw new ConfigError("policy file " + path + ": not a JSON object");
        Policy policy = new Policy();
        for (Map.Entry<String, JsonElement> rule : found.getAsJsonObject().entrySet()) {
            if (!DEFAULTS.containsKey(rule.getKey())) continue;
            JsonElement value = rule.getValue();
            boolean flag = value.isJsonPrimitive() && value.getAsJsonPrimitive().isBoolean();
            policy = policy.with(rule.getKey(), flag ? value.getAsBoolean() ? 1 : 0 : Json.number(value, Double.NaN));
        }
        return policy;
    }

    /** Writes the rules that are not the defaults. */
    public void save(File path) {
        JsonObject chosen = new JsonObject();
        rules.forEach((name, value) -> {
            if (!value.equals(DEFAULTS.get(name))) chosen.addProperty(name, value);
        });
        Files.writeDurably(path, (chosen + "\n").getBytes(StandardCharsets.UTF_8));
    }

    /** Returns how many of {@code held} examples a round that asks for {@code asked} (0 = all) may use. */
    public int examplesUsed(long asked, int held) {
        long most = get("max_examples") > 0 ? (long) get("max_examples") : held;
        return (int) Math.min(Math.min(held, asked > 0 ? asked : held), most);
    }

    /** Returns the seconds a round may take. */
    public double secondsAllowed(float deadline) {
        double most = 60 * get("max_minutes");
        return Float.isFinite(deadline) && deadline > 0 ? Math.min(deadline, most) : most;
    }

    /** Returns why this device does not take an assignment, {@code null} if it does. */
    public String refusal(Assignment asked, int held, double traffic) {
        String why = malformed(asked);
        if (why != null) return why;
        boolean train = asked.kind() == Kind.TRAIN;
        if (asked.kind() == Kind.EVALUATE && held == 0) return "this device has no held-out examples";
        if (asked.kind() == Kind.DISCOVER && get("max_votes") < 1) {
            return "this device's owner does not let it vote for words";
        }
        if (train && held < get("min_examples")) {
            return "this device has " + held + " examples, its owner asks for at least " + (long) get("min_examples");
        }
        if (train && asked.epochs() > get("max_epochs")) {
            return asked.epochs() + " epochs were asked for, the owner allows at most " + (long) get("max_epochs");
        }
        if (traffic > get("max_megabytes") * MEGABYTE) {
            return String.format(Locale.ROOT, "the round would move %.1f MB, the owner allows %.1f MB", traffic / MEGABYTE,
                    get("max_megabytes"));
        }
        return train ? notPrivateEnough(asked) : null;
    }

    private String notPrivateEnough(Assignment asked) {
        double norm = offeredClipping(asked), most = get("require_clipping");
        if (most > 0 && !(norm > 0 && norm <= most)) {
            return "updates would be clipped " + (norm > 0 ? "to " + norm : "not at all")
                    + ", the owner asks for a norm of at most " + most;
        }
        double noise = offeredNoise(asked);
        if (noise < get("require_noise")) {
            return "noise of " + Numbers.general(noise) + " times the norm would be added, the owner asks for at least "
                    + Numbers.general(get("require_noise"));
        }
        SecureTerms terms = asked.secure();
        if (terms.cohort() == 0) {
            return get("require_secure_aggregation") > 0
                    ? "the owner asks for secure aggregation, and the assignment does not offer it" : null;
        }
        if (terms.cohort() < get("min_cohort")) {
            return "at most " + terms.cohort() + " devices would take part, the owner asks for at least "
                    + (long) get("min_cohort");
        }
        return terms.least() < get("min_threshold") ? "the sum could be of " + terms.least()
                + " updates, the owner asks for at least " + (long) get("min_threshold") : null;
    }

    /** Returns the L2 norm to which an assignment has updates clipped on the device, 0 for none. */
    public static double offeredClipping(Assignment asked) {
        double clip = asked.secure().clip();
        if (asked.secure().cohort() > 0) return Double.isInfinite(clip) || Double.isNaN(clip) ? 0 : clip;
        if (Encoding.unknown(asked) != null) return 0;
        String first = asked.encoding().split("\\+")[0];
        return first.startsWith("clip-") ? Double.parseDouble(first.substring(5)) : 0;
    }

    /**
     * Returns the noise multiplier of the sum of clipped updates, 0 for none: as promised, or, where the devices add it, as
     * this device works it out from what all are told to add.
     */
    public static double offeredNoise(Assignment asked) {
        if (asked.secure().cohort() > 0) {
            if (Encoding.unknown(asked) != null) return 0;
            return Noise.multiplier(asked.secure(), Math.max(1, asked.weights().size() / 4)) * (1 + ROUNDING);
        }
        double noise = asked.privacy().noiseMultiplier();
        boolean promised = !asked.privacy().mechanism().isEmpty() && offeredClipping(asked) != 0
                && !Double.isNaN(noise) && !Double.isInfinite(noise);
        return promised ? noise : 0;
    }

    private static String malformed(Assignment asked) {
        if (!Arrays.asList(Kind.TRAIN, Kind.EVALUATE, Kind.DISCOVER).contains(asked.kind())) {
            return "assignment kind " + asked.kind() + " is not known to this version";
        }
        String unknown = Encoding.unknown(asked);
        if (unknown != null || asked.kind() == Kind.EVALUATE) return unknown;
        if (asked.kind() == Kind.DISCOVER) {
            return asked.discovery().length() > 0 && asked.discovery().votes() > 0 ? null : "no votes were asked for";
        }
        try { // it becomes a level of a topic
            if (!asked.aggregator().isEmpty()) Topics.checkName("aggregator", asked.aggregator());
        } catch (ConfigError error) {
            return error.getMessage();
        }
        if (!(Float.isFinite(asked.mu()) && asked.mu() >= 0)) {
            return "proximal weight mu " + asked.mu() + ": expected a number of at least 0";
        }
        if (!Correction.NAMES.contains(asked.correction())) {
            return "the correction '" + asked.correction() + "' is not known to this version";
        }
        if (asked.epochs() < 1) return "no epochs were asked for";
        if (!(Float.isFinite(asked.learningRate()) && asked.learningRate() > 0)) {
            return "learning rate " + asked.learningRate() + ": expected a number above 0";
        }
        return null;
    }
}
