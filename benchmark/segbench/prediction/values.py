"""Values of images against those that a network was trained on: taken as they are, rescaled, or refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from segbench.data.window import Window
from segbench.errors import ConfigError, DataError
from segbench.plugin.inputs import InputPlan
from segbench.prediction.scenes import OpenScene
from segbench.util.image_size import Size
from segbench.util.value_range import LinearRescale, ValueRange, automatic_rescale, parse_rescale, unlike, value_range

_WHOLE = 768
_PART = 256
_PARTS = 3
_EIGHT_BITS = ValueRange("uint8", 0.0, 255.0, 0.0, 255.0)


@dataclass(frozen=True)
class Values:
    """What happens to the values of images.

    trained  by input the range of the training split; of networks that do not know it, 8 bits where their normalisation divides by 255
    rule     "refuse" values unlike those, "none": take all as they are, "auto": rescale by dtype, or a rule A-B:C-D
    """

    trained: Mapping[str, ValueRange]
    rule: str = "refuse"

    def __post_init__(self) -> None:
        if self.rule not in ("refuse", "none", "auto"):
            parse_rescale(self.rule)

    def rescales(self, scene: OpenScene, inputs: Mapping[str, object], name: str) -> dict[str, LinearRescale]:
        """By input how the values of an image become those of training; inputs that are like them are left out.

        Raises :class:`DataError` for values that are unlike, before or after rescaling.
        """
        if self.rule == "none":
            return {}
        first = scene.read(Window(0, 0, 1, 1))
        if self.rule in ("refuse", "auto") and all(_is_plain(first[key], self.trained.get(key)) for key in inputs):
            return {}
        seen = {key: value_range(part[key].numpy() for part in _parts(scene)) for key in inputs}
        rules = {key: self._rule(f"{name}, input '{key}'" if len(inputs) > 1 else name, key, one) for key, one in seen.items() if one}
        return {key: rule for key, rule in rules.items() if rule is not None}

    def _rule(self, what: str, key: str, seen: ValueRange) -> LinearRescale | None:
        trained = self.trained.get(key)
        if self.rule not in ("refuse", "auto"):
            rescale = parse_rescale(self.rule)
            if trained is not None and (why := unlike(trained, seen.scaled(rescale))):
                raise DataError(
                    f"{what} has values of {seen}; rescaled to {seen.scaled(rescale)}. The network was trained on {trained}, and {why}."
                )
            return rescale
        why = unlike(trained, seen) if trained is not None else ""
        if trained is None or not why:
            return None
        automatic = automatic_rescale(trained, seen)
        if automatic is not None and unlike(trained, seen.scaled(automatic)):
            automatic = None
        if self.rule == "auto" and automatic is not None:
            return automatic
        raise DataError(f"{what} has values of {seen}, the network was trained on {trained}: {why}. {_advice(trained, seen, automatic)}")


def trained_values(ranges: Mapping[str, ValueRange] | None, plan: InputPlan) -> dict[str, ValueRange]:
    """The ranges that a file keeps; for an older one 8 bits where values are divided by 255, and nothing for other inputs."""
    if ranges is not None:
        return dict(ranges)
    return {name: _EIGHT_BITS for name, norm in plan.normalisation.items() if norm.scale == 1 / 255}


def require_one_rule(rule: str, inputs: Mapping[str, int]) -> None:
    """Raise :class:`ConfigError` for a rule of numbers where several inputs have values of their own."""
    if rule not in ("refuse", "none", "auto") and len(inputs) > 1:
        raise ConfigError(
            f"--rescale {rule} would rescale all inputs ({', '.join(inputs)}) alike. Give --rescale auto, or convert the files."
        )


def _is_plain(pixel: Tensor, trained: ValueRange | None) -> bool:
    return trained is None or (str(pixel.dtype) == "torch.uint8" and trained.dtype == "uint8")


def _parts(scene: OpenScene) -> list[dict[str, Tensor]]:
    return [scene.read(window) for window in _windows(scene.size)]


def _windows(size: Size) -> list[Window]:
    """All of an image, or of a large one nine parts."""
    if max(size) <= _WHOLE:
        return [Window(0, 0, *size)]
    height, width = (min(_PART, length) for length in size)
    steps = [place / (_PARTS - 1) for place in range(_PARTS)]
    return [Window(round(y * (size[0] - height)), round(x * (size[1] - width)), height, width) for y in steps for x in steps]


def _advice(trained: ValueRange, seen: ValueRange, automatic: LinearRescale | None) -> str:
    top = 2 ** max(1, int(seen.maximum)).bit_length() - 1 if seen.dtype == "uint16" else seen.maximum
    example = f"{min(0.0, seen.minimum):g}-{top:.10g}:{trained.bounds[0]:g}-{trained.bounds[1]:g}"
    ways = [f"--rescale auto ({seen.dtype}: {automatic})"] if automatic is not None else []
    ways += [
        f"--rescale A-B:C-D with the values that mean the same on both sides, as in {example}",
        "--rescale none to take them as they are",
    ]
    return f"Convert it, or give {', '.join(ways[:-1])}, or {ways[-1]}."
