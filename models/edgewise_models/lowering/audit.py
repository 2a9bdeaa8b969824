"""The last look before conversion: every operator that was written must have a TFLite built-in behind it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from edgewise_models.lowering.errors import LoweringError

# TensorFlow's operators that the converter turns into built-ins of both runtimes (tflite-runtime 2.14 and LiteRT 2).
BUILT_IN = frozenset(
    """
    Abs Add AddN AddV2 All Any ArgMax ArgMin AssignVariableOp AvgPool BatchMatMulV2 BatchToSpaceND BroadcastTo
    Cast Ceil ConcatV2 Const Conv2D Conv2DBackpropInput Cos Cumsum DepthToSpace DepthwiseConv2dNative Elu Equal
    Exp ExpandDims Fill Floor FloorDiv FloorMod GatherNd GatherV2 Greater GreaterEqual Identity IdentityN
    LeakyRelu Less LessEqual Log LogSoftmax LogicalAnd LogicalNot LogicalOr MatMul Max MaxPool Maximum Mean Min
    Minimum Mul Neg NoOp NotEqual OneHot OnesLike Pack Pad PadV2 Placeholder Pow Range ReadVariableOp RealDiv
    Relu Relu6 Reshape ResizeBilinear ResizeNearestNeighbor ReverseV2 Round Rsqrt ScatterNd SelectV2 Shape
    Sigmoid Sin Slice Softmax SpaceToBatchND SpaceToDepth Split SplitV Sqrt Square SquaredDifference Squeeze
    StridedSlice Sub Sum Tanh Tile TopKV2 Transpose Unpack VarHandleOp ZerosLike
    """.split()  # noqa: SIM905
)

WAYS_OUT: Mapping[str, str] = {
    "Conv3D": "use Conv2D over slices",
    "MaxPool3D": "use MaxPooling2D over slices",
    "AvgPool3D": "use AveragePooling2D over slices",
    "Conv3DBackpropInputV2": "use Conv2DTranspose over slices",
    "FFT": "compute spectra before the model",
    "RFFT": "compute spectra before the model",
    "Erfinv": "compute it before the model, or approximate it by a polynomial",
    "Lgamma": "compute it before the model, or approximate it by a polynomial",
    "StringSplit": "split text before the model",
    "LookupTableFindV2": "look words up before the model",
    "MatrixInverse": "solve before the model",
    "MatrixDeterminant": "solve before the model",
    "Cholesky": "solve before the model",
    "Qr": "solve before the model",
    "Svd": "solve before the model",
    "CTCLoss": "use a cross-entropy per step",
    "TruncatedNormal": "use keras.random.normal",
    "StatelessTruncatedNormalV2": "use keras.random.normal",
}
DEFAULT_WAY_OUT = "use a layer without it, freeze what is before it, or pass allow_flex=True"


def refuse_unlowered(functions: Mapping[str, Any], layers: Iterable[str], *, allow_flex: bool = False) -> list[str]:
    """Check the signatures' graphs; return the operators that Flex would have to run (none unless allowed).

    Raises:
        LoweringError: naming the layer, the operator and a way out.
    """
    names, flex = list(layers), set()
    for function in functions.values():
        for op in function.graph.get_operations():
            if op.type not in BUILT_IN:
                if not allow_flex:
                    raise no_built_in(op.name, op.type).locate(names)
                flex.add(op.type)
    return sorted(flex)


def no_built_in(path: str, operator: str) -> LoweringError:
    """Return the error for an operator that has neither a rule nor a built-in."""
    way_out = WAYS_OUT.get(operator, DEFAULT_WAY_OUT)
    return LoweringError(path, operator, "TFLite has no built-in operator for it", way_out)
