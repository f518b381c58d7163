"""Samples, labels and predictions as pictures: arrays uint8 (H, W, 3), and panels with captions."""

from __future__ import annotations

import colorsys
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from segbench.plugin.specs import Sample, Task

Picture = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]

IGNORED: Colour = (230, 230, 230)
CORRECT: Colour = (60, 60, 60)
WRONG: Colour = (220, 50, 47)
_RADAR_DB = (-25.0, 0.0)
SENTINEL2_BANDS = 13
_TRUE_COLOUR_BANDS = (3, 2, 1)  # B4, B3, B2 of Sentinel-2's 13 bands
_BRIGHT_REFLECTANCE = 3000.0
_CAPTION_HEIGHT = 16
_GAP = 4


def default_palette(count: int) -> tuple[Colour, ...]:
    """Colours for classes without a palette: dark grey for the first, then hues a golden section apart.

    >>> default_palette(3)
    ((40, 40, 40), (230, 69, 69), (69, 116, 230))
    """
    hues = ((index * 0.6180339887) % 1 for index in range(count - 1))
    colours = (colorsys.hsv_to_rgb(hue, 0.7, 0.9) for hue in hues)
    return ((40, 40, 40), *((int(r * 255 + 0.5), int(g * 255 + 0.5), int(b * 255 + 0.5)) for r, g, b in colours))[:count]


def palette_of(task: Task) -> tuple[Colour, ...]:
    """The task's own colours, else the default ones."""
    return task.palette or default_palette(task.num_classes)


def to_rgb(image: Tensor, input_name: str) -> Picture:
    """An input (C, H, W) in its stored dtype as a picture (H, W, 3); missing values are black.

    8-bit images stay as they are. Radar (one or two float channels of an input named ``sar``) shows its first channel from -25 to
    0 dB. Thirteen bands show Sentinel-2's red, green and blue up to a reflectance of 0.3. Anything else is stretched between its
    2nd and 98th percentile, channel by channel.
    """
    values = image.detach().cpu().numpy()
    if values.dtype == np.uint8 and len(values) in (1, 3):
        return _three_channels(values)
    numbers = values.astype(np.float32)
    if input_name == "sar" and len(numbers) <= 2:
        low, high = _RADAR_DB
        return _three_channels(_to_8_bit(numbers[:1], low, high))
    if len(numbers) == SENTINEL2_BANDS:
        return _three_channels(_to_8_bit(numbers[list(_TRUE_COLOUR_BANDS)], 0.0, _BRIGHT_REFLECTANCE))
    channels = numbers[:3] if len(numbers) >= 3 else numbers[:1]
    return _three_channels(np.concatenate([_to_8_bit(channel[None], *_percentiles(channel)) for channel in channels]))


def colorize(mask: Tensor, task: Task) -> Picture:
    """Class ids (H, W) in the task's colours (H, W, 3); ignored pixels are light grey, as are ids that are no class."""
    ids = mask.detach().cpu().numpy().astype(np.int64)
    table = np.array([*palette_of(task), IGNORED], np.uint8)
    picture: Picture = table[np.where((ids >= 0) & (ids < task.num_classes), ids, task.num_classes)]
    return picture


def error_map(prediction: Tensor, mask: Tensor, task: Task) -> Picture:
    """Dark grey where the prediction (H, W) is right, red where it is wrong, light grey where the label is ignored."""
    wrong = (prediction.cpu().long() != mask.cpu()).numpy()
    picture: Picture = np.array([CORRECT, WRONG], np.uint8)[wrong.astype(np.intp)]
    picture[(mask.cpu() == task.ignore_index).numpy()] = IGNORED
    return picture


def overlay(picture: Picture, mask: Tensor, task: Task, *, opacity: float = 0.55) -> Picture:
    """The label's colours laid over a picture of the same size; ignored pixels show the picture."""
    blended = picture * (1 - opacity) + colorize(mask, task) * opacity
    valid = ((mask >= 0) & (mask < task.num_classes)).cpu().numpy()[..., None]
    result: Picture = np.where(valid, blended + 0.5, picture).astype(np.uint8)
    return result


def prediction_panel(sample: Sample, prediction: Tensor, task: Task, *, caption: str = "") -> Image.Image:
    """Each input, the label, the prediction (H, W) and the error map side by side under captions."""
    cells = [(name, to_rgb(image, name)) for name, image in sample.inputs.items()]
    cells += [
        ("label", colorize(sample.mask, task)),
        ("prediction", colorize(prediction, task)),
        (f"errors {caption}".strip(), error_map(prediction, sample.mask, task)),
    ]
    return row([labelled(Image.fromarray(picture), text) for text, picture in cells])


def labelled(picture: Image.Image, text: str) -> Image.Image:
    """A picture under a caption in small letters."""
    canvas = Image.new("RGB", (picture.width, picture.height + _CAPTION_HEIGHT), "white")
    canvas.paste(picture, (0, _CAPTION_HEIGHT))
    ImageDraw.Draw(canvas).text((2, 1), text, fill="black", font=small_font())
    return canvas


def row(pictures: list[Image.Image]) -> Image.Image:
    """Pictures side by side on white."""
    canvas = Image.new("RGB", (sum(p.width + _GAP for p in pictures) - _GAP, max(p.height for p in pictures)), "white")
    at = 0
    for picture in pictures:
        canvas.paste(picture, (at, 0))
        at += picture.width + _GAP
    return canvas


def column(pictures: list[Image.Image]) -> Image.Image:
    """Pictures one below the other on white."""
    canvas = Image.new("RGB", (max(p.width for p in pictures), sum(p.height + _GAP for p in pictures) - _GAP), "white")
    at = 0
    for picture in pictures:
        canvas.paste(picture, (0, at))
        at += picture.height + _GAP
    return canvas


def small_font() -> Any:
    """Pillow's own letters, 12 pixels high."""
    return ImageFont.load_default(size=12)


def _three_channels(values: npt.NDArray[Any]) -> Picture:
    channels = np.repeat(values, 3, axis=0) if len(values) == 1 else values
    return np.ascontiguousarray(channels.transpose(1, 2, 0))


def _to_8_bit(values: npt.NDArray[Any], low: float, high: float) -> Picture:
    shares = np.nan_to_num((values - low) / max(high - low, 1e-6), nan=0.0, posinf=1.0, neginf=0.0)
    picture: Picture = (shares.clip(0, 1) * 255 + 0.5).astype(np.uint8)
    return picture


def _percentiles(channel: npt.NDArray[Any]) -> tuple[float, float]:
    finite = channel[np.isfinite(channel)]
    if not len(finite):
        return 0.0, 1.0
    low, high = np.percentile(finite, (2, 98))
    return float(low), float(high)
