"""Parameters and multiply-adds of an ONNX graph, from the shapes that ONNX infers; nothing is run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

from segbench import Counts, counted, first_line

_MOST_NAMED = 3
_UNKNOWN = frozenset(("Attention", "DFT", "Det", "GRU", "If", "LSTM", "Loop", "RNN", "Scan", "STFT", "SequenceMap"))
"""Operators that multiply and that are not counted here."""
_NOT_WEIGHTS = {
    "BatchNormalization": (3, 4),
    "DequantizeLinear": (1, 2),
    "QuantizeLinear": (1, 2),
    "Resize": (1, 2, 3),
    "Upsample": (1,),
    "QLinearConv": (1, 2, 4, 5, 6, 7),
    "QLinearMatMul": (1, 2, 4, 5, 6, 7),
}
"""By operator: inputs that training does not set: running statistics, scales and zero points of quantization, sizes."""

Shape = tuple[int, ...]


class UncountedError(Exception):
    """A graph in which something cannot be counted; the message says what."""


def external_files(path: Path) -> list[Path]:
    """The files beside an ONNX file in which its weights lie, in order."""
    import onnx

    try:
        graph = onnx.load(path, load_external_data=False).graph
    except Exception:  # the runtime says what is wrong with it
        return []
    names = [entry.value for tensor in _tensors(graph) for entry in tensor.external_data if entry.key == "location"]
    inside = [name for name in dict.fromkeys(names) if not Path(name).is_absolute() and ".." not in Path(name).parts]
    return [path.with_name(name) for name in inside]


def count_onnx(path: Path, shape: Shape) -> Counts:
    """Parameters, and multiply-adds for one input of this shape (as the file takes it), or why they could not be counted."""
    import onnx

    try:
        model = onnx.load(path, load_external_data=False)
        params = _params(model.graph)
    except Exception as error:
        return Counts(missing=f"its graph cannot be read: {first_line(error)}")
    try:
        return Counts(params=params, macs=_macs(model, shape))
    except UncountedError as error:
        return Counts(params=params, missing=f"multiply-adds not counted: {error}")
    except Exception as error:  # shape inference of foreign graphs may raise anything
        return Counts(params=params, missing=f"multiply-adds not counted: {first_line(error)}")


def _params(graph: Any) -> int:
    """Values of all weights; a batch normalisation that was folded into a convolution is none any more."""
    excluded = {node.input[index] for node in graph.node for index in _NOT_WEIGHTS.get(node.op_type, ()) if index < len(node.input)}
    named = {tensor.name: tensor for tensor in graph.initializer}
    named |= {node.output[0]: a.t for node in graph.node if node.op_type == "Constant" for a in node.attribute if a.name == "value"}
    weights = [tensor for name, tensor in named.items() if name not in excluded and tensor.dims and tensor.data_type in _weight_types()]
    return sum(prod(tensor.dims) for tensor in weights)


def _weight_types() -> frozenset[int]:
    from onnx import TensorProto as Types

    names = ("FLOAT", "FLOAT16", "BFLOAT16", "DOUBLE", "INT8", "UINT8", "INT4", "UINT4", "FLOAT8E4M3FN", "FLOAT8E5M2")
    return frozenset(getattr(Types, name) for name in names if hasattr(Types, name))


def _macs(model: Any, shape: Shape) -> int:
    from onnx import inliner, shape_inference

    if model.functions:
        model = inliner.inline_local_functions(model)
    for axis, length in zip(model.graph.input[0].type.tensor_type.shape.dim, shape, strict=True):
        axis.Clear()
        axis.dim_value = length
    del model.graph.value_info[:]  # sizes of the export, where the file takes others
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    graph = shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {value.name: _shape(value) for value in [*graph.input, *graph.value_info, *graph.output]}
    shapes |= {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    _refuse_unknown(graph.node)
    return sum(_COUNTS[node.op_type](node, _Shapes(shapes)) for node in graph.node if node.op_type in _COUNTS)


def _refuse_unknown(nodes: Iterable[Any]) -> None:
    foreign = [f"{node.domain}.{node.op_type}" for node in nodes if node.domain not in ("", "ai.onnx")]
    unknown = sorted({*foreign, *(node.op_type for node in nodes if node.op_type in _UNKNOWN)})
    if unknown:
        more = f" and {len(unknown) - _MOST_NAMED} more" if len(unknown) > _MOST_NAMED else ""
        raise UncountedError(f"nothing is known of {counted(len(unknown), 'operator')} ({', '.join(unknown[:_MOST_NAMED])}{more})")


def _shape(value: Any) -> Shape | None:
    kind = value.type.tensor_type
    dims = [axis.dim_value for axis in kind.shape.dim] if kind.HasField("shape") else [0]
    return tuple(dims) if all(length > 0 for length in dims) else None


class _Shapes:
    """Shapes by name."""

    def __init__(self, shapes: Mapping[str, Shape | None]) -> None:
        self._shapes = shapes

    def __getitem__(self, name: str) -> Shape:
        shape = self._shapes.get(name)
        if shape is None:
            raise UncountedError(f"the shape of '{name}' does not follow from the input's")
        return shape


def _conv(node: Any, shapes: _Shapes, weight: int = 1) -> int:
    """Each value of the output is a sum over the kernel and the channels of its group."""
    return prod(shapes[node.output[0]]) * prod(shapes[node.input[weight]][1:])


def _conv_transpose(node: Any, shapes: _Shapes) -> int:
    """Each value of the input meets the kernel of each output channel of its group."""
    return prod(shapes[node.input[0]]) * prod(shapes[node.input[1]][1:])


def _matmul(node: Any, shapes: _Shapes) -> int:
    return prod(shapes[node.output[0]]) * shapes[node.input[0]][-1]


def _gemm(node: Any, shapes: _Shapes) -> int:
    transposed = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
    return prod(shapes[node.output[0]]) * shapes[node.input[0]][0 if transposed else 1]


def _einsum(node: Any, shapes: _Shapes) -> int:
    equation = next(attribute.s.decode() for attribute in node.attribute if attribute.name == "equation").replace(" ", "")
    terms = equation.partition("->")[0].split(",")
    if len(terms) == 1:
        return 0
    if len(terms) > 2 or "..." in equation:
        raise UncountedError(f"the Einsum '{equation}'")
    lengths: dict[str, int] = {}
    for letters, name in zip(terms, node.input, strict=True):
        lengths.update(zip(letters, shapes[name], strict=True))
    return prod(lengths.values())


_COUNTS = {
    "Conv": _conv,
    "ConvInteger": _conv,
    "DeformConv": _conv,
    "QLinearConv": lambda node, shapes: _conv(node, shapes, weight=3),
    "ConvTranspose": _conv_transpose,
    "MatMul": _matmul,
    "MatMulInteger": _matmul,
    "QLinearMatMul": _matmul,
    "Gemm": _gemm,
    "Einsum": _einsum,
}


def _tensors(graph: Any) -> Sequence[Any]:
    constants = [attribute.t for node in graph.node for attribute in node.attribute if attribute.HasField("t")]
    return [*graph.initializer, *constants]
