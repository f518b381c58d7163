"""A window: a part of an image, in pixels. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Window:
    """A part of an image, in pixels."""

    top: int
    left: int
    height: int
    width: int

    def crop(self, tensor: Tensor) -> Tensor:
        """The part of a tensor (.., H, W), as a view."""
        return tensor[..., self.top : self.top + self.height, self.left : self.left + self.width]
