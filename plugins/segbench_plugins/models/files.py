"""A network as a file, under the calling convention of every model: ``file[path=net.onnx]``. It is never trained.

:func:`describe` finds out, once for a file, what it takes and gives: from its shapes, from what it says of itself, from the options,
and from one call on noise. What stays open is refused with the option that would say it.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from segbench import (
    BackendError,
    CheckpointError,
    ConfigError,
    Counts,
    GivenWeights,
    Normalisation,
    SegbenchError,
    Task,
    count_macs,
    counted,
    first_line,
)
from segbench_plugins.models.file_formats import OpenedFile, Port, file_format, file_parts, needs_cuda, open_file, require_packages
from segbench_plugins.models.file_metadata import FileMetadata, read_metadata

if TYPE_CHECKING:
    from segbench_plugins.models import FileOptions

Layout = Literal["NCHW", "NHWC"]
Kind = Literal["logits", "probabilities", "ids"]
Size = tuple[int, int]

_MB = 2**20
_PROBES: tuple[Size, ...] = ((64, 96), (256, 384), (512, 768))
"""Sizes at which a file of any size is tried, until one works."""
_SUM_TOLERANCE = 1e-3
_BELOW_ALL = -87.0
"""Log-probability of the classes that ids do not name, and the least of all: about the logarithm of the smallest float32."""


@dataclass(frozen=True)
class Description:
    """What a file takes and gives.

    path, format   of the file
    digest         of all of its parts
    file_mb        their size, MB of 2**20 bytes
    layout         of its input
    dtype          of its input
    canvas         (height, width) where it takes no other
    multiple       of which height and width must be multiples
    batched        whether it takes several images at once
    output         the name of the output that holds class scores
    last           whether its classes lie in the last axis
    kind           logits, probabilities or ids
    classes        their number
    class_names    None where nothing names them
    normalisation  of the image
    trained_on     the dataset of its weights, where that is known
    metadata       who wrote what it says of itself; empty where it says nothing
    """

    path: Path
    format: str
    digest: str
    file_mb: float
    layout: Layout
    dtype: torch.dtype
    canvas: Size | None
    multiple: int
    batched: bool
    output: str
    last: bool
    kind: Kind
    classes: int
    class_names: tuple[str, ...] | None
    normalisation: Normalisation
    trained_on: str | None
    metadata: str


class FileNetwork(nn.Module):
    """Images (N, C, H, W), normalised, to logits (N, K, H, W) of a file in its runtime. Probabilities become their logarithms.

    Smaller images are padded with 0 (the mean) up to what the file takes, and the logits cut back. The file is opened at the first call,
    for the image's device and torch's threads; copies open it again.
    """

    def __init__(self, description: Description) -> None:
        super().__init__()
        self.description = description
        self._opened: dict[tuple[str, int], OpenedFile] = {}

    def forward(self, image: Tensor) -> Tensor:
        own = self.description
        if torch.compiler.is_compiling() or torch.compiler.is_exporting():
            raise BackendError(f"'{own.path}' is a file already: it runs as it is, and nothing is exported or compiled of it")
        size = (image.shape[-2], image.shape[-1])
        canvas = _canvas(size, own)
        padded = functional.pad(image, (0, canvas[1] - size[1], 0, canvas[0] - size[0])) if canvas != size else image
        opened = self._open(image.device)
        images = [padded] if own.batched else [padded[index : index + 1] for index in range(len(padded))]
        logits = torch.cat([_logits(_call(opened, one, own.layout, own.dtype), own) for one in images]).to(image.device)
        if canvas == size:
            return logits
        return _resized(logits, canvas)[..., : size[0], : size[1]]

    def get_extra_state(self) -> Tensor:
        """The digest of the file, so that a checkpoint says which it is of."""
        return torch.tensor(list(bytes.fromhex(self.description.digest)), dtype=torch.uint8)

    def set_extra_state(self, state: Any) -> None:
        if not torch.equal(torch.as_tensor(state).cpu(), self.get_extra_state()):
            raise CheckpointError(f"'{self.description.path}' has changed since it was scored. Put the old file back, or run it anew.")

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": {}}

    def _open(self, device: torch.device) -> OpenedFile:
        key = (str(device), torch.get_num_threads())
        if key not in self._opened:
            self._opened = {key: open_file(self.description.path, *key)}
        return self._opened[key]


def build(task: Task, options: FileOptions) -> FileNetwork:
    """The file's network."""
    return FileNetwork(describe(task, options))


def deployed(model: nn.Module) -> nn.Module:
    """The network as it is: a file has no parts that only training needs."""
    return model


def normalise(task: Task, options: FileOptions) -> dict[str, Normalisation]:
    """What the file expects of its image."""
    return dict.fromkeys(task.inputs, describe(task, options).normalisation)


def given(task: Task, options: FileOptions) -> GivenWeights:
    """What is known of the file's weights."""
    own = describe(task, options)
    notes = [f"as given, not trained here: {own.path.name} ({own.format}, {own.file_mb:.1f} MB, sha256 {own.digest[:12]}), {own.kind}"]
    if own.trained_on is None:
        notes.append("nothing says which images its weights were trained on")
    if own.class_names is None:
        notes.append("the file does not name its classes: they are taken for the dataset's, in their order")
    if own.canvas is not None:
        notes.append(f"images are padded to its one size, {_text(own.canvas)}, and its costs are of that size")
    uncalibrated = "it gives class ids, and no probabilities" if own.kind == "ids" else ""
    if uncalibrated:
        notes.append(f"no calibration: {uncalibrated}")
    return GivenWeights(
        digest=own.digest,
        class_names=own.class_names,
        trained_on=own.trained_on,
        fixed_size=own.canvas,
        uncalibrated=uncalibrated,
        notes=tuple(notes),
    )


def counts(task: Task, options: FileOptions, size: Size) -> Counts:
    """Parameters and multiply-adds, where the file's format shows them, and the size of the file."""
    own = describe(task, options)
    found = _counts(own, len(own.normalisation.mean), _canvas(size, own))
    return Counts(params=found.params, macs=found.macs, size_mb=own.file_mb, missing=found.missing)


def describe(task: Task, options: FileOptions) -> Description:
    """What the file takes and gives, for this task. Raises :class:`~segbench.SegbenchError` kin for what stays open."""
    path = _path(options)
    stamps = tuple((str(part), part.stat().st_mtime_ns, part.stat().st_size) for part in file_parts(path) if part.is_file())
    return _described(path, stamps, options, tuple(task.inputs.values()), task.num_classes)


def _path(options: FileOptions) -> Path:
    if not options.path:
        raise ConfigError("it needs the path of a network's file: file[path=net.onnx].")
    path = Path(options.path).expanduser()
    if not path.is_file():
        raise ConfigError(f"there is no file '{options.path}' in {Path.cwd()}.")
    require_packages(file_format(path))
    return path


@functools.lru_cache(maxsize=32)
def _described(
    path: Path, stamps: tuple[tuple[str, int, int], ...], options: FileOptions, inputs: tuple[int, ...], num_classes: int
) -> Description:
    device = "cpu"
    if needs_cuda(path):
        if not torch.cuda.is_available():
            raise ConfigError(f"'{path}' was traced on CUDA and runs nowhere else; there is none here. Trace it on the CPU.")
        device = "cuda"
    opened = open_file(path, device, torch.get_num_threads())
    port = _image_port(opened, path)
    channels = sum(inputs)
    metadata = read_metadata(path, opened.texts, channels)
    normalisation = _normalisation(options, metadata, port, channels, path)
    canvas, multiple = _sizes(options, metadata, port, path, channels)
    layout, probe, outputs = _try(opened, port, options, metadata, canvas, multiple, channels, path)
    name, output = _choose(outputs, options, path)
    names = _class_names(options, metadata)
    known = len(names) if names else num_classes
    last, kind, classes = _recognise(name, output, probe, layout, options, metadata, known, path)
    if kind == "ids":
        classes = known
    _check_classes(classes, names, num_classes, path)
    return Description(
        path=path,
        format=file_format(path),
        digest=_digest(path),
        file_mb=sum(size for _, _, size in stamps) / _MB,
        layout=layout,
        dtype=port.dtype,
        canvas=canvas,
        multiple=multiple,
        batched=_takes_batches(opened, port, probe, layout, name, path),
        output=name,
        last=last,
        kind=kind,
        classes=classes,
        class_names=names,
        normalisation=normalisation,
        trained_on=metadata.trained_on,
        metadata=metadata.source,
    )


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    for part in file_parts(path):
        if part.is_file():
            with part.open("rb") as file:
                while block := file.read(_MB):
                    digest.update(block)
    return digest.hexdigest()


def _image_port(opened: OpenedFile, path: Path) -> Port:
    if len(opened.inputs) != 1:
        names = ", ".join(f"'{port.name}'" for port in opened.inputs)
        raise ConfigError(f"'{path}' takes {counted(len(opened.inputs), 'input')} ({names}), and a file as a model takes one image.")
    port = opened.inputs[0]
    if port.dims is not None and len(port.dims) != 4:
        raise ConfigError(f"'{path}' takes an input of {len(port.dims)} axes ({_dims(port.dims)}): an image has 4 (N, C, H, W).")
    return port


def _normalisation(options: FileOptions, metadata: FileMetadata, port: Port, channels: int, path: Path) -> Normalisation:
    """The options' normalisation, else what the file says; raw values where it takes 8-bit images."""
    if options.mean or options.std or options.scale is not None:
        mean, std = _per_channel(options.mean or (0.0,), channels, "mean"), _per_channel(options.std or (1.0,), channels, "std")
        small = max(map(abs, mean)) <= 1 and max(std) <= 1
        return Normalisation(mean, std, options.scale if options.scale is not None else 1 / 255 if small else 1.0)
    if not port.dtype.is_floating_point:
        return Normalisation((0.0,) * channels, (1.0,) * channels)
    known = metadata.normalisation
    if known is None:
        raise ConfigError(
            f"'{path}' does not say how its images are normalised. Give what its training did with their values: scale=0.00392 for values "
            "divided by 255, and mean=(0.485,0.456,0.406),std=(0.229,0.224,0.225) where these were taken off and divided by after that; "
            "scale=1 for raw values."
        )
    return Normalisation(_per_channel(known.mean, channels, "mean"), _per_channel(known.std, channels, "std"), known.scale)


def _per_channel(values: tuple[float, ...], channels: int, name: str) -> tuple[float, ...]:
    if len(values) not in (1, channels):
        raise ConfigError(f"{name} has {counted(len(values), 'value')} and the dataset's images {counted(channels, 'channel')}.")
    return values if len(values) == channels else values * channels


def _sizes(options: FileOptions, metadata: FileMetadata, port: Port, path: Path, channels: int) -> tuple[Size | None, int]:
    """The one size of the file, where it has one, and the number of which its sizes are multiples."""
    said = _parse_size(str(options.size)) if options.size is not None else None
    multiple = options.multiple if options.multiple is not None else metadata.multiple or 1
    if port.dims is None:
        return said, multiple
    layout = options.layout if options.layout != "auto" else _layout_of(port.dims, channels)
    height, width = port.dims[1:3] if layout == "NHWC" else port.dims[2:4]
    if height is None and width is None:
        return said, multiple
    if height is None or width is None:
        if said is None:
            raise ConfigError(f"'{path}' takes images of {_dims(port.dims)}, of which one length is open: say it, as in size=512x512.")
        height, width = height or said[0], width or said[1]
    if said is not None and said != (height, width):
        raise ConfigError(f"'{path}' takes images of {height}x{width}, not of size={options.size}. Leave size out.")
    return (height, width), 1


def _parse_size(text: str) -> Size:
    match = re.fullmatch(r"(\d+)(?:[xX](\d+))?", text.strip())
    if match is None or min(int(part) for part in match.groups() if part) < 1:
        raise ConfigError(f"size={text} is not a size. Write N or HxW (height x width), such as 512 or 360x480.")
    return int(match[1]), int(match[2] or match[1])


def _layout_of(dims: tuple[int | None, ...], channels: int) -> Layout | None:
    """The layout by the place of the channels, where the shape shows it."""
    if dims[1] == channels and dims[3] != channels:
        return "NCHW"
    return "NHWC" if dims[3] == channels and dims[1] != channels else None


def _layouts(options: FileOptions, port: Port, channels: int, path: Path) -> list[Layout]:
    """The layouts to be tried."""
    if options.layout != "auto":
        axis = 1 if options.layout == "NCHW" else 3
        if port.dims is not None and port.dims[axis] not in (channels, None):
            raise ConfigError(f"'{path}' takes {_dims(port.dims)}: as layout={options.layout} that is not {counted(channels, 'channel')}.")
        return [options.layout]
    found = _layout_of(port.dims, channels) if port.dims is not None else None
    if found is not None:
        return [found]
    if port.dims is None or (port.dims[1] is None and port.dims[3] is None):
        return ["NCHW", "NHWC"]
    if channels in (port.dims[1], port.dims[3]):
        raise ConfigError(f"'{path}' takes {_dims(port.dims)}, which may be NCHW or NHWC: say it with layout=NCHW or layout=NHWC.")
    raise ConfigError(
        f"'{path}' takes {_dims(port.dims)}, and the dataset's images have {counted(channels, 'channel')}, which is neither axis 1 (NCHW) "
        "nor axis 3 (NHWC). Give a file that was made for such images."
    )


def _try(
    opened: OpenedFile,
    port: Port,
    options: FileOptions,
    metadata: FileMetadata,
    canvas: Size | None,
    multiple: int,
    channels: int,
    path: Path,
) -> tuple[Layout, Tensor, Mapping[str, Tensor]]:
    """The first layout and size at which the file can be called on noise, that noise (1, C, H, W), and all outputs."""
    layouts = _layouts(options, port, channels, path)
    batch = port.dims[0] if port.dims is not None else None
    if batch not in (None, 1):
        raise ConfigError(f"'{path}' takes exactly {batch} images at once. Export it for one image, or for any number.")
    own = (metadata.size,) if metadata.size else ()
    sizes = (canvas,) if canvas else (*(_up(size, multiple) for size in _PROBES), *own)
    errors: list[str] = []
    for size in sizes:
        for layout in layouts:
            probe = torch.randn(1, channels, *size, generator=torch.Generator().manual_seed(0))
            try:
                return layout, probe, _outputs(opened, probe, layout, port.dtype)
            except Exception as error:  # a runtime may raise anything
                errors.append(first_line(error))
    where = f"at {_text(canvas)}" if canvas else f"at any of {', '.join(map(_text, sizes))}"
    remedy = "" if canvas else " Where it takes one size only, say it: size=512x512; where it takes multiples of some number: multiple=32."
    raise ConfigError(f"'{path}' cannot be run {where}, as {' or '.join(layouts)}: {errors[0]}.{remedy}")


def _choose(outputs: Mapping[str, Tensor], options: FileOptions, path: Path) -> tuple[str, Tensor]:
    """The output that holds class scores."""
    listed = ", ".join(f"{name} ({'x'.join(map(str, value.shape))})" for name, value in outputs.items())
    if options.output_name is not None:
        if options.output_name not in outputs:
            raise ConfigError(f"'{path}' has no output '{options.output_name}'. It has: {listed or 'none that is a tensor'}.")
        return options.output_name, outputs[options.output_name]
    if len(outputs) != 1:
        example = next(iter(outputs), "logits")
        raise ConfigError(
            f"'{path}' has {counted(len(outputs), 'output')}: {listed or 'no tensor'}. Say which holds the scores of the classes, as in "
            f"output_name={example}."
        )
    return next(iter(outputs.items()))


def _class_names(options: FileOptions, metadata: FileMetadata) -> tuple[str, ...] | None:
    """The options' names, or those in the file that they name, else what the network's file says."""
    names = (options.classes,) if isinstance(options.classes, str) else options.classes
    if names is None:
        return metadata.class_names
    if len(names) == 1:
        path = Path(names[0]).expanduser()
        if not path.is_file():
            raise ConfigError(
                f"classes={names[0]}: there is no such file, and one name alone is no list. Write classes=(sky,road) or a file."
            )
        names = tuple(line.strip() for line in path.read_text("utf-8-sig").splitlines() if line.strip())
    if len(set(names)) != len(names) or len(names) < 2:
        raise ConfigError(f"classes: {counted(len(names), 'name')}, of which {len(set(names))} differ. A network has two classes or more.")
    return names


def _recognise(
    name: str,
    output: Tensor,
    probe: Tensor,
    layout: Layout,
    options: FileOptions,
    metadata: FileMetadata,
    known: int,
    path: Path,
) -> tuple[bool, Kind, int]:
    """Whether the classes lie in the last axis, what the values are, and the number of classes (2 for one channel)."""
    scores, last = _channel_first(output, probe, layout, known, name, path)
    channels = scores.shape[1]
    kind: Kind = options.output if options.output != "auto" else metadata.output or _kind_of(scores, name, path)  # type: ignore[assignment]
    if kind == "ids" and channels != 1:
        raise ConfigError(f"'{path}': output '{name}' has {counted(channels, 'channel')}, and ids are one. Leave output=ids out.")
    if kind != "ids" and channels == 1 and known != 2:
        raise ConfigError(
            f"'{path}': output '{name}' has one channel, which are scores of two classes or ids of any number: there are {known} classes. "
            "Say output=ids, or give classes=(..) with two names."
        )
    return last, kind, max(channels, 2)


def _channel_first(output: Tensor, probe: Tensor, layout: Layout, known: int, name: str, path: Path) -> tuple[Tensor, bool]:
    """The output as (1, K, h, w), and whether its classes came last."""
    if output.ndim == 3:
        return output[:, None], False
    if output.ndim != 4:
        raise ConfigError(
            f"'{path}': output '{name}' is {'x'.join(map(str, output.shape))}, where scores (N, K, h, w) or ids (N, h, w) were expected. "
            "Another output: output_name=NAME."
        )
    first, last = _is_image(output.shape[2:], probe), _is_image(output.shape[1:3], probe)
    if first and last:  # by the number of classes, else as the image is laid out
        first, last = output.shape[1] in (known, 1), output.shape[3] in (known, 1)
    is_last = last if first != last else layout == "NHWC"
    return (output.movedim(-1, 1) if is_last else output), is_last


def _is_image(size: Any, probe: Tensor) -> bool:
    """True for lengths in the proportion of the image's, as far as rounding allows."""
    height, width = probe.shape[-2:]
    return bool(abs(size[0] / height - size[1] / width) * max(height, width) <= 2)


def _kind_of(scores: Tensor, name: str, path: Path) -> Kind:
    """What the values of a call on noise are."""
    if not scores.dtype.is_floating_point or (scores.shape[1] == 1 and bool((scores == scores.round()).all())):
        return "ids" if scores.shape[1] == 1 else "logits"
    low, high = float(scores.min()), float(scores.max())
    if not 0 <= low <= high <= 1 + _SUM_TOLERANCE:
        return "logits"
    if scores.shape[1] > 1 and bool((scores.float().sum(1) - 1).abs().max() <= _SUM_TOLERANCE):
        return "probabilities"
    raise ConfigError(
        f"'{path}': output '{name}' has values between 0 and 1 that do not sum to one over the classes. Say what they are: "
        "output=probabilities, or output=logits."
    )


def _check_classes(classes: int, names: tuple[str, ...] | None, num_classes: int, path: Path) -> None:
    if names is not None and len(names) != classes:
        raise ConfigError(
            f"'{path}' gives {classes} classes, and {len(names)} are named. Name them all, in their order: classes=(..) or a file."
        )
    if names is None and classes != num_classes:
        raise ConfigError(
            f"'{path}' gives {classes} classes, the dataset has {num_classes}, and the file does not name its own. Name them in their "
            "order, classes=(..) or classes=FILE with a name in each line; --class-map then says which stands for which of the dataset."
        )


def _takes_batches(opened: OpenedFile, port: Port, probe: Tensor, layout: Layout, name: str, path: Path) -> bool:
    """Whether two images at once give what they give one by one."""
    if port.dims is not None and port.dims[0] is not None:
        return False
    second = probe.flip(-1)
    try:
        together = _outputs(opened, torch.cat([probe, second]), layout, port.dtype)[name]
        apart = torch.cat([_outputs(opened, image, layout, port.dtype)[name] for image in (probe, second)])
    except Exception:  # a runtime may raise anything
        return False
    return together.shape == apart.shape and torch.allclose(together.float(), apart.float(), atol=1e-3, rtol=1e-3)


def _canvas(size: Size, own: Description) -> Size:
    """The size that the file is called with. Raises :class:`~segbench.BackendError` for images larger than its one size."""
    if own.canvas is None:
        return _up(size, own.multiple)
    if size[0] > own.canvas[0] or size[1] > own.canvas[1]:
        text = _text(own.canvas)
        raise BackendError(
            f"'{own.path}' takes images of {text}, and one is {_text(size)}. Give --set eval.image_size={text}, or cut large images into "
            f"tiles with --set eval.tile={text}."
        )
    return own.canvas


def _up(size: Size, multiple: int) -> Size:
    return -(-size[0] // multiple) * multiple, -(-size[1] // multiple) * multiple


def _outputs(opened: OpenedFile, image: Tensor, layout: Layout, dtype: torch.dtype) -> Mapping[str, Tensor]:
    laid_out = image.movedim(1, -1) if layout == "NHWC" else image
    if not dtype.is_floating_point:
        limits = torch.iinfo(dtype)
        laid_out = laid_out.round().clamp(limits.min, limits.max)
    return opened.call(laid_out.to(dtype).contiguous())


def _call(opened: OpenedFile, image: Tensor, layout: Layout, dtype: torch.dtype) -> Mapping[str, Tensor]:
    try:
        return _outputs(opened, image, layout, dtype)
    except SegbenchError:
        raise
    except Exception as error:  # a runtime may raise anything
        size = _text((image.shape[-2], image.shape[-1]))
        raise BackendError(
            f"it cannot be run at {size}: {first_line(error)}. Where it takes multiples of some number only: multiple=32; "
            "where it takes one size: size=HxW."
        ) from error


def _logits(outputs: Mapping[str, Tensor], own: Description) -> Tensor:
    """Logits (N, K, h, w) float32 of the outputs of a call."""
    output = outputs[own.output]
    scores = output[:, None] if output.ndim == 3 else output.movedim(-1, 1) if own.last else output
    if own.kind == "ids":
        return _of_ids(scores[:, 0].round().long(), own)
    scores = scores.float()
    if own.kind == "logits":
        return torch.cat([torch.zeros_like(scores), scores], 1) if scores.shape[1] == 1 else scores
    if scores.shape[1] == 1:
        scores = torch.cat([1 - scores, scores], 1)
    return (scores / scores.sum(1, keepdim=True).clamp(min=torch.finfo(scores.dtype).tiny)).log().clamp(min=_BELOW_ALL)


def _of_ids(ids: Tensor, own: Description) -> Tensor:
    if int(ids.min()) < 0 or int(ids.max()) >= own.classes:
        worst = int(ids.max()) if int(ids.max()) >= own.classes else int(ids.min())
        raise BackendError(
            f"'{own.path}' gives the id {worst}, and it has {own.classes} classes. Name them all: classes=(..) or classes=FILE."
        )
    return functional.one_hot(ids, own.classes).movedim(-1, 1).float().sub(1).mul(-_BELOW_ALL)


def _resized(logits: Tensor, size: Size) -> Tensor:
    if tuple(logits.shape[-2:]) == size:
        return logits
    return functional.interpolate(logits, size=size, mode="bilinear", align_corners=False)


def _counts(own: Description, channels: int, size: Size) -> Counts:
    if own.format == "ONNX":
        from segbench_plugins.models.onnx_counts import count_onnx

        return count_onnx(own.path, (1, *size, channels) if own.layout == "NHWC" else (1, channels, *size))
    if own.format == "OpenVINO":
        return Counts(missing="parameters and multiply-adds of OpenVINO files are not counted")
    from segbench_plugins.models.file_formats import torch_weights

    params, uncounted = torch_weights(own.path)
    if uncounted:
        return Counts(params=params, missing=f"multiply-adds not counted: {uncounted}")
    try:
        macs = count_macs(FileNetwork(own), (torch.zeros(1, channels, *size),))
    except SegbenchError as error:
        return Counts(params=params, missing=f"multiply-adds are not known: {error}")
    return Counts(params=params, macs=macs) if macs else Counts(params=params, missing="multiply-adds not counted: no operation is known")


def _dims(dims: tuple[int | None, ...]) -> str:
    return "x".join("?" if length is None else str(length) for length in dims)


def _text(size: Size) -> str:
    return f"{size[0]}x{size[1]}"
