"""Pictures by Pillow: PNG, JPEG, GIF, BMP, WebP, PNM, and the TIFFs that it reads as rasterio does."""

from __future__ import annotations

import contextlib
import re
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from segbench.data.reader.facts import Colour, FileFacts
from segbench.data.reader.layers import Array, PictureLayer, gaps, to_stored_dtype, upright, with_gaps, with_missing_share
from segbench.errors import DataError
from segbench.util.sequences import counted, first_line

RASTERIO_HINT = "pip install 'segbench[geo]'"

_FILTERS = threading.RLock()
_ORIENTATION = 0x0112
_PNG_TAGS = ("exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp")
_PACKED = {"L;4": ("uint4", 17), "L;2": ("uint2", 85), "L;1": ("uint1", 255)}
_GEOREFERENCE_TAGS = (33550, 33922, 34264, 34735)
_NODATA_TAG, _SAMPLE_FORMAT_TAG, _PHOTOMETRIC_TAG, _BITS_TAG = 42113, 339, 262, 258
_GREY_KINDS = ("1", "L", "LA", "La", "I", "F", "I;16", "I;16L", "I;16B", "I;16N")


@contextlib.contextmanager
def open_picture(source: Path | BinaryIO, path: Path) -> Iterator[Image.Image]:
    """An open picture. Raises :class:`DataError` with the file's name where it cannot be read or decoded, also within the block."""
    try:
        with quietly(Image.DecompressionBombWarning):
            opened = Image.open(source)
        with opened as picture:
            yield picture
    except DataError:
        raise
    except Image.DecompressionBombError as error:
        raise too_large(path, error) from None
    except Exception as error:  # Pillow raises OSError, SyntaxError, ValueError and struct.error for damaged files
        raise unreadable(path, error) from None


@contextlib.contextmanager
def quietly(category: type[Warning]) -> Iterator[None]:
    """Without warnings of a kind; one thread at a time, for Python keeps one list of filters for all threads."""
    with _FILTERS, warnings.catch_warnings():
        warnings.simplefilter("ignore", category)
        yield


def unreadable(path: Path, error: Exception) -> DataError:
    """The error for a file that exists but cannot be decoded."""
    if isinstance(error, FileNotFoundError):
        return DataError(f"there is no file {path}.")
    text = first_line(error).replace(f" {str(path)!r}", "").replace(str(path), path.name).rstrip(".:")
    return DataError(f"cannot read {path}: {text}. Is it complete? Copy or download it again.")


def too_large(path: Path, error: Exception) -> DataError:
    """The error for a picture with more pixels than one that is read as a whole may have."""
    seen = re.search(r"\((\d+) pixels\)", str(error))
    size = f" of {int(seen.group(1)) / 1e6:.0f} megapixels" if seen else ""
    return DataError(
        f"{path} is a picture{size}; one that is read as a whole may have {2 * (Image.MAX_IMAGE_PIXELS or 0) / 1e6:.0f}. Cut it and its "
        "mask into tiles of 512 to 2048 pixels, or convert it to GeoTIFF (segbench predict reads that in windows)."
    )


def needs_rasterio(picture: Image.Image) -> str:
    """The reason why Pillow would not give what the file holds; empty where it does."""
    raw = _raw_mode(picture)
    if ";16" in raw and picture.mode in ("RGB", "RGBA", "LA"):
        return f"a {picture.mode} picture of 16 bits"
    if picture.format == "PPM" and picture.mode == "RGB" and _pnm_maximum(picture) > 255:
        return "an RGB picture of 16 bits"
    if picture.format == "JPEG2000" and picture.mode not in ("L", "RGB"):
        return f"a JPEG 2000 of the kind {picture.mode}"
    return _tiff_reason(picture) if picture.format == "TIFF" else ""


def decode_image(picture: Image.Image, path: Path, *, pages: str | int) -> PictureLayer:
    """An image (C, H, W), 1 or 3 channels: upright, alpha dropped and taken as validity, CMYK and palettes as RGB."""
    count = check_pages(_page_count(picture), pages, path)
    kind, dtype, bands = picture.mode, _stored_dtype(picture), len(picture.getbands())
    parts = []
    for page in _chosen_pages(count, pages):
        if page:
            picture.seek(page)
        parts.append(_image_pixels(picture))
    orientation = _orientation(picture)
    pixels = np.concatenate([part for part, _ in parts]) if len(parts) > 1 else parts[0][0]
    valid = parts[0][1] if len(parts) == 1 else None
    pixels = with_gaps(pixels, valid)
    if orientation != 1:
        pixels = np.ascontiguousarray(upright(pixels, orientation))
    facts = FileFacts(
        path, "image", "pillow", dtype, bands * len(parts), (pixels.shape[1], pixels.shape[2]),
        orientation=orientation, pages=count, alpha=_has_alpha(picture, kind), kind=_kind(kind),
    )  # fmt: skip
    return PictureLayer(path, pixels, with_missing_share(facts, gaps(pixels) if pixels.dtype.kind == "f" else None))


def decode_mask(picture: Image.Image, path: Path, *, pages: str | int, palette: bool = True) -> tuple[Array, Array | None, FileFacts]:
    """A mask as stored: values (H, W), or (H, W, 3) where it is in colours; validity (H, W) where it has alpha; and the file's facts.

    A palette gives indices, packed greys give their small numbers, and an orientation tag is not applied. The facts
    have the palette's colours where ``palette``, as making that list takes as long as opening the file.
    """
    count = check_pages(_page_count(picture), pages, path)
    if isinstance(pages, int) and pages:
        picture.seek(pages)
    # before anything is decoded, which forgets how the file stores its numbers
    kind, dtype, raw, maximum = picture.mode, _stored_dtype(picture), _raw_mode(picture), _pnm_maximum(picture)
    valid = None
    if kind in ("LA", "PA", "La", "RGBA", "RGBa"):
        alpha = np.asarray(picture.getchannel("A"))
        valid = None if alpha.all() else alpha > 0
    if kind in ("LA", "La", "PA"):
        values = np.asarray(picture.getchannel(0))
    elif kind == "1":
        values = np.asarray(picture).astype(np.uint8)
    elif kind == "P" or kind in _GREY_KINDS:
        values = _unpacked(np.asarray(picture), raw, maximum)
    else:
        values = np.asarray(picture.convert("RGB"))
    facts = FileFacts(
        path, "mask", "pillow", dtype, len(picture.getbands()), (values.shape[0], values.shape[1]),
        orientation=_orientation(picture), pages=count, palette=_palette(picture) if palette else None, alpha=valid is not None,
        kind=_kind(kind),
    )  # fmt: skip
    return values, valid, facts


def check_pages(count: int, pages: str | int, path: Path) -> int:
    """The count of pages, which must be one unless ``pages`` says which to read; raises :class:`DataError`."""
    if count > 1 and pages == "refuse":
        raise DataError(
            f"{path} has {counted(count, 'page')}, and only one can be an image. Save each page as a file; or let a dataset say what "
            "pages are: folder[pages=samples] for a stack of images, folder[pages=bands] for the channels of one image."
        )
    if isinstance(pages, int) and not 0 <= pages < count:
        raise DataError(f"{path} has {counted(count, 'page')}: there is no page {pages} (counted from 0).")
    return count


def _chosen_pages(count: int, pages: str | int) -> range:
    if pages == "bands":
        return range(count)
    return range(pages, pages + 1) if isinstance(pages, int) else range(1)


def _page_count(picture: Image.Image) -> int:
    """Pages of a TIFF, frames of an animation. The previews beside the photograph in a phone's JPEG (MPO) are no pages."""
    return 1 if picture.format == "MPO" else int(getattr(picture, "n_frames", 1))


def _image_pixels(picture: Image.Image) -> tuple[Array, Array | None]:
    """Pixels (C, H, W) of the current page, and validity (H, W) where it has alpha."""
    mode = picture.mode
    if mode.startswith("I") or mode == "F":
        raw, maximum = _raw_mode(picture), _pnm_maximum(picture)
        values = _unpacked(np.asarray(picture), raw, maximum)
        clear = picture.info.get("transparency")  # of 16 bits, too, a PNG may call one value transparent
        valid = values != clear if isinstance(clear, int) else None
        return to_stored_dtype(values if mode != "F" else values.astype(np.float32))[None], valid
    if mode == "RGB" and "transparency" not in picture.info:
        return np.asarray(picture).transpose(2, 0, 1), None
    if mode in ("1", "L") and "transparency" not in picture.info:
        return np.asarray(picture.convert("L"))[None], None
    if _has_alpha(picture, mode):
        grey = mode in ("L", "LA", "La")
        pixels = np.asarray(picture.convert("LA" if grey else "RGBA")).transpose(2, 0, 1)
        alpha = pixels[-1]
        return pixels[:-1], None if alpha.all() else alpha > 0
    return np.asarray(picture.convert("RGB")).transpose(2, 0, 1), None


def _has_alpha(picture: Image.Image, mode: str) -> bool:
    return mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in picture.info


def _unpacked(values: Array, raw: str, maximum: int) -> Array:
    """The numbers that the file stores, where Pillow has spread them over 8 or 16 bits or inverted them."""
    if raw in _PACKED:
        unpacked: Array = values // np.uint8(_PACKED[raw][1])
        return unpacked
    if maximum not in (0, 255, 65535):
        highest = 255 if maximum < 256 else 65535
        return np.round(values.astype(np.float64) * maximum / highest).astype(np.uint16)
    return values


def _stored_dtype(picture: Image.Image) -> str:
    raw = _raw_mode(picture)
    if picture.mode == "1":
        return "uint1"
    if picture.mode == "L" and raw in _PACKED:
        return _PACKED[raw][0]
    if picture.mode.startswith("I;16"):
        return "uint16"
    if picture.mode == "I":
        return "uint16" if _pnm_maximum(picture) > 255 or ";16" in raw else "int32"
    return "float32" if picture.mode == "F" else "uint8"


def _kind(mode: str) -> str:
    names = {"1": "grey", "L": "grey", "I": "grey", "F": "grey", "P": "palette", "LA": "grey + alpha", "La": "grey + alpha"}
    return names.get(mode, "grey" if mode.startswith("I;16") else mode)


def _raw_mode(picture: Image.Image) -> str:
    """Pillow's name of the layout in the file, as in "RGB;16B"; empty where it gives none."""
    tile: Any = getattr(picture, "tile", None)
    args = tile[0][3] if tile else ""
    if isinstance(args, tuple):
        args = args[0] if args else ""
    return args if isinstance(args, str) else ""


def _pnm_maximum(picture: Image.Image) -> int:
    """The largest value that a PGM or PPM declares; 0 for all other files."""
    if picture.format != "PPM":
        return 0
    tile: Any = getattr(picture, "tile", None)
    args = tile[0][3] if tile else None
    return int(args[1]) if isinstance(args, tuple) and tile[0][0] in ("ppm", "ppm_plain") and len(args) > 1 else 0


def _orientation(picture: Image.Image) -> int:
    if not picture.info.get("exif") and picture.format in ("JPEG", "MPO", "WEBP", "GIF", "BMP", "PPM"):
        return 1 if "xmp" not in picture.info else int(picture.getexif().get(_ORIENTATION, 1))
    if picture.format == "TIFF":
        return 1  # Pillow turns such a TIFF itself: needs_rasterio() leaves it to rasterio
    if picture.format == "PNG" and not any(key in picture.info for key in _PNG_TAGS):
        return 1  # of a picture that has been decoded, which reads the tags behind the pixels, too
    orientation = picture.getexif().get(_ORIENTATION, 1)
    return int(orientation) if orientation in range(1, 9) else 1


def _palette(picture: Image.Image) -> tuple[tuple[int, Colour], ...] | None:
    if picture.mode != "P" or picture.palette is None:
        return None
    raw = picture.getpalette("RGB") or []
    return tuple(enumerate(zip(raw[::3], raw[1::3], raw[2::3], strict=True)))


def _tiff_reason(picture: Any) -> str:
    """The reason why a TIFF has to be read by rasterio; empty for plain 8- and 16-bit ones, which both read alike."""
    tags, raw = picture.tag_v2, _raw_mode(picture)
    if tags.get(_PHOTOMETRIC_TAG) == 0:
        return "a TIFF that stores white as 0"
    if any(tag in tags for tag in _GEOREFERENCE_TAGS) or _NODATA_TAG in tags:
        return "a TIFF with georeference or nodata"
    if set(_as_tuple(tags.get(_SAMPLE_FORMAT_TAG, 1))) != {1} or tags.get(_ORIENTATION, 1) != 1:
        return "a TIFF of signed or floating numbers" if tags.get(_ORIENTATION, 1) == 1 else "a TIFF with an orientation tag"
    if (picture.mode, raw) not in (("L", "L"), ("RGB", "RGB"), ("RGB", "RGB;L"), ("P", "P"), ("1", "1"), ("I;16", "I;16")):
        bits = ", ".join(map(str, dict.fromkeys(_as_tuple(tags.get(_BITS_TAG, 1)))))
        return f"a TIFF of the kind {picture.mode} with {bits} bits"
    return ""


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)
