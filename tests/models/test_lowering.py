"""The lowering's gradients against TensorFlow's own, layer by layer, in TensorFlow: no conversion yet."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from edgewise_models.lowering import LoweringError, Player, gradients, trace
from edgewise_models.lowering.audit import BUILT_IN
from edgewise_models.matrix import BATCH, CASES
from edgewise_models.tensorflow import tf

RELATIVE = 5e-5  # float32 rounding, in parts of the largest number of the tensor
NEGLIGIBLE = 1e-2  # and of the largest of all gradients: a bias before a normalization has none but rounding


def _inputs(model, rng):
    return [
        rng.integers(0, 11, (BATCH, *spec.shape[1:])).astype(np.int32)
        if "int" in spec.dtype
        else rng.normal(size=(BATCH, *spec.shape[1:])).astype(np.float32)
        for spec in model.inputs
    ]


class Lowered:
    """A model's output and gradients under the lowering, as one TensorFlow function."""

    def __init__(self, model, inputs, cotangent, seed=3):
        self.model, self.inputs, self.cotangent = model, inputs, cotangent
        specs = [tf.TensorSpec(x.shape, x.dtype) for x in inputs]
        self.traced = trace(self.call, specs)
        self.variables = [v.value for v in model.trainable_variables]
        self.seed = seed
        self.function = tf.function(self._run, autograph=False)
        self.operators = {op.type for op in self.function.get_concrete_function(*specs).graph.get_operations()}

    def call(self, *inputs):
        return self.model(list(inputs) if len(inputs) > 1 else inputs[0], training=True)

    def play(self, inputs):
        player = Player(tf.constant(self.seed))
        for variable in self.variables:
            player.bind(variable, variable.read_value())
        values = [player.value_of(variable) for variable in self.variables]
        player.watch(values)
        return player, values, self.traced.play(player, list(inputs))

    def _run(self, *inputs):
        player, values, output = self.play(inputs)
        return output, gradients(player, [(output, tf.constant(self.cotangent))], values)

    def run(self):
        output, found = self.function(*self.inputs)
        return output.numpy(), [g.numpy() for g in found]

    def by_tensorflow(self):
        """TensorFlow's own forward and backward; of the played forward pass where that draws random numbers."""
        if "FloorMod" in self.operators:
            function = tf.function(self._taped, autograph=False)
            output, found = function(*self.inputs)
        else:
            with tf.GradientTape() as tape:
                output = self.call(*self.inputs)
                total = tf.reduce_sum(output * self.cotangent)
            found = tape.gradient(total, self.variables)
        return output.numpy(), [tf.convert_to_tensor(g).numpy() for g in found]

    def _taped(self, *inputs):
        with tf.GradientTape() as tape:
            _, values, output = self.play(inputs)
            total = tf.reduce_sum(output * self.cotangent)
        return output, [tf.convert_to_tensor(g) for g in tape.gradient(total, values)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.family}: {case.name}")
def test_a_layers_output_and_gradients_are_tensorflows(case):
    keras.utils.set_random_seed(3)
    rng = np.random.default_rng(0)
    model = case.build()
    inputs = _inputs(model, rng)
    lowered = Lowered(model, inputs, rng.normal(size=(BATCH, *model.output.shape[1:])).astype(np.float32))

    output, found = lowered.run()
    expected_output, expected = lowered.by_tensorflow()

    assert lowered.operators <= BUILT_IN | {"Bitcast"}
    np.testing.assert_allclose(output, expected_output, rtol=0, atol=RELATIVE * np.abs(expected_output).max())
    largest = max(np.abs(g).max() for g in expected)
    for got, wanted, variable in zip(found, expected, model.trainable_variables, strict=True):
        bound = RELATIVE * (np.abs(wanted).max() + NEGLIGIBLE * largest)
        np.testing.assert_allclose(got, wanted, rtol=0, atol=bound, err_msg=variable.path)


def _gradient_of(function, *values):
    """Play `function` of variables with these values and return the gradients of its sum."""
    variables = [tf.Variable(value) for value in values]
    traced = trace(lambda: function(*variables), [])

    def run():
        player = Player(tf.constant(5))
        for variable in variables:
            player.bind(variable, variable.read_value())
        held = [player.value_of(variable) for variable in variables]
        player.watch(held)
        output = traced.play(player, [])
        return gradients(player, [(output, tf.ones_like(output))], held)

    return [g if g is None else g.numpy() for g in tf.function(run, autograph=False)()]


def test_a_shared_weights_gradient_is_one_product_over_all_steps():
    weight = tf.Variable(np.eye(4, dtype=np.float32))
    start = np.ones((2, 4), np.float32)

    def loop(x):
        for _ in range(6):
            x = tf.tanh(tf.matmul(x, weight))
        return x

    traced = trace(loop, [tf.TensorSpec((2, 4))])

    def run(x):
        player = Player()
        player.bind(weight, weight.read_value())
        value = player.value_of(weight)
        player.watch([value])
        output = traced.play(player, [x])
        return gradients(player, [(output, tf.ones_like(output))], [value])

    graph = tf.function(run, autograph=False).get_concrete_function(tf.TensorSpec((2, 4))).graph
    products = [op for op in graph.get_operations() if op.type == "BatchMatMulV2"]
    transposes = [op for op in graph.get_operations() if op.type == "Transpose"]
    # six forward, five back through the loop, one for the weight; W is transposed once
    assert len(products) == 6 + 5 + 1
    assert len(transposes) == 1
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(loop(tf.constant(start)))
    (found,) = tf.function(run, autograph=False)(start)
    np.testing.assert_allclose(found, tape.gradient(total, weight), rtol=1e-5)


def test_a_product_has_the_right_gradient_at_zeros():
    (found,) = _gradient_of(lambda x: tf.reduce_prod(x), np.array([2.0, 0.0, 3.0], np.float32))
    np.testing.assert_allclose(found, [0.0, 6.0, 0.0])


def test_a_maximum_pool_gives_ties_to_the_first_place_as_tensorflow_does():
    image = np.zeros((1, 4, 4, 1), np.float32)
    pool = lambda x: tf.nn.max_pool2d(x, 3, 1, "VALID")  # noqa: E731
    (found,) = _gradient_of(pool, image)
    variable = tf.Variable(image)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(pool(variable))
    np.testing.assert_array_equal(found, tape.gradient(total, variable))


def test_a_branch_that_the_data_decides_becomes_a_choice_of_values():
    for value, slope in ((3.0, 6.0), (-3.0, -1.0)):
        (found,) = _gradient_of(lambda x: tf.cond(x > 0.0, lambda: x * x, lambda: -x), np.float32(value))
        assert found == slope


def test_nothing_flows_to_what_the_output_does_not_depend_on():
    kept, unused = _gradient_of(lambda x, y: x * tf.stop_gradient(y), np.float32(2), np.float32(3))
    assert kept == 3.0
    assert unused is None


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda x: tf.while_loop(lambda v: tf.reduce_sum(v) < 9.0, lambda v: (v + v,), [x])[0], "number of steps"),
        (lambda x: tf.cond(tf.reshape(x, []) > 0, lambda: x, lambda: tf.tile(x, [2])), "differ in shape"),
        (lambda x: tf.linalg.inv(tf.reshape(x, [1, 1])), "MatrixInverse"),
        (lambda x: tf.random.stateless_truncated_normal([3], [1, 2]) * x, "Truncated"),
    ],
)
def test_what_cannot_be_lowered_is_refused_by_name(function, said):
    with pytest.raises(LoweringError, match=said):
        _gradient_of(function, np.ones(1, np.float32))


@pytest.mark.parametrize("seed", [0, 1, 12345, 2**31 - 1])
def test_dropout_draws_are_uniform_and_differ_from_seed_to_seed_and_site_to_site(seed):
    from edgewise_models.lowering.rules.random import uniform

    player = Player(tf.constant(seed))
    drawn = uniform(player, (100, 1000), 0).numpy()
    other = uniform(player, (100, 1000), 1).numpy()
    assert ((drawn >= 0) & (drawn < 1)).all()
    counts = np.histogram(drawn, 50, (0, 1))[0]
    assert ((counts - 2000) ** 2 / 2000).sum() < 110  # χ² with 49 degrees of freedom: 1 in 10⁶
    for lag in (1, 7, 2048):
        assert abs(np.corrcoef(drawn.ravel()[:-lag], drawn.ravel()[lag:])[0, 1]) < 0.016  # five deviations
    assert abs(np.corrcoef(drawn.ravel(), other.ravel())[0, 1]) < 0.016
    next_seed = uniform(Player(tf.constant((seed + 1) % 2**31)), (100, 1000), 0).numpy()
    assert abs(np.corrcoef(drawn.ravel(), next_seed.ravel())[0, 1]) < 0.016


def test_a_cross_entropys_gradient_over_many_classes_is_never_written_out():
    """Tied embedding and output layer: products, a gather and one scatter, no one-hot rows."""
    rng = np.random.default_rng(0)
    classes, width, rows = 1500, 4, 6
    table = tf.Variable(rng.normal(size=(classes, width)).astype(np.float32))
    bias = tf.Variable(rng.normal(size=classes).astype(np.float32))
    tokens, labels = (rng.integers(0, classes, rows).astype(np.int32) for _ in range(2))
    tokens[1] = labels[2] = tokens[0]  # what repeats must add up
    weights = rng.uniform(size=rows).astype(np.float32)

    def losses(tokens, labels):
        logits = tf.matmul(tf.tanh(tf.gather(table, tokens)), table, transpose_b=True) + bias
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)

    specs = [tf.TensorSpec((rows,), tf.int32)] * 2
    traced = trace(losses, specs)

    def run(tokens, labels):
        player = Player()
        for variable in (table, bias):
            player.bind(variable, variable.read_value())
        values = [player.value_of(variable) for variable in (table, bias)]
        player.watch(values)
        output = traced.play(player, [tokens, labels])
        return output, gradients(player, [(output, tf.constant(weights))], values)

    function = tf.function(run, autograph=False)
    operators = [op.type for op in function.get_concrete_function(*specs).graph.get_operations()]
    assert "OneHot" not in operators
    assert operators.count("ScatterNd") == 2  # the table's and the bias's
    assert operators.count("Softmax") == 1
    output, found = function(tokens, labels)
    with tf.GradientTape() as tape:
        expected = losses(tokens, labels)
        total = tf.reduce_sum(expected * weights)
    np.testing.assert_allclose(output, expected, rtol=1e-5)
    for got, wanted in zip(found, tape.gradient(total, [table, bias]), strict=True):
        np.testing.assert_allclose(got, tf.convert_to_tensor(wanted), atol=1e-6)
