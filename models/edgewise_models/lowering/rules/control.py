"""Functions are inlined, loops unrolled, branches chosen, lists of tensors held as Python lists."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgewise_models.lowering.call import Call
from edgewise_models.lowering.player import body_of
from edgewise_models.lowering.registry import NEVER_FOLDED, composed
from edgewise_models.lowering.values import TensorList, Value, VariableRef, dtype_of, is_known, shape_of
from edgewise_models.tensorflow import tf

LONGEST_LOOP = 2048
"""Steps: an unrolled loop has every operator of its body once a step."""


def _play(call: Call, graph: Any, inputs: list[Value]) -> list[Value]:
    bindings = {id(inner): value for inner, value in zip(graph.inputs, inputs, strict=True)}
    return call.player.play(graph, bindings, graph.outputs, path=f"{call.name}/")


@composed("PartitionedCall", "StatefulPartitionedCall")
def inline(call: Call) -> list[Value]:
    """Play the function's body in place."""
    return _play(call, body_of(call, "f"), call.inputs)


@composed("While", "StatelessWhile")
def unroll(call: Call) -> list[Value]:
    """Play the body as often as the condition, which must be known, says."""
    condition, body = body_of(call, "cond"), body_of(call, "body")
    values = list(call.inputs)
    for _ in range(LONGEST_LOOP + 1):
        (go_on,) = _play(call, condition, values)
        if not is_known(go_on):
            raise call.refuse("the number of steps depends on the data", "use a fixed number of steps and a mask")
        if not bool(go_on):
            return values
        values = _play(call, body, values)
    raise call.refuse(f"more than {LONGEST_LOOP} steps", "shorten the sequence")


@composed("If", "StatelessIf")
def choose(call: Call) -> list[Value]:
    """Play the branch that is known to be taken; both, and choose between their values, if the data decides."""
    if is_known(call.x):
        return _play(call, body_of(call, "then_branch" if bool(call.x) else "else_branch"), call.inputs[1:])
    if call.shape():
        raise call.refuse("a condition that is no scalar", "use tf.reduce_any or tf.where")
    before = dict(call.player.variables)
    pairs = zip(*(_play(call, body_of(call, f"{b}_branch"), call.inputs[1:]) for b in ("then", "else")), strict=True)
    if call.player.variables != before:
        raise call.refuse("a branch that assigns a variable", "assign outside tf.cond")
    return [_either(call, taken, other) for taken, other in pairs]


def _either(call: Call, taken: Value, other: Value) -> Value:
    if isinstance(taken, TensorList) or shape_of(taken) != shape_of(other):
        raise call.refuse("branches whose values differ in shape", "compute both and choose with tf.where")
    return taken if taken is other else call.player.emit("SelectV2", [call.x, taken, other], call.name)[0]


@composed("Case", "StatelessCase")
def choose_case(call: Call) -> list[Value]:
    """Play the branch that is known to be taken."""
    if not is_known(call.x):
        raise call.refuse("the branch depends on the data", "compute all and choose with tf.where")
    from edgewise_models.lowering.player import graph_of

    branches = call.attrs["branches"]
    index = int(call.x)
    chosen = branches[index if 0 <= index < len(branches) else -1]
    return _play(call, graph_of(chosen.name, call.source.graph), call.inputs[1:])


# Variables


@composed("ReadVariableOp")
def read(call: Call) -> list[Value]:
    """The variable's current value."""
    return [call.player.read(_ref(call))]


@composed("ResourceGather")
def resource_gather(call: Call) -> list[Value]:
    """GATHER from the current value."""
    inputs = [call.player.read(_ref(call)), call.inputs[1], np.int32(0)]
    return call.player.emit("GatherV2", inputs, call.name, batch_dims=int(call.attrs.get("batch_dims", 0)))


@composed("ResourceGatherNd")
def resource_gather_nd(call: Call) -> list[Value]:
    """GATHER_ND from the current value."""
    return call.player.emit("GatherNd", [call.player.read(_ref(call)), call.inputs[1]], call.name)


@composed("VariableShape")
def variable_shape(call: Call) -> list[Value]:
    """Known."""
    return [np.array(_ref(call).variable.shape.as_list(), np.int32)]


@composed("AssignVariableOp", "AssignAddVariableOp", "AssignSubVariableOp")
def assign(call: Call) -> list[Value]:
    """Replace the current value."""
    ref, value = _ref(call), call.inputs[1]
    if call.type != "AssignVariableOp":
        operator = "AddV2" if call.type == "AssignAddVariableOp" else "Sub"
        value = call.player.emit(operator, [call.player.read(ref), value], call.name)[0]
    call.player.assign(ref, value)
    return []


def _ref(call: Call) -> VariableRef:
    if not isinstance(call.x, VariableRef):
        raise call.refuse("a resource that is no variable", "keep tables and queues out of the model")
    return call.x


# Lists of tensors


@composed("TensorListReserve", "EmptyTensorList")
def new_list(call: Call) -> list[Value]:
    """A list of so many gaps."""
    reserve = call.type == "TensorListReserve"
    count = int(call.known(1, "the number of elements")) if reserve else 0
    shape = call.inputs[0]
    dims = tuple(int(n) for n in np.atleast_1d(shape)) if is_known(shape) else None
    return [TensorList([None] * count, dims, call.attrs["element_dtype"])]


@composed("TensorListFromTensor")
def list_from(call: Call) -> list[Value]:
    """One element a row."""
    count = call.shape()[0]
    items = call.player.emit("Unpack", [call.x], call.name, num=count, axis=0)
    return [TensorList(items, call.shape()[1:], dtype_of(call.x))]


@composed("TensorListGetItem")
def list_get(call: Call) -> list[Value]:
    """The element at a known place; zeros in a gap."""
    index = int(call.known(1, "the place in the list"))
    item = call.x.items[index]
    return [_gap(call) if item is None else item]


def _gap(call: Call) -> Value:
    dims = call.x.element_shape
    if (dims is None or any(n < 0 for n in dims)) and len(call.inputs) > 2 and is_known(call.inputs[2]):
        dims = tuple(int(n) for n in np.atleast_1d(call.inputs[2]))
    if dims is None or any(n < 0 for n in dims):
        raise call.refuse("an unset element of unknown shape", "write every element of the TensorArray")
    return np.zeros(dims, tf.as_dtype(call.x.dtype).as_numpy_dtype)


@composed("TensorListSetItem")
def list_set(call: Call) -> list[Value]:
    """A list with one element replaced."""
    index = int(call.known(1, "the place in the list"))
    items = list(call.x.items)
    items += [None] * (index + 1 - len(items))
    items[index] = call.inputs[2]
    return [TensorList(items, call.x.element_shape, call.x.dtype)]


@composed("TensorListStack")
def list_stack(call: Call) -> list[Value]:
    """All elements as one tensor."""
    items = [_gap(call) if item is None else item for item in call.x.items]
    return call.player.emit("Pack", items, call.name, axis=0, N=len(items))


@composed("TensorListPushBack")
def list_push(call: Call) -> list[Value]:
    """A list with one more element."""
    return [TensorList([*call.x.items, call.inputs[1]], call.x.element_shape, call.x.dtype)]


@composed("TensorListPopBack")
def list_pop(call: Call) -> list[Value]:
    """The rest and the last element."""
    *rest, last = call.x.items
    return [TensorList(rest, call.x.element_shape, call.x.dtype), last]


@composed("TensorListLength")
def list_length(call: Call) -> list[Value]:
    """Known."""
    return [np.asarray(len(call.x.items), np.int32)]


@composed("TensorListElementShape")
def list_element_shape(call: Call) -> list[Value]:
    """Known."""
    return [np.asarray(call.x.element_shape, tf.as_dtype(call.attrs["shape_type"]).as_numpy_dtype)]


NEVER_FOLDED.update({"PartitionedCall", "StatefulPartitionedCall", "While", "StatelessWhile", "If", "StatelessIf"})
NEVER_FOLDED.update({"Case", "StatelessCase", "TensorListReserve", "EmptyTensorList", "TensorListFromTensor"})


@composed("Where", "Unique", "UniqueV2")
def sized_by_data(call: Call) -> Any:
    """Refuse what finds places or values: TFLite has it, but nothing after it would have a fixed shape."""
    raise call.refuse("the size of its output depends on the data", "use a mask, or tf.where with two values")
