"""Surgery on the converter's file: give each weight a constant of its own, embed the manifest, keep the alignment.

The converter shares equal constants (two zero biases are one buffer, and so is a constant of the graph that happens to
be equal), but a coordinator patches weights in place; and FlatBuffers' Python `Pack` forgets that the schema aligns
constants to 16 bytes (`force_align: 16`), which kernels rely on.
"""

from __future__ import annotations

from collections import Counter
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

    def drop_unused(self) -> None:
        """Empty the constant buffers that nothing refers to any more."""
        used = {t.buffer for graph in self.model.subgraphs for t in graph.tensors}
        used |= {entry.buffer for entry in self.model.metadata or []}
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
