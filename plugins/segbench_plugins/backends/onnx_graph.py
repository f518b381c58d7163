"""The network as one graph of operators, and the name of the operator where a runtime has no counterpart for it."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from segbench import BackendError

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.export import ExportedProgram

_OPERATOR = re.compile(
    r"No ONNX function found for <OpOverload\(op='(?P<onnx>[^']+)'"  # torch.onnx
    r"|No conversion rule found for operations: (?P<openvino>[^\n]+)"  # OpenVINO's PyTorch frontend
    r"|[Oo]perator '?(?P<operator>[a-z_]\w*(?:::|\.)[\w.]+)"  # torch.export, older exporters
    r"|(?:aten|torchvision|prims|custom)(?:::|\.)(?P<any>\w+)"
)
_COMPLEX = re.compile(r"complex", re.IGNORECASE)
_DATA_DEPENDENT = re.compile(r"data-dependent|GuardOnDataDependent|unbacked symint", re.IGNORECASE)


def capture(network: nn.Module, inputs: tuple[Tensor, ...]) -> ExportedProgram:
    """The network's graph for exactly these input shapes (branches on the size are taken as they are there).

    Raises :class:`~segbench.BackendError` where the network cannot be written as one graph.
    """
    try:
        with quiet(), torch.no_grad():
            return torch.export.export(network, inputs, strict=False)
    except Exception as error:
        raise BackendError(f"torch.export cannot write the network as one graph: {explain(error)}") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the warnings of exporters, logged ones too: they are about the exporters' own code."""
    before = logging.root.manager.disable
    logging.disable(max(before, logging.WARNING))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def explain(error: BaseException) -> str:
    """A sentence on the error of an exporter, with the operator where any exception of the chain names one, and advice.

    >>> explain(RuntimeError("No conversion rule found for operations: aten::bernoulli"))
    "operator aten::bernoulli has no counterpart. Replace it in the model's forward, or use another backend."
    """
    chain = list(_chain(error))
    texts = [str(link) for link in chain]
    if any(_DATA_DEPENDENT.search(f"{type(link).__name__} {link}") for link in chain):
        return "its forward branches on the values of a tensor. Write it without that branch (torch.where), or use another backend."
    for text in reversed(texts):  # the first cause is the most specific
        match = _OPERATOR.search(text)
        if match is not None:
            operator = match["onnx"] or match["openvino"] or match["operator"] or match[0]
            lacks = "works on complex numbers, which have no" if any(map(_COMPLEX.search, texts)) else "has no"
            return f"operator {operator.strip()} {lacks} counterpart. Replace it in the model's forward, or use another backend."
    lines = [line for line in texts[-1].splitlines() if line.strip()]
    return f"{type(chain[-1]).__name__}: {lines[0] if lines else 'no message'}. Use another backend for this model."


def _chain(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
