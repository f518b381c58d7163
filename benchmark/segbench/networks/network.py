"""A plugin's model under one calling convention, for all sizes that models need and all outputs that they return."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from segbench.errors import PluginError
from segbench.plugin.options import Options
from segbench.plugin.specs import ModelSpec, Task, resolve


class Network(nn.Module):
    """``network(*inputs) -> {"logits": .., aux..}``: pads inputs (N, C, H, W) to what the model needs and reads its output.

    Logits come at the model's own resolution where nothing was padded, and cropped to the input's size where it was;
    :func:`resize_logits` brings them to a label's size.
    """

    def __init__(self, model: nn.Module, spec: ModelSpec, num_classes: int) -> None:
        super().__init__()
        self.model = model
        self.spec = spec
        self.num_classes = num_classes
        self._read = resolve(spec.read_output) if spec.read_output else read_output

    def forward(self, *inputs: Tensor) -> dict[str, Tensor]:
        height, width = inputs[0].shape[-2:]
        padded = (_padded_length(height, self.spec), _padded_length(width, self.spec))
        if padded == (height, width):
            return {name: self._check_logits(value) for name, value in self._read(self.model(*inputs)).items()}
        bottom, right = padded[0] - height, padded[1] - width
        outputs = self._read(self.model(*(functional.pad(x, (0, right, 0, bottom)) for x in inputs)))
        return {name: resize_logits(self._check_logits(value), padded)[..., :height, :width] for name, value in outputs.items()}

    def _check_logits(self, logits: Tensor) -> Tensor:
        if logits.ndim == 4 and logits.shape[1] == 1 and self.num_classes == 2:
            # a binary model with one logit: the background's logit is 0
            return torch.cat([torch.zeros_like(logits), logits], dim=1)
        if logits.ndim != 4 or logits.shape[1] != self.num_classes:
            raise PluginError(f"model '{self.spec.name}' returned {tuple(logits.shape)} where (N, {self.num_classes}, h, w) was expected")
        return logits


class DeployedNetwork(nn.Module):
    """The deployed network: inputs (N, C, H, W) to logits (N, K, H, W) at the input's size, without auxiliary heads."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: Tensor) -> Tensor:
        height, width = inputs[0].shape[-2:]
        return resize_logits(self.network(*inputs)["logits"], (height, width))


def build_network(spec: ModelSpec, task: Task, options: Options, *, seed: int) -> Network:
    """A fresh network; the same seed gives the same weights, and the caller's random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = resolve(spec.build)(task, options)
    if not isinstance(model, nn.Module):
        raise PluginError(f"model '{spec.name}': build returned {type(model).__name__} instead of a torch.nn.Module")
    return Network(model, spec, task.num_classes)


def deploy(network: Network) -> DeployedNetwork:
    """The network as it is deployed and measured: eval mode, auxiliary heads dropped. The weights are shared."""
    model = resolve(network.spec.deployed)(network.model) if network.spec.deployed else network.model
    return DeployedNetwork(Network(model, network.spec, network.num_classes)).eval()


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


def _padded_length(length: int, spec: ModelSpec) -> int:
    multiple = max(spec.size_multiple, 1)
    return -(-max(length, spec.min_size) // multiple) * multiple
