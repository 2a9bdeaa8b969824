"""Surgery on the converter's file: give each weight a constant of its own, embed the manifest, keep the alignment.

The converter shares equal constants (two zero biases are one buffer, and so is a constant of the graph that happens to
be equal), but a coordinator patches weights in place; and FlatBuffers' Python `Pack` forgets that the schema aligns
constants to 16 bytes (`force_align: 16`), which kernels rely on.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import flatbuffers
import numpy as np

from edgewise_models.tensorflow import schema
from edgewise_wire.errors import ModelError
from edgewise_wire.tflite_file import IDENTIFIER
from edgewise_wire.weights import Array

ALIGNMENT = 16

_VAR_HANDLE = schema.BuiltinOperator.VAR_HANDLE
_READ = schema.BuiltinOperator.READ_VARIABLE
_ASSIGN = schema.BuiltinOperator.ASSIGN_VARIABLE
_RESHAPE = schema.BuiltinOperator.RESHAPE
_ELEMENTWISE = (schema.BuiltinOperator.ADD, schema.BuiltinOperator.SUB, schema.BuiltinOperator.MUL)
_FILL = schema.BuiltinOperator.FILL
_CALL_ONCE = schema.BuiltinOperator.CALL_ONCE


class _AlignedBuffer(schema.BufferT):  # type: ignore[misc]
    """A constant buffer whose data starts at a multiple of 16 bytes."""

    def Pack(self, builder: Any) -> int:  # noqa: N802
        data = np.asarray(self.data if self.data is not None else [], np.uint8)
        vector = _aligned_vector(builder, data) if data.size else 0
        schema.BufferStart(builder)
        if vector:
            schema.BufferAddData(builder, vector)
        end: int = schema.BufferEnd(builder)
        return end


def _shape(subgraph: Any, tensor: int) -> list[int]:
    shape = subgraph.tensors[tensor].shape
    return [] if shape is None else [int(size) for size in shape]


def _fingerprint(data: bytes) -> tuple[int, bytes]:
    """Return what a constant's bytes have in common with those of its transposes."""
    words = np.frombuffer(data, np.uint32) if len(data) % 4 == 0 else np.frombuffer(data, np.uint8)
    return len(data), hashlib.sha256(np.sort(words).tobytes()).digest()


def _aligned_vector(builder: Any, data: Array) -> int:
    builder.StartVector(1, data.size, ALIGNMENT)
    builder.head -= data.size
    builder.Bytes[builder.head : builder.head + data.size] = data.tobytes()
    end: int = builder.EndVector()
    return end


@dataclass(frozen=True, slots=True)
class _Assignment:
    """Where a variable's initial value stands: the operator that assigns it and its subgraph."""

    subgraph: Any
    operator: Any


class Container:
    """A converted model, taken apart so that it can be changed and put together again.

    Raises:
        ModelError: if `data` holds a variable whose initial value is not a constant.
    """

    def __init__(self, data: bytes) -> None:
        self.model = schema.ModelT.InitFromPackedBuf(bytearray(data), 0)
        self._initial = self._initial_values()

    def variable_of_output(self, signature: str, output: str) -> str:
        """Return the shared name of the variable that a signature's output is read from.

        Raises:
            ModelError: if the output is no plain read of a variable.
        """
        definition = self._signature(signature)
        subgraph = self.model.subgraphs[definition.subgraphIndex]
        tensor = next(entry.tensorIndex for entry in definition.outputs if entry.name.decode() == output)
        handles = self._handles(subgraph)
        for operator in subgraph.operators:
            if self._code(operator) == _READ and operator.outputs[0] == tensor and operator.inputs[0] in handles:
                return handles[operator.inputs[0]]
        raise ModelError(f"signature {signature!r}: the output {output!r} is not a plain read of a variable")

    def variable_of_input(self, signature: str, name: str) -> str:
        """Return the shared name of the variable that a signature's input is assigned to.

        Raises:
            ModelError: if the input is not assigned to one as it is.
        """
        definition = self._signature(signature)
        subgraph = self.model.subgraphs[definition.subgraphIndex]
        tensor = next(entry.tensorIndex for entry in definition.inputs if entry.name.decode() == name)
        handles = self._handles(subgraph)
        for operator in subgraph.operators:
            if self._code(operator) == _ASSIGN and operator.inputs[1] == tensor and operator.inputs[0] in handles:
                return handles[operator.inputs[0]]
        raise ModelError(f"signature {signature!r}: the input {name!r} is not assigned to a variable")

    def holding(self, arrays: Sequence[Array]) -> list[int]:
        """Return the numbers of the buffers that hold one of these arrays, in whatever order of its axes."""
        wanted = {_fingerprint(np.asarray(array).tobytes()) for array in arrays}
        if not wanted:
            return []
        found = ((number, buffer.data) for number, buffer in enumerate(self.model.buffers))
        return [n for n, data in found if data is not None and _fingerprint(bytes(data)) in wanted]

    def initialize_apart(self, variables: Sequence[str], signatures: Sequence[str]) -> None:
        """Let variables be set to zero only by the signatures that use them, on the first call of one.

        A CALL_ONCE of their own takes the place of the constants that the converter stored for them; without one, a
        read before the first assignment would return whatever the memory held.
        """
        graph = schema.SubGraphT()
        graph.name, graph.tensors, graph.operators = b"zero_offsets", [], []
        graph.inputs = graph.outputs = np.zeros(0, np.int32)
        for variable in variables:
            found = self._initial.pop(variable)
            found.subgraph.operators = [op for op in found.subgraph.operators if op is not found.operator]
            self._zero(graph, found)
        self.model.subgraphs.append(graph)
        for signature in signatures:
            call = schema.OperatorT()
            call.opcodeIndex = self._operator_code(_CALL_ONCE)
            call.inputs = call.outputs = np.zeros(0, np.int32)
            call.builtinOptionsType, call.builtinOptions = (
                schema.BuiltinOptions.CallOnceOptions,
                schema.CallOnceOptionsT(),
            )
            call.builtinOptions.initSubgraphIndex = len(self.model.subgraphs) - 1
            self.model.subgraphs[self._signature(signature).subgraphIndex].operators.insert(0, call)

    def _zero(self, graph: Any, found: _Assignment) -> None:
        """Add to `graph` what sets a variable to zero."""
        handle, value = (int(number) for number in found.operator.inputs)
        maker = next(op for op in found.subgraph.operators if handle in op.outputs)
        places = []
        for number in (handle, value):
            tensor = schema.TensorT()
            tensor.__dict__.update(found.subgraph.tensors[number].__dict__)
            places.append(len(graph.tensors))
            graph.tensors.append(tensor)
        shape = graph.tensors[places[1]].shape
        graph.tensors[places[1]].buffer = 0
        make, assign = schema.OperatorT(), schema.OperatorT()
        make.__dict__.update(maker.__dict__)
        assign.__dict__.update(found.operator.__dict__)
        make.outputs = np.array([places[0]], np.int32)
        assign.inputs = np.array(places, np.int32)
        fill = self._fill(graph, np.array(shape if shape is not None else [], np.int32), np.float32(0), places[1])
        graph.operators += [make, fill, assign]

    def _fill(self, subgraph: Any, shape: Array, value: Any, place: int) -> Any:
        fill = schema.OperatorT()
        fill.opcodeIndex = self._operator_code(_FILL)
        inputs = [self._constant(subgraph, shape), self._constant(subgraph, np.asarray(value))]
        fill.inputs, fill.outputs = np.array(inputs, np.int32), np.array([place], np.int32)
        fill.builtinOptionsType, fill.builtinOptions = schema.BuiltinOptions.FillOptions, schema.FillOptionsT()
        return fill

    def fill_instead(self, variable: str, value: Array) -> None:
        """Let a variable start from a FILL instead of a constant; all elements of `value` are equal."""
        found = self._initial[variable]
        place = int(found.operator.inputs[1])
        tensor = found.subgraph.tensors[place]
        if any(place in op.outputs for op in found.subgraph.operators):
            return  # another variable starts from the same fill
        tensor.buffer = 0
        fill = self._fill(found.subgraph, np.array(value.shape, np.int32), value.flat[0], place)
        found.subgraph.operators.insert(0, fill)

    def initial_value(self, variable: str) -> tuple[int, bytes]:
        """Return the number and the bytes of the constant buffer that a variable starts from."""
        found = self._initial[variable]
        number = int(found.subgraph.tensors[found.operator.inputs[1]].buffer)
        data = self.model.buffers[number].data
        return number, b"" if data is None else bytes(data)

    def make_own(self, variable: str) -> int:
        """Give a variable's initial value a tensor and a buffer that nothing else uses; return the buffer's number."""
        found = self._initial[variable]
        tensor = found.subgraph.tensors[found.operator.inputs[1]]
        if Counter(t.buffer for graph in self.model.subgraphs for t in graph.tensors)[tensor.buffer] > 1 or (
            sum(found.operator.inputs[1] in op.inputs for op in found.subgraph.operators) > 1
        ):
            tensor = self._copy_tensor(found, tensor)
        return int(tensor.buffer)

    def rename(self, signature: str, names: dict[str, str]) -> None:
        """Give inputs and outputs of a signature other names."""
        definition = self._signature(signature)
        for entry in (*definition.inputs, *definition.outputs):
            entry.name = names.get(entry.name.decode(), entry.name.decode()).encode()

    def undo_squeezed_addends(self) -> None:
        """Let additions read [1, n] itself where the converter put a RESHAPE to [n] before them (it does at batch 1).

        Besides saving the operator: tflite-runtime 2.14 adds in place over a reshaped tensor although the tensor that
        was reshaped is read again later, and the later readers see the sum.
        """
        for subgraph in self.model.subgraphs:
            sources = {int(op.outputs[0]): int(op.inputs[0]) for op in subgraph.operators if self._code(op) == _RESHAPE}
            for op in subgraph.operators:
                if self._code(op) not in _ELEMENTWISE:
                    continue
                rank = len(_shape(subgraph, op.outputs[0]))
                op.inputs = np.array([self._unsqueezed(subgraph, sources, int(i), rank) for i in op.inputs], np.int32)
            read = {int(i) for op in subgraph.operators for i in op.inputs} | {int(i) for i in subgraph.outputs}
            subgraph.operators = [
                op for op in subgraph.operators if self._code(op) != _RESHAPE or int(op.outputs[0]) in read
            ]

    def _unsqueezed(self, subgraph: Any, sources: dict[int, int], tensor: int, rank: int) -> int:
        source = sources.get(tensor)
        if source is None:
            return tensor
        before, after = _shape(subgraph, source), _shape(subgraph, tensor)
        ones = len(before) - len(after)
        squeezed = ones > 0 and before == [1] * ones + after and len(before) <= rank
        return source if squeezed else tensor

    def drop_unused(self) -> None:
        """Empty the constant buffers that no operator reads any more."""
        used = {entry.buffer for entry in self.model.metadata or []}
        for graph in self.model.subgraphs:
            touched = {int(i) for op in graph.operators for array in (op.inputs, op.outputs) for i in array}
            touched |= {int(i) for array in (graph.inputs, graph.outputs) for i in array}
            for number, tensor in enumerate(graph.tensors):
                if number not in touched:
                    tensor.buffer = 0
                used.add(tensor.buffer)
        for number, buffer in enumerate(self.model.buffers):
            if number not in used:
                buffer.data = None

    def add_metadata(self, name: str, data: bytes) -> None:
        """Embed bytes as a metadata entry."""
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(data, np.uint8)
        entry = schema.MetadataT()
        entry.name, entry.buffer = name.encode(), len(self.model.buffers)
        self.model.buffers.append(buffer)
        self.model.metadata = [*(self.model.metadata or []), entry]

    def metadata(self, name: str) -> bytes:
        """Return a metadata entry's bytes, empty if there is none."""
        for entry in self.model.metadata or []:
            if entry.name.decode() == name:
                data = self.model.buffers[entry.buffer].data
                return b"" if data is None else bytes(data)
        return b""

    def pack(self) -> bytes:
        """Return the file."""
        for buffer in self.model.buffers:
            buffer.__class__ = _AlignedBuffer
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(self.model.Pack(builder), IDENTIFIER)
        return bytes(builder.Output())

    def _signature(self, name: str) -> Any:
        return next(entry for entry in self.model.signatureDefs if entry.signatureKey.decode() == name)

    def _code(self, operator: Any) -> int:
        code = self.model.operatorCodes[operator.opcodeIndex]
        return max(int(code.builtinCode), int(code.deprecatedBuiltinCode))

    def _operator_code(self, builtin: int) -> int:
        """Return the index of an operator's first version, added if it is not there."""
        for number, code in enumerate(self.model.operatorCodes):
            if max(int(code.builtinCode), int(code.deprecatedBuiltinCode)) == builtin and code.version == 1:
                return number
        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = builtin
        code.version = 1
        self.model.operatorCodes.append(code)
        return len(self.model.operatorCodes) - 1

    def _constant(self, subgraph: Any, value: Array) -> int:
        """Add a constant to a subgraph; return its tensor's number."""
        buffer, tensor = schema.BufferT(), schema.TensorT()
        buffer.data = np.frombuffer(np.ascontiguousarray(value).tobytes(), np.uint8)
        tensor.buffer = len(self.model.buffers)
        tensor.shape = np.array(value.shape, np.int32)
        tensor.type = {"int32": schema.TensorType.INT32, "float32": schema.TensorType.FLOAT32}[value.dtype.name]
        tensor.name = f"fill/{tensor.buffer}".encode()
        self.model.buffers.append(buffer)
        subgraph.tensors.append(tensor)
        return len(subgraph.tensors) - 1

    def _handles(self, subgraph: Any) -> dict[int, str]:
        """Return the variables' shared names by the tensor of their handle."""
        return {
            int(op.outputs[0]): op.builtinOptions.sharedName.decode()
            for op in subgraph.operators
            if self._code(op) == _VAR_HANDLE
        }

    def _initial_values(self) -> dict[str, _Assignment]:
        graphs = {
            op.builtinOptions.initSubgraphIndex
            for graph in self.model.subgraphs
            for op in graph.operators
            if self._code(op) == _CALL_ONCE
        }
        found: dict[str, _Assignment] = {}
        for subgraph in (self.model.subgraphs[number] for number in sorted(graphs)):
            handles = self._handles(subgraph)
            made = {int(out) for op in subgraph.operators for out in op.outputs}
            for op in subgraph.operators:
                if self._code(op) != _ASSIGN:
                    continue
                name = handles[int(op.inputs[0])]
                if int(op.inputs[1]) in made:
                    raise ModelError(f"variable {name!r}: its initial value is computed in the graph, not a constant")
                found[name] = _Assignment(subgraph, op)
        return found

    def _copy_tensor(self, found: _Assignment, tensor: Any) -> Any:
        buffer = schema.BufferT()
        buffer.data = np.array(self.model.buffers[tensor.buffer].data, np.uint8)
        copy = schema.TensorT()
        copy.__dict__.update(tensor.__dict__)
        copy.buffer = len(self.model.buffers)
        self.model.buffers.append(buffer)
        inputs = np.array(found.operator.inputs)
        inputs[1] = len(found.subgraph.tensors)
        found.operator.inputs = inputs
        found.subgraph.tensors.append(copy)
        return copy
