package edgewise.device;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import edgewise.wire.Messages.Assignment;
import edgewise.wire.Messages.DiscoveryTerms;
import edgewise.wire.Messages.Kind;
import edgewise.wire.Messages.SecureTerms;
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
    void noiseInASecureSumIsWhatAllAreToldToAddAndNoPromise() {
        SecureTerms terms = new SecureTerms(100, 80, 16, 0.5, 1, 1e8, 0.5); // 75 of 80 add a standard deviation of 10,000
        Assignment asked = GOOD.withEncoding("masked").withSecure(terms)
                .withWeights(GOOD.weights().withSize(4000)).withPrivacy(GOOD.privacy().withMechanism("skellam").withNoiseMultiplier(99));
        double sure = Policy.offeredNoise(asked), norm = 32767.5; // 0.5 is 32,767 steps; rounding 1,000 numbers adds little
        assertEquals(Math.sqrt(75) * 1e4 / norm, sure, 1e-3);
        assertNull(new Policy().with("require_noise", 0.999 * sure).refusal(asked, 5, 0));
        assertTrue(new Policy().with("require_noise", 1.001 * sure).refusal(asked, 5, 0).contains("times the norm"));
        assertEquals(0, Policy.offeredNoise(asked.withSecure(terms.withLeast(5))));
        assertEquals(0, Policy.offeredNoise(asked.withSecure(terms.withNoise(0))));
        assertTrue(new Policy().refusal(asked.withSecure(terms.withNoise(2e12)), 5, 0).contains("draws up to"));
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
        SecureTerms terms = new SecureTerms(8, 4, 20, 4, 1, 0, 0.5);
        Assignment masked = GOOD.withEncoding("masked").withSecure(terms);
        assertNull(policy.refusal(masked, 5, 0));
        assertNull(policy.with("require_clipping", 0.5).with("require_secure_aggregation", 1).with("min_cohort", 8)
                .with("min_threshold", 4).refusal(masked, 5, 0));
        Map<String, String> secured = Map.of(
                policy.with("min_cohort", 9).refusal(masked, 5, 0), "at most 8 devices",
                policy.with("min_threshold", 5).refusal(masked, 5, 0), "could be of 4 updates",
                policy.with("require_clipping", 0.4).refusal(masked, 5, 0), "clipped to 0.5",
                policy.refusal(masked.withEncoding("eden-2"), 5, 0), "a secure round's updates encoded as 'eden-2'",
                policy.refusal(masked.withSecure(terms.withLeast(1)), 5, 0), "1 to 8 devices",
                policy.refusal(masked.withSecure(terms.withCohort(1537)), 5, 0), "4 to 1537 devices",
                policy.refusal(masked.withSecure(terms.withClip(Double.NaN)), 5, 0), "clipping norm",
                policy.refusal(masked.withSecure(terms.withNoise(9).withClip(0)), 5, 0), "protects nobody",
                policy.refusal(masked.withSecure(terms.withValueBits(30)), 5, 0), "2 to 24 bits",
                policy.refusal(masked.withCorrection("scaffold"), 5, 0), "control variate");
        secured.forEach((reason, words) -> assertTrue(reason.contains(words), reason));
        Assignment words = GOOD.withKind(Kind.DISCOVER).withDiscovery(new DiscoveryTerms(2, 3));
        assertTrue(policy.refusal(words, 5, 0).contains("does not let it vote"));
        assertNull(policy.with("max_votes", 1).refusal(words, 5, 0));
        assertTrue(policy.refusal(words.withDiscovery(DiscoveryTerms.ABSENT), 5, 0).contains("no votes"));
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
