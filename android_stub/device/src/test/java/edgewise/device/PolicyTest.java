package edgewise.device;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import edgewise.wire.Messages.Assignment;
import edgewise.wire.Messages.Kind;
import edgewise.wire.errors.ConfigError;
import java.io.File;
import java.io.FileWriter;
import java.io.IOException;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The owner's limits hold whatever a coordinator asks. */
class PolicyTest {
    private static final Assignment GOOD = Assignment.ABSENT.withAttempt(1).withLearningRate(0.5f);

    @TempDir
    File folder;

    @Test
    void anAssignmentWithinTheLimitsIsTaken() {
        assertNull(new Policy().refusal(GOOD, 5, 1e6));
        assertNull(new Policy().with("require_clipping", 1).refusal(GOOD.withEncoding("clip-0.5+eden-2"), 5, 0));
    }

    @Test
    void everyLimitRefusesInWords() {
        Policy policy = new Policy();
        Map<String, String> found = Map.of(
                policy.refusal(GOOD, 0, 0), "at least 1",
                policy.refusal(GOOD.withEpochs(21), 5, 0), "at most 20",
                policy.refusal(GOOD.withEpochs(0), 5, 0), "no epochs",
                policy.refusal(GOOD.withLearningRate(Float.NaN), 5, 0), "learning rate",
                policy.refusal(GOOD.withMu(-1), 5, 0), "mu",
                policy.refusal(GOOD.withEncoding("zip"), 5, 0), "zip",
                policy.refusal(GOOD.withKind(7), 5, 0), "kind 7",
                policy.refusal(GOOD.withAggregator("a/#"), 5, 0), "aggregator name",
                policy.refusal(GOOD, 5, 201e6), "201.0 MB",
                policy.with("require_clipping", 1).refusal(GOOD.withEncoding("clip-2"), 5, 0), "clipped to 2.0");
        found.forEach((reason, words) -> assertTrue(reason.contains(words), reason));
        assertTrue(policy.refusal(GOOD.withKind(Kind.EVALUATE), 0, 0).contains("held-out"));
        String secure = policy.with("require_secure_aggregation", 1).refusal(GOOD, 5, 0);
        assertTrue(secure.contains("secure aggregation"));
    }

    @Test
    void whatIsAskedForIsCutDown() {
        Policy policy = new Policy().with("max_examples", 10).with("max_minutes", 2);
        assertEquals(10, policy.examplesUsed(0, 50));
        assertEquals(7, policy.examplesUsed(7, 50));
        assertEquals(5, policy.examplesUsed(0, 5));
        assertEquals(120, policy.secondsAllowed(1e6f));
        assertEquals(120, policy.secondsAllowed(Float.NaN));
        assertEquals(60, policy.secondsAllowed(60));
    }

    @Test
    void theFileKeepsWhatWasChosenAndABadOneIsRefused() throws IOException {
        File path = new File(folder, "policy.json");
        new Policy().with("max_epochs", 3).save(path);
        assertEquals(3, Policy.load(path).get("max_epochs"));
        assertEquals(1, Policy.load(new File(folder, "none")).get("min_examples"));
        for (String bad : new String[] {"{", "[]", "{\"max_epochs\": -1}", "{\"max_epochs\": \"many\"}"}) {
            try (FileWriter writer = new FileWriter(path)) {
                writer.write(bad);
            }
            assertThrows(ConfigError.class, () -> Policy.load(path), bad);
        }
        assertThrows(ConfigError.class, () -> new Policy().with("no_such_rule", 1));
    }
}
