"""A plugin's model under one calling convention, for all sizes that models need and all outputs that they return."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.parameter import is_lazy

from segbench.errors import PluginError
from segbench.networks.auxiliary import Removal, without_auxiliary_heads
from segbench.networks.foreign import seeded, unchanged_process
from segbench.networks.forward_guard import ForwardGuard
from segbench.plugin.input_sizes import network_size, trial_size
from segbench.plugin.options import Options
from segbench.plugin.specs import ModelSpec, Task, resolve
from segbench.util.sequences import first_line

_TRIAL_SIDE = 64


class Network(nn.Module):
    """``network(*inputs) -> {"logits": .., aux..}``: pads inputs (N, C, H, W) to what the model needs and reads its output.

    Logits come at the model's own resolution where nothing was padded, and cropped to the input's size where it was;
    :func:`resize_logits` brings them to a label's size. ``channels`` are those of each input, where they are known; ``main_only`` leaves
    auxiliary outputs out. ``guard`` calls the model, so that inputs and the process stay as they were; forms of one network share it.
    """

    def __init__(
        self,
        model: nn.Module,
        spec: ModelSpec,
        num_classes: int,
        *,
        channels: tuple[int, ...] = (),
        main_only: bool = False,
        guard: ForwardGuard | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.spec = spec
        self.num_classes = num_classes
        self.channels = channels
        self.main_only = main_only
        self.guard = guard or ForwardGuard(spec.name)
        self.copied = False
        self._read = resolve(spec.read_output) if spec.read_output else read_output

    def forward(self, *inputs: Tensor) -> dict[str, Tensor]:
        height, width = inputs[0].shape[-2:]
        margin = self.spec.margin
        padded = network_size(self.spec, (height, width))
        if padded == (height, width):
            return {name: self._check_logits(value) for name, value in self._outputs(self.model, inputs).items()}
        bottom, right = padded[0] - height - 2 * margin, padded[1] - width - 2 * margin
        framed = tuple(functional.pad(_mirrored(x, margin), (0, right, 0, bottom)) for x in inputs)
        outputs = {name: self._check_logits(value) for name, value in self._outputs(self.model, framed).items()}
        if margin:
            self._check_margin(outputs["logits"], padded)
        inner = (padded[0] - 2 * margin, padded[1] - 2 * margin)
        return {name: resize_logits(value, inner)[..., :height, :width] for name, value in outputs.items()}

    def _check_margin(self, logits: Tensor, padded: tuple[int, int]) -> None:
        size, margin = (logits.shape[-2], logits.shape[-1]), self.spec.margin
        if size != (padded[0] - 2 * margin, padded[1] - 2 * margin):
            raise PluginError(
                f"model '{self.spec.name}' returned logits of {size[0]}x{size[1]} for an input of {padded[0]}x{padded[1]}, but declares "
                f"margin={margin}: {padded[0] - 2 * margin}x{padded[1] - 2 * margin} were expected"
            )

    def __deepcopy__(self, memo: dict[int, Any]) -> Network:
        """A deep copy as any module's; this one remembers that it was made (:mod:`segbench.networks.copies`)."""
        self.copied = True
        twin = type(self).__new__(type(self))
        memo[id(self)] = twin
        twin.__setstate__(copy.deepcopy(self.__dict__, memo))  # type: ignore[no-untyped-call, unused-ignore]
        return twin

    def _outputs(self, model: nn.Module, inputs: tuple[Tensor, ...]) -> dict[str, Tensor]:
        outputs: dict[str, Tensor] = self._read(self.guard(model, inputs))
        return {"logits": outputs["logits"]} if self.main_only else outputs

    def without_auxiliary_heads(self) -> tuple[Network, Removal]:
        """The network without the modules that run for auxiliary outputs only, and what was removed; it shares all weights."""
        removal = Removal(self.model)
        if self.channels:
            first = trial_size(self.spec, (_TRIAL_SIDE, _TRIAL_SIDE))
            second = trial_size(self.spec, (first[0], first[1] + _TRIAL_SIDE // 4))
            sizes = [network_size(self.spec, size) for size in (first, second)]
            removal = without_auxiliary_heads(self.model, self._outputs, channels=self.channels, sizes=sizes)
        main_only = bool(removal.removed)
        lean = Network(removal.model, self.spec, self.num_classes, channels=self.channels, main_only=main_only, guard=self.guard)
        return lean, removal

    def _check_logits(self, logits: Tensor) -> Tensor:
        if logits.ndim == 4 and logits.shape[1] == 1 and self.num_classes == 2:
            # a binary model with one logit: the background's logit is 0
            return torch.cat([torch.zeros_like(logits), logits], dim=1)
        if logits.ndim != 4 or logits.shape[1] != self.num_classes:
            raise PluginError(f"model '{self.spec.name}' returned {tuple(logits.shape)} where (N, {self.num_classes}, h, w) was expected")
        return logits


class DeployedNetwork(nn.Module):
    """The deployed network: inputs (N, C, H, W) to logits (N, K, H, W) at the input's size, without auxiliary heads.

    ``kept_auxiliary`` names auxiliary outputs that it computes all the same, with the reason; empty where there are none.
    """

    def __init__(self, network: Network, *, kept_auxiliary: str = "") -> None:
        super().__init__()
        self.network = network
        self.kept_auxiliary = kept_auxiliary

    def forward(self, *inputs: Tensor) -> Tensor:
        height, width = inputs[0].shape[-2:]
        return resize_logits(self.network(*inputs)["logits"], (height, width))


def build_network(spec: ModelSpec, task: Task, options: Options, *, seed: int) -> Network:
    """A fresh network; the same seed gives the same weights, and random state and settings of the process are left as they were.

    Lazy layers get their shapes from one pass over noise. Raises :class:`PluginError` where that fails, or where it is no module.
    """
    with seeded(seed, f"building model '{spec.name}'"):
        model = resolve(spec.build)(task, options)
        if not isinstance(model, nn.Module):
            raise PluginError(f"model '{spec.name}': build returned {type(model).__name__} instead of a torch.nn.Module")
        network = Network(model, spec, task.num_classes, channels=input_channels(spec, task))
        _initialise_lazy_layers(network)
    return network


def _initialise_lazy_layers(network: Network) -> None:
    """Give layers without a shape theirs, by one pass over noise in eval mode."""
    tensors = [*network.named_parameters(), *network.named_buffers()]
    lazy = [name.removeprefix("model.") for name, tensor in tensors if is_lazy(tensor)]
    if not lazy:
        return
    name, modes = network.spec.name, {module: module.training for module in network.modules()}
    height, width = trial_size(network.spec, (_TRIAL_SIDE, _TRIAL_SIDE))
    try:
        with torch.no_grad():
            network.eval()(*(torch.randn(2, channels, height, width) for channels in network.channels))
    except Exception as error:  # a plugin's network may raise anything
        raise PluginError(
            f"model '{name}' has lazy layers ({', '.join(lazy[:3])}), and the pass over {height}x{width} pixels that gives them their "
            f"shapes failed: {first_line(error)}. Build them with their numbers of channels, or call the network once in build."
        ) from error
    for module, training in modes.items():
        module.training = training
    left = [name.removeprefix("model.") for name, tensor in [*network.named_parameters(), *network.named_buffers()] if is_lazy(tensor)]
    if left:
        raise PluginError(
            f"model '{name}' has lazy layers that forward does not call in eval mode ({', '.join(left[:3])}): build them with their "
            "numbers of channels."
        )


def input_channels(spec: ModelSpec, task: Task) -> tuple[int, ...]:
    """Channels of each input of a model, in order."""
    return tuple(task.inputs[name] for name in spec.inputs if name in task.inputs)


def deploy(network: Network) -> DeployedNetwork:
    """The network as it is deployed and measured: eval mode, auxiliary heads dropped. The weights are shared.

    They are dropped by the spec's ``deployed``, or else where that leaves the logits bit-identical (:mod:`segbench.networks.auxiliary`).
    """
    if network.spec.deployed:
        with unchanged_process(f"deployed of model '{network.spec.name}'"):
            model = resolve(network.spec.deployed)(network.model)
        lean = Network(model, network.spec, network.num_classes, channels=network.channels, guard=network.guard)
        return DeployedNetwork(lean).eval()
    lean, removal = network.without_auxiliary_heads()
    kept = f"{', '.join(removal.outputs)}: {removal.reason}" if removal.outputs and not removal.removed else ""
    return DeployedNetwork(lean, kept_auxiliary=kept).eval()


def read_output(output: Any) -> dict[str, Tensor]:
    """Logits and auxiliary logits from a tensor, a mapping with ``logits`` or ``out``, or an object with ``.logits``."""
    if isinstance(output, Tensor):
        return {"logits": output}
    if isinstance(output, Mapping):
        main = "logits" if "logits" in output else "out"
        if main in output:
            others = {k: v for k, v in output.items() if k != main and isinstance(v, Tensor) and v.ndim == 4}
            return {"logits": output[main], **others}
    elif hasattr(output, "logits"):
        return {"logits": output.logits}
    raise PluginError(
        f"a model returned {type(output).__name__}: expected logits, a mapping with 'logits' or 'out', or an object with .logits; "
        "set read_output in its ModelSpec for anything else"
    )


def resize_logits(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Logits (N, K, h, w) to (N, K, *size), bilinear with align_corners=False; unchanged where the size already fits."""
    if tuple(logits.shape[-2:]) == tuple(size):
        return logits
    return functional.interpolate(logits, size=size, mode="bilinear", align_corners=False)


def _mirrored(image: Tensor, margin: int) -> Tensor:
    """The image (N, C, H, W) with its mirror image around it; where it is smaller than the margin its border is repeated."""
    if not margin:
        return image
    mode = "reflect" if margin < min(image.shape[-2:]) else "replicate"
    return functional.pad(image, (margin,) * 4, mode=mode)
