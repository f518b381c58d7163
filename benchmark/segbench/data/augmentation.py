"""Augmentations of plugins: a sample's inputs and mask go through foreign code together, and what comes back is checked.

The random numbers of a sample follow from its own seed alone, whichever of torch, ``random`` and ``numpy.random`` they come from.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor
from torchvision import tv_tensors

from segbench.data.samples import Fields, compact
from segbench.errors import PluginError
from segbench.plugin.chosen import Chosen
from segbench.plugin.specs import AugmentationSpec, Task, resolve
from segbench.util.image_size import Size, format_size

Transform = Callable[[dict[str, Any], Any], Any]

_TRIES = 16
_SEEDS = 2**31


class PluginAugmentation:
    """An augmentation that a plugin gives, for one task; its transform is built once for each size, in each process."""

    def __init__(self, chosen: Chosen[AugmentationSpec], task: Task) -> None:
        self._chosen, self._task = chosen, task
        self._transforms: dict[Size, Transform] = {}

    @property
    def native(self) -> bool:
        """True where it takes samples at their own size."""
        return self._chosen.spec.native

    def __call__(self, fields: Fields, size: Size) -> Fields:
        """A sample at ``size``. Raises :class:`PluginError` that names the plugin where it raises, or returns what does not fit.

        Draws one number of torch's global random state; all others follow from it.
        """
        seed = int(torch.randint(_SEEDS, ()))
        transform = self._transform(size)
        # cached samples are not the plugin's to write into
        inputs = {name: tv_tensors.Image(image.clone()) for name, image in fields.inputs.items()}
        mask = tv_tensors.Mask(fields.mask.to(torch.int64, copy=True))
        with seeded(seed):
            try:
                returned = transform(inputs, mask)
            except Exception as error:  # a plugin may raise anything
                self._fail(f"raised {type(error).__name__}: {error}", fields)
        return self._checked(returned, fields, size)

    def try_padding(self, sample: Fields, size: Size) -> None:
        """Raise :class:`PluginError` where it paints a class that a sample does not have: padding that is not ignored looks like that.

        Tried with the inputs of ``sample``, as the transform gets them, and a mask of the last class alone.
        """
        if self._chosen.spec.adds_labels:
            return
        last = self._task.num_classes - 1
        fields = Fields(sample.inputs, torch.full_like(sample.mask, last), f"{sample.id}, as if it was of one class")
        with seeded(0):
            for _ in range(_TRIES):
                mask = self(fields, size).mask
                other = mask[(mask != last) & (mask != self._task.ignore_index)]
                if other.numel():
                    self._fail(
                        f"labels pixels of a sample of class {last} alone as class {int(other[0])}: give the transforms that pad "
                        f"fill={{tv_tensors.Mask: {self._task.ignore_index}, ..}}, or set adds_labels=True where that is meant",
                        fields,
                    )

    def _transform(self, size: Size) -> Transform:
        if size not in self._transforms:
            chosen = self._chosen
            try:
                transform = resolve(chosen.spec.build)(self._task, chosen.options, size)
            except Exception as error:
                raise PluginError(f"{self._name}: build raised {type(error).__name__}: {error}") from error
            if not callable(transform):
                raise PluginError(f"{self._name}: build returned {type(transform).__name__}, which cannot be called with (inputs, mask)")
            self._transforms[size] = transform
        return self._transforms[size]

    def _checked(self, returned: Any, before: Fields, size: Size) -> Fields:
        if not isinstance(returned, tuple | list) or len(returned) != 2 or not isinstance(returned[0], Mapping):
            self._fail(f"returned {type(returned).__name__}: expected (inputs, mask), the inputs as a dict by name", before)
        inputs, mask = returned
        if set(inputs) != set(before.inputs):
            self._fail(f"returned the inputs {', '.join(map(str, inputs)) or 'none'}: expected {', '.join(before.inputs)}", before)
        images = {name: self._image(name, inputs[name], image, size, before) for name, image in before.inputs.items()}
        return Fields(images, self._mask(mask, size, before), before.id)

    def _image(self, name: str, image: Any, given: Tensor, size: Size, before: Fields) -> Tensor:
        if not isinstance(image, Tensor):
            self._fail(f"returned input '{name}' as {type(image).__name__}: expected a tensor", before)
        expected = (given.shape[0], *size)
        if tuple(image.shape) != expected:
            self._fail(
                f"returned input '{name}' in the shape {_shape(image.shape)}: expected {_shape(expected)}, {self._how(size)}", before
            )
        if image.dtype != given.dtype:
            self._fail(
                f"returned input '{name}' as {_dtype(image)} where {_dtype(given)} came in: leave out conversions such as ToDtype and "
                "Normalize, segbench normalises afterwards",
                before,
            )
        if image.dtype.is_floating_point and not bool(torch.isfinite(image).all()):
            self._fail(f"returned values in input '{name}' that are not finite", before)
        return image.detach().as_subclass(Tensor)

    def _mask(self, mask: Any, size: Size, before: Fields) -> Tensor:
        if not isinstance(mask, Tensor) or tuple(mask.shape) != tuple(size):
            seen = _shape(mask.shape) if isinstance(mask, Tensor) else type(mask).__name__
            self._fail(f"returned the mask as {seen}: expected the shape {_shape(size)}, {self._how(size)}", before)
        if mask.dtype.is_floating_point or mask.dtype.is_complex or mask.dtype == torch.bool:
            self._fail(f"returned the mask as {_dtype(mask)}: expected whole numbers (tv_tensors.Mask is never interpolated)", before)
        labels = mask.detach().as_subclass(Tensor).to(torch.int64)
        bad = labels[((labels < 0) | (labels >= self._task.num_classes)) & (labels != self._task.ignore_index)]
        if bad.numel():
            self._fail(
                f"returned the label {int(bad[0])}: expected 0 to {self._task.num_classes - 1}, or {self._task.ignore_index} for ignored",
                before,
            )
        return compact(labels, ignore_index=self._task.ignore_index)

    def _how(self, size: Size) -> str:
        if self.native:
            return f"the training size {format_size(size)}: end it with a crop or a resize to the size that build gets"
        return f"the size {format_size(size)} that it was given"

    @property
    def _name(self) -> str:
        return f"Augmentation '{self._chosen}' (plugin {self._chosen.plugin.name})"

    def _fail(self, what: str, sample: Fields) -> NoReturn:
        raise PluginError(f"{self._name} {what}. Sample: {sample.id}")


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Random numbers of torch (on the CPU), ``random`` and ``numpy.random`` from ``seed``; all three go on afterwards as if nothing was."""
    python, numbers = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            random.seed(seed)
            np.random.seed(seed)
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numbers)


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
