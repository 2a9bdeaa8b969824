package edgewise.desktop;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import edgewise.device.Correction;
import edgewise.device.Examples;
import edgewise.device.LocalTraining;
import edgewise.device.Trainer;
import edgewise.wire.Files;
import edgewise.wire.errors.InputError;
import edgewise.wire.errors.ModelError;
import edgewise.wire.model.Artifact;
import edgewise.wire.random.Pcg64;
import java.io.File;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The real model file through the real runtime; a damaged file is refused before the runtime sees it. */
class TrainerTest {
    private static final List<String> TEXTS = Arrays.asList("see you at me", "we are on to it", "so it is", "i do not");

    @TempDir
    File folder;

    @BeforeEach
    void needsTheModel() {
        Assumptions.assumeTrue(Rig.MODEL.isFile(), "no " + Rig.MODEL + ": make fixtures");
    }

    private static Examples examples(Trainer trainer, boolean evaluate) {
        return new Examples.NextWord(TEXTS, trainer.manifest(), evaluate);
    }

    private static LocalTraining.LocalUpdate train(Trainer trainer, float[] weights, Correction correction) {
        LocalTraining.Train work = new LocalTraining.Train(trainer, weights, examples(trainer, false), 3, 0.5f, 0,
                Pcg64.ofDevice(1, 2, "jvm"), correction);
        while (work.result() == null) work.next();
        return work.result();
    }

    @Test
    void trainingLowersTheLossAndTheSameSeedGivesTheSameBits() {
        try (Trainer trainer = new Trainer(Rig.MODEL, new DesktopRuntime())) {
            float[] start = trainer.getWeights();
            assertArrayEquals(Artifact.load(Rig.MODEL).weights(), start);
            LocalTraining.LocalUpdate first = train(trainer, start, null), again = train(trainer, start, null);
            assertArrayEquals(first.update(), again.update());
            float[] trained = start.clone();
            for (int i = 0; i < trained.length; i++) trained[i] += first.update()[i];
            assertTrue(lossOf(trainer, trained) < lossOf(trainer, start));
        }
    }

    private static double lossOf(Trainer trainer, float[] weights) {
        LocalTraining.Evaluate work = new LocalTraining.Evaluate(trainer, weights, examples(trainer, true), 0);
        while (work.result() == null) work.next();
        return work.result().sums().get("loss_sum");
    }

    @Test
    void aCorrectionOfNothingIsPlainTrainingAndScaffoldsChangeFollowsItsLaw() {
        try (Trainer trainer = new Trainer(Rig.MODEL, new DesktopRuntime())) {
            float[] start = trainer.getWeights();
            float[] plain = train(trainer, start, null).update();
            float[] nothing = train(trainer, start, new Correction(0, null, null)).update();
            assertArrayEquals(plain, nothing, 1e-6f);
            LocalTraining.LocalUpdate both = train(trainer, start, new Correction(0, new float[start.length], null));
            assertEquals(2 * start.length, both.update().length);
            for (int i = 0; i < start.length; i++) { // with c and c_i zero: minus the update over K times the rate
                assertEquals(-both.update()[i] / (both.steps() * 0.5), both.update()[start.length + i], 1e-6);
            }
            assertArrayEquals(Arrays.copyOfRange(both.update(), start.length, 2 * start.length), both.control());
            float[] pulled = train(trainer, start, new Correction(5f, null, null)).update();
            assertTrue(norm(pulled) < norm(plain)); // FedProx holds it back
        }
    }

    private static double norm(float[] values) {
        double sum = 0;
        for (float value : values) sum += (double) value * value;
        return Math.sqrt(sum);
    }

    @Test
    void aBatchOfAnotherShapeIsRefusedByItsName() {
        try (Trainer trainer = new Trainer(Rig.MODEL, new DesktopRuntime())) {
            InputError error = assertThrows(InputError.class,
                    () -> trainer.trainStep(Collections.emptyMap(), 0.5f, 0));
            assertTrue(error.getMessage().contains("expected int32["), error.getMessage());
            assertThrows(InputError.class, () -> trainer.setWeights(new float[3]));
        }
    }

    @Test
    void aDamagedModelIsRefusedBeforeTheRuntimeSeesIt() {
        byte[] good = Files.read(Rig.MODEL, 1 << 24);
        Random dice = new Random(3);
        for (int i = 0; i < 300; i++) {
            byte[] bad = i % 10 == 0 ? Arrays.copyOf(good, dice.nextInt(good.length)) : good.clone();
            for (int n = 0; n < 2 && bad.length > 0; n++) bad[dice.nextInt(bad.length)] ^= (byte) (1 + dice.nextInt(255));
            try {
                Artifact artifact = Artifact.load(bad); // only weights may change and leave a good file
                assertArrayEquals(Artifact.load(good).graphHash(), artifact.graphHash());
            } catch (ModelError refused) {
                assertTrue(refused.getMessage().length() > 5);
            }
        }
    }

    @Test
    void weightsAreSetIntoTheGraphAndTheGraphStaysTheSame() {
        Artifact artifact = Artifact.load(Rig.MODEL);
        float[] changed = artifact.weights();
        for (int i = 0; i < changed.length; i++) changed[i] = i * 0.001f;
        File path = new File(folder, "changed.tflite");
        Files.writeDurably(path, artifact.withWeights(changed));
        Artifact found = Artifact.load(path);
        assertArrayEquals(changed, found.weights());
        assertArrayEquals(artifact.graphHash(), found.graphHash());
        try (Trainer trainer = new Trainer(path, new DesktopRuntime())) {
            assertArrayEquals(changed, trainer.getWeights());
        }
        assertThrows(InputError.class, () -> artifact.withWeights(new float[] {1}));
    }
}
