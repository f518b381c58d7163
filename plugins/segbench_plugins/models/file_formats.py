"""Files of networks opened in their own runtimes: ONNX, OpenVINO IR, TorchScript and programs of ``torch.export``.

Files come from anywhere. ONNX and OpenVINO files hold data only. TorchScript is run by torch's own interpreter, which knows no Python but
every operator of torch. Of ``torch.export`` archives those that would unpickle objects or load compiled code are refused.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from segbench import BackendError, ConfigError, Target, first_line

FORMATS = {".onnx": "ONNX", ".xml": "OpenVINO", ".pt": "TorchScript", ".pts": "TorchScript", ".ts": "TorchScript", ".pt2": "torch.export"}
"""Formats by the ending of a file's name."""

_TENSOR_TYPES = {
    "float": torch.float32, "f32": torch.float32, "float16": torch.float16, "f16": torch.float16, "double": torch.float64,
    "f64": torch.float64, "uint8": torch.uint8, "u8": torch.uint8, "int8": torch.int8, "i8": torch.int8, "int32": torch.int32,
    "i32": torch.int32, "int64": torch.int64, "i64": torch.int64, "bfloat16": torch.bfloat16, "bf16": torch.bfloat16,
}  # fmt: skip
_PACKAGES = {"ONNX": ("onnx", "onnxruntime"), "OpenVINO": ("openvino",)}
_EXTRAS = {"ONNX": "onnx", "OpenVINO": "openvino"}
_OPSET = re.compile(r"opset (\d+)|IR version: (\d+)", re.IGNORECASE)
_CUDA_CONSTANT = re.compile(r'Device = prim::Constant\[value="cuda')

Dims = tuple[int | None, ...]
"""Lengths of axes; None for one that may have any."""
Call = Callable[[Tensor], Mapping[str, Tensor]]
"""One input to all outputs by name."""


@dataclass(frozen=True)
class Port:
    """An input or output: its name, axes (None where the file does not say) and type."""

    name: str
    dims: Dims | None
    dtype: torch.dtype = torch.float32


@dataclass(frozen=True)
class OpenedFile:
    """A file in its runtime. ``texts`` are what it says of itself; ``outputs`` are None where only a call shows them."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...] | None
    call: Call
    texts: Mapping[str, str] = field(default_factory=dict)


def file_format(path: Path) -> str:
    """The format of a file, by its ending and its first bytes. Raises :class:`~segbench.ConfigError` where the two disagree."""
    name = FORMATS.get(path.suffix.lower())
    if name is None:
        raise ConfigError(f"'{path}' has none of the endings {', '.join(FORMATS)}: export the network to one of these formats.")
    found = _content(path)
    if found != name:
        raise ConfigError(f"'{path}' is no {name} file, as its ending says: it holds {_HOLDS[found]}.{_ADVICE.get(found, '')}")
    return name


def require_packages(name: str) -> None:
    """Raise :class:`~segbench.ConfigError` where the runtime of a format is not installed."""
    missing = [package for package in _PACKAGES.get(name, ()) if find_spec(package) is None]
    if missing:
        raise ConfigError(f"{name} files need {' and '.join(missing)}: pip install 'segbench[{_EXTRAS[name]}]'")


def file_parts(path: Path) -> list[Path]:
    """The file, and those beside it that hold its weights: the ``.bin`` of OpenVINO, the external data of ONNX."""
    if path.suffix.lower() == ".xml":
        return [path, path.with_suffix(".bin")]
    if path.suffix.lower() != ".onnx":
        return [path]
    from segbench_plugins.models.onnx_counts import external_files

    return [path, *external_files(path)]


def open_file(path: Path, device: str, threads: int) -> OpenedFile:
    """The file, ready to be called on a device. Raises :class:`~segbench.BackendError` where its runtime cannot load it."""
    opened = {"ONNX": _open_onnx, "OpenVINO": _open_openvino, "TorchScript": _open_torchscript, "torch.export": _open_exported}
    return opened[file_format(path)](path, Target(device, threads))


def needs_cuda(path: Path) -> bool:
    """True for a TorchScript in which a CUDA device is written down, as tracing on one does."""
    if file_format(path) != "TorchScript":
        return False
    return bool(_CUDA_CONSTANT.search(str(_load_torchscript(path, "cpu").inlined_graph)))


_HOLDS = {
    "ONNX": "an ONNX graph",
    "OpenVINO": "an OpenVINO network",
    "TorchScript": "a TorchScript",
    "torch.export": "a program of torch.export",
    "weights": "weights without a network, or a pickle",
    "other": "something else",
}
_ADVICE = {
    "weights": " Save the network itself: torch.jit.save(torch.jit.trace(model, image), PATH).",
    "TorchScript": " Rename it to end in .ts.",
    "torch.export": " Rename it to end in .pt2.",
}


def _content(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(256)
    if start[:2] == b"PK":
        return _zip_content(path)
    if start[:1] == b"\x80":
        return "weights"
    text = start.lstrip(b"\xef\xbb\xbf \r\n\t")
    if text.startswith((b"<?xml", b"<net")):
        return "OpenVINO" if b"<net" in path.read_bytes()[:4096] else "other"
    return "ONNX" if start[:1] == b"\x08" else "other"


def _zip_content(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.partition("/")[2] for name in archive.namelist()]
    except (zipfile.BadZipFile, OSError):
        return "other"
    if any(name.startswith("code/") for name in names):
        return "TorchScript"
    if "archive_format" in names or any(name.startswith("models/") for name in names):
        return "torch.export"
    return "weights" if "data.pkl" in names else "other"


def _open_onnx(path: Path, target: Target) -> OpenedFile:
    from segbench_plugins.backends.onnx_runtime import open_session

    try:
        session = open_session(path, target)
    except BackendError as error:
        if found := _OPSET.search(str(error)):
            import onnxruntime

            version = found[0][:1].lower() + found[0][1:] if found[1] else found[0]
            raise BackendError(
                f"'{path}' was written for a newer ONNX ({version}) than ONNX Runtime {onnxruntime.__version__} reads. "
                "Install a newer onnxruntime, or export it with a lower opset_version."
            ) from error
        raise
    outputs = [port.name for port in session.get_outputs()]

    def call(image: Tensor) -> dict[str, Tensor]:
        values = session.run(outputs, {session.get_inputs()[0].name: image.cpu().numpy()})
        return {name: torch.from_numpy(value) for name, value in zip(outputs, values, strict=True) if hasattr(value, "dtype")}

    return OpenedFile(
        tuple(_onnx_port(port) for port in session.get_inputs()),
        tuple(_onnx_port(port) for port in session.get_outputs()),
        call,
        dict(session.get_modelmeta().custom_metadata_map),
    )


def _onnx_port(port: Any) -> Port:
    kind = re.sub(r"^tensor\((\w+)\)$", r"\1", port.type)
    return Port(port.name, tuple(n if isinstance(n, int) and n > 0 else None for n in port.shape), _dtype(kind, port.name))


def _open_openvino(path: Path, target: Target) -> OpenedFile:
    from segbench_plugins.backends.openvino_runtime import compile_file, read_texts

    if target.device != "cpu":
        raise BackendError(f"'{path}' is run by OpenVINO, on the CPU only: give --device cpu.")
    if not path.with_suffix(".bin").is_file():
        raise BackendError(f"'{path}' has its weights in '{path.with_suffix('.bin').name}', which is not beside it. Copy that along.")
    compiled = compile_file(path, "fp32", target)
    request = compiled.create_infer_request()
    names = [_openvino_name(port, index) for index, port in enumerate(compiled.outputs)]

    def call(image: Tensor) -> dict[str, Tensor]:
        values = request.infer([image.numpy()])
        return {name: torch.from_numpy(values[port].copy()) for name, port in zip(names, compiled.outputs, strict=True)}

    return OpenedFile(
        tuple(_openvino_port(port, index) for index, port in enumerate(compiled.inputs)),
        tuple(_openvino_port(port, index) for index, port in enumerate(compiled.outputs)),
        call,
        read_texts(path),
    )


def _openvino_name(port: Any, index: int) -> str:
    return min(port.get_names(), default=f"output_{index}")


def _openvino_port(port: Any, index: int) -> Port:
    shape = port.get_partial_shape()
    dims = None if shape.rank.is_dynamic else tuple(None if n.is_dynamic else n.get_length() for n in shape)
    name = _openvino_name(port, index)
    return Port(name, dims, _dtype(port.get_element_type().get_type_name(), name))


def _dtype(kind: str, name: str) -> torch.dtype:
    if kind not in _TENSOR_TYPES:
        raise BackendError(f"its input or output '{name}' is of the type {kind}: images and class scores are tensors of numbers.")
    return _TENSOR_TYPES[kind]


def _load_torchscript(path: Path, device: str) -> Any:
    from segbench_plugins.backends.onnx_graph import quiet

    try:
        with quiet():
            return torch.jit.load(str(path), map_location=device).eval()  # type: ignore[no-untyped-call]
    except Exception as error:  # a frozen one has no eval(), a damaged one may raise anything
        if "eval" not in str(error) and "training" not in str(error):
            raise BackendError(f"torch.jit.load cannot read '{path}': {first_line(error)}") from error
        with quiet():
            return torch.jit.load(str(path), map_location=device)  # type: ignore[no-untyped-call]


def _open_torchscript(path: Path, target: Target) -> OpenedFile:
    module = _load_torchscript(path, target.device)
    arguments = [a for a in module.forward.schema.arguments[1:] if not a.has_default_value()]

    def call(image: Tensor) -> dict[str, Tensor]:
        with torch.no_grad():
            return _named(module(image.to(target.device)))

    return OpenedFile(tuple(Port(a.name, None) for a in arguments), None, call, _torchscript_texts(path))


def _torchscript_texts(path: Path) -> dict[str, str]:
    """What ultralytics writes beside the code: ``config.txt``, JSON of the same names as in its ONNX files."""
    with zipfile.ZipFile(path) as archive:
        name = next((name for name in archive.namelist() if name.endswith("/extra/config.txt")), None)
        try:
            values = json.loads(archive.read(name)) if name else {}
        except ValueError:
            values = {}
    return {str(key): value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}


def _open_exported(path: Path, target: Target) -> OpenedFile:
    from segbench_plugins.backends.onnx_graph import quiet

    _require_plain_archive(path)
    try:
        with quiet():
            program = torch.export.load(path)
            module = program.module().to(target.device)
    except Exception as error:
        raise BackendError(f"torch.export.load cannot read '{path}': {first_line(error)}") from error

    def call(image: Tensor) -> dict[str, Tensor]:
        with torch.no_grad():
            return _named(module(image.to(target.device)))

    inputs = set(program.graph_signature.user_inputs)
    nodes = [node for node in program.graph.nodes if node.op == "placeholder" and node.name in inputs]
    return OpenedFile(tuple(_exported_port(node) for node in nodes), None, call)


def _exported_port(node: Any) -> Port:
    value = node.meta["val"]
    if not isinstance(value, Tensor):
        return Port(node.name, None)
    return Port(node.name, tuple(n if isinstance(n, int) else None for n in value.shape), value.dtype)


def _require_plain_archive(path: Path) -> None:
    """Refuse an archive whose loading would unpickle objects or load compiled code, which torch does unasked."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        short = [name.partition("/")[2] for name in names]
        configs = [json.loads(archive.read(name)) for name in names if name.endswith("_config.json")]
    entries = [entry for config in configs for entry in config.get("config", {}).values()]
    pickled = any(entry.get("use_pickle") or not str(entry.get("path_name", "")).startswith(("weight_", "tensor_")) for entry in entries)
    old = any(re.match(r"data/(weights|constants)/.*\.pt$", name) or name.startswith("serialized_") for name in short)
    if pickled or old or any(name.startswith("data/aotinductor/") for name in short):
        raise BackendError(
            f"'{path}' holds pickled objects or compiled code, and reading it could run code: refused. Save plain weights with a "
            "torch.export.save of today, or export to ONNX."
        )


def _named(output: Any, prefix: str = "output") -> dict[str, Tensor]:
    """The tensors of a network's output by name; those of a tuple are ``output_0``, ``output_1``, .."""
    if isinstance(output, Tensor):
        return {prefix: output}
    if isinstance(output, Mapping):
        return {str(key): value for key, value in output.items() if isinstance(value, Tensor)}
    if isinstance(output, (list, tuple)):
        return {f"{prefix}_{index}": value for index, value in enumerate(output) if isinstance(value, Tensor)}
    return {}


def torch_weights(path: Path) -> tuple[int | None, str]:
    """Parameters of a TorchScript or an exported program (constants of a frozen one count), and why its operations cannot be counted."""
    if file_format(path) == "torch.export":
        program = torch.export.load(path)
        return sum(value.numel() for value in program.module().parameters()), ""
    module = _load_torchscript(path, "cpu")
    graph = module.inlined_graph
    foreign = sorted(set(re.findall(r"= ((?!aten|prim)\w+::\w+)", str(graph))))
    reason = f"nothing is known of {', '.join(foreign[:3])}" if foreign else ""
    own = sum(value.numel() for value in module.parameters())
    if own:
        return own, reason
    constants = [
        node.t("value") for node in graph.findAllNodes("prim::Constant") if node.hasAttribute("value") and node.kindOf("value") == "t"
    ]
    return sum(value.numel() for value in constants if value.ndim and value.is_floating_point()) or None, reason or ""
