"""The one reader: what each kind of file gives, with rasterio and without it."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from segbench import DataError, collect_facts, read_image, read_mask
from segbench.data.reader import read as reader
from segbench.data.reader.layers import upright

Array = npt.NDArray[Any]
IDS = np.array([[0, 1, 2], [2, 1, 0]], np.uint8)


def picture(height: int = 4, width: int = 6) -> Array:
    """A picture (H, W, 3) that no turn maps onto itself."""
    return (np.arange(height * width * 3).reshape(height, width, 3) * 3 % 251).astype(np.uint8)


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., Path]:
    def save(name: str, pixels: Array | Image.Image, **options: Any) -> Path:
        image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
        image.save(tmp_path / name, **options)
        return tmp_path / name

    return save


@pytest.fixture
def raster(tmp_path: Path) -> Callable[..., Path]:
    rasterio = pytest.importorskip("rasterio")

    def write(name: str, bands: Array, **options: Any) -> Path:
        shape = {"count": len(bands), "height": bands.shape[1], "width": bands.shape[2], "dtype": bands.dtype}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
            with rasterio.open(tmp_path / name, "w", driver="GTiff", **shape, **options) as file:
                file.write(bands)
        return tmp_path / name

    return write


def packed_png(path: Path, values: Array, bits: int, colour: int) -> Path:
    """A PNG of any bit depth (colour type 0 grey, 2 RGB), which Pillow cannot write."""
    height, width = values.shape[:2]
    rows = [b"\0" + _row(row.ravel(), bits) for row in values]

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"".join(rows))) + chunk(b"IEND", b""))
    return path


def _row(values: Array, bits: int) -> bytes:
    if bits == 16:
        return values.astype(">u2").tobytes()
    flags = np.unpackbits(values.astype(np.uint8)[:, None], axis=1)[:, 8 - bits :]
    return np.packbits(flags.ravel()).tobytes()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["png", "jpg", "webp"])
def test_an_orientation_tag_is_applied_to_images_as_viewers_do(saved: Callable[..., Path], ending: str, orientation: int) -> None:
    from PIL import ImageOps

    tag = Image.Exif()
    tag[0x0112] = orientation
    path = saved(f"a.{ending}", picture(), exif=tag, **({"lossless": True} if ending == "webp" else {}))
    with Image.open(path) as stored:
        expected = np.asarray(ImageOps.exif_transpose(stored).convert("RGB")).transpose(2, 0, 1)
    image = read_image(path, channels=3)
    assert np.array_equal(image.pixels, expected)
    assert image.facts.orientation == orientation


def test_an_orientation_tag_is_never_applied_to_masks(saved: Callable[..., Path]) -> None:
    tag = Image.Exif()
    tag[0x0112] = 6
    assert np.array_equal(read_mask(saved("m.png", IDS, exif=tag)).values, IDS)


def test_turning_twice_by_a_tag_and_its_opposite_changes_nothing() -> None:
    values = picture().transpose(2, 0, 1)
    for tag, opposite in ((2, 2), (3, 3), (4, 4), (5, 5), (6, 8), (7, 7), (8, 6)):
        assert np.array_equal(upright(upright(values, tag), opposite), values)


def test_a_tiff_with_an_orientation_tag_is_turned_once(saved: Callable[..., Path]) -> None:
    pytest.importorskip("rasterio")
    image = read_image(saved("a.tif", picture(), tiffinfo={274: 3}), channels=3)
    assert np.array_equal(image.pixels, picture()[::-1, ::-1].transpose(2, 0, 1))


@pytest.mark.parametrize(("dtype", "nodata"), [("float32", -9999.0), ("int16", -32768), ("uint16", 65535), ("float32", float("nan"))])
def test_declared_nodata_is_missing_whatever_the_dtype(raster: Callable[..., Path], dtype: str, nodata: float) -> None:
    bands = picture().transpose(2, 0, 1).astype(dtype)
    bands[:, :, :2] = nodata
    bands[0, 3, 5] = nodata
    image = read_image(raster("a.tif", bands, nodata=nodata), channels=3)
    assert image.pixels.dtype == np.float32
    assert np.isnan(image.pixels[:, :, :2]).all()
    assert np.isnan(image.pixels[0, 3, 5])
    assert np.array_equal(image.pixels[1:, :, 2:], bands[1:, :, 2:].astype(np.float32))
    assert image.valid is not None
    assert image.valid.tolist() == [[False] * 2 + [True] * 4] * 4  # one band that has a value is enough
    assert image.facts.missing == pytest.approx(1 / 3)


def test_a_nodata_of_0_needs_all_bands_for_dark_values_are_values(raster: Callable[..., Path]) -> None:
    bands = picture().transpose(2, 0, 1) + np.uint8(1)
    bands[:, 0] = 0
    bands[1, 2, 2] = 0
    image = read_image(raster("a.tif", bands, nodata=0), channels=3)
    assert np.isnan(image.pixels[:, 0]).all()
    assert image.pixels[1, 2, 2] == 0


def test_alpha_says_where_an_image_has_data_and_is_no_channel(saved: Callable[..., Path], raster: Callable[..., Path]) -> None:
    alpha = np.full((4, 6), 255, np.uint8)
    alpha[:, :2] = 0
    layers = np.concatenate([picture(), alpha[..., None]], axis=2)
    files = [saved("a.png", layers)]
    path = raster("a.tif", layers.transpose(2, 0, 1), photometric="RGB", alpha="YES")
    for image in (read_image(file, channels=3) for file in (*files, path)):
        assert image.pixels.shape == (3, 4, 6)
        assert np.isnan(image.pixels[:, :, :2]).all()
        assert np.array_equal(image.pixels[:, :, 2:], picture().transpose(2, 0, 1)[:, :, 2:].astype(np.float32))
    opaque = read_image(saved("b.png", np.concatenate([picture(), np.full((4, 6, 1), 255, np.uint8)], axis=2)), channels=3)
    assert opaque.pixels.dtype == np.uint8
    assert opaque.valid is None


def test_cmyk_and_palettes_are_colours_and_grey_is_repeated(saved: Callable[..., Path], raster: Callable[..., Path]) -> None:
    inks = Image.fromarray(picture()).convert("CMYK")
    expected = np.asarray(inks.convert("RGB")).transpose(2, 0, 1)
    assert np.abs(read_image(saved("a.jpg", inks, quality=100), channels=3).pixels.astype(int) - expected).max() <= 40
    indexed = Image.fromarray(picture()).quantize(16)
    for name in ("p.png", "p.gif", "p.tif"):
        assert np.array_equal(read_image(saved(name, indexed), channels=3).pixels, np.asarray(indexed.convert("RGB")).transpose(2, 0, 1))
    grey = read_image(saved("g.png", IDS), channels=3)
    assert grey.pixels.tolist() == [IDS.tolist()] * 3
    assert read_image(saved("e.png", np.stack([IDS] * 3, axis=2)), channels=1).pixels.tolist() == [IDS.tolist()]


def test_sixteen_bit_colour_keeps_its_numbers_or_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rasterio")
    deep = picture().astype(np.uint16) * 16 + 7
    path = packed_png(tmp_path / "deep.png", deep, 16, 2)
    assert np.array_equal(read_image(path, channels=3).pixels, deep.transpose(2, 0, 1))
    assert np.array_equal(read_image(io.BytesIO(path.read_bytes()), channels=3, name="deep.png").pixels, deep.transpose(2, 0, 1))
    monkeypatch.setattr(reader, "has_rasterio", lambda: False)
    with pytest.raises(DataError, match=r"deep\.png is a RGB picture of 16 bits, which is read by rasterio: pip install"):
        read_image(path, channels=3)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_packed_grey_masks_give_the_numbers_that_are_stored(tmp_path: Path, bits: int) -> None:
    ids = IDS % 2 if bits == 1 else IDS
    mask = read_mask(packed_png(tmp_path / "m.png", ids, bits, 0))
    assert np.array_equal(mask.values, ids)
    assert mask.facts.dtype == f"uint{bits}"


@pytest.mark.parametrize("maximum", [2, 11, 255])
def test_a_pgm_with_a_small_maximum_gives_the_numbers_that_are_stored(tmp_path: Path, maximum: int) -> None:
    path = tmp_path / "m.pgm"
    path.write_bytes(b"P5 3 2 %d\n" % maximum + IDS.tobytes())
    assert np.array_equal(read_mask(path).values, IDS)


def test_masks_of_every_kind_give_ids(saved: Callable[..., Path], raster: Callable[..., Path], tmp_path: Path) -> None:
    palette = Image.fromarray(IDS)
    palette.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    grey_alpha = Image.merge("LA", [Image.fromarray(IDS), Image.new("L", (3, 2), 255)])
    np.save(tmp_path / "m.npy", IDS)
    np.savez(tmp_path / "m.npz", image=picture(), mask=IDS)
    files = [saved("m.png", palette), saved("m.gif", palette), saved("la.png", grey_alpha), saved("rgb.png", np.stack([IDS] * 3, axis=2))]
    files += [raster("m.tif", IDS[None]), raster("w.tif", IDS[None], photometric="MINISWHITE"), raster("i.tif", IDS[None].astype(np.int32))]
    for file in (*files, tmp_path / "m.npy", tmp_path / "m.npz"):
        mask = read_mask(file)
        assert np.array_equal(mask.values, IDS), file.name
        assert mask.values.dtype == np.int64
        assert mask.valid is None


@pytest.mark.parametrize(("dtype", "nodata"), [("uint8", 127), ("int32", -2147483648), ("float32", float("nan"))])
def test_what_a_mask_does_not_know_is_ignored(raster: Callable[..., Path], dtype: str, nodata: float) -> None:
    ids = IDS.astype(dtype)
    ids[:, 0] = nodata
    mask = read_mask(raster("m.tif", ids[None], nodata=nodata))
    assert mask.labels(255).tolist() == [[255, 1, 2], [255, 1, 0]]
    assert mask.facts.missing == pytest.approx(1 / 3)


def test_a_nodata_value_that_is_a_class_can_be_kept(raster: Callable[..., Path]) -> None:
    mask = read_mask(raster("m.tif", IDS[None], nodata=0))
    assert mask.labels(255).tolist() == [[255, 1, 2], [2, 1, 255]]
    assert np.array_equal(mask.labels(255, keep=(0,)), IDS)


@pytest.mark.parametrize("soft", [0.98, 1.5, -0.25])
def test_labels_that_are_no_whole_numbers_are_refused_with_the_file(raster: Callable[..., Path], soft: float) -> None:
    values = IDS.astype(np.float32)
    values[0, 0] = soft
    with pytest.raises(DataError, match=rf"m\.tif holds labels that are no whole numbers \({soft:g}; 1 pixel\)"):
        read_mask(raster("m.tif", values[None]))


def test_colours_are_read_by_a_table_and_unknown_ones_are_counted(saved: Callable[..., Path]) -> None:
    colours = np.array([[0, 0, 0], [128, 0, 0], [0, 128, 128]], np.uint8)
    table = {(0, 0, 0): 0, (128, 0, 0): 1, (0, 128, 128): 2}
    path = saved("c.png", colours[IDS])
    assert np.array_equal(read_mask(path, colours=table).values, IDS)
    palette = Image.fromarray(2 - IDS)
    palette.putpalette(colours[::-1].ravel().tolist())
    assert np.array_equal(read_mask(saved("p.png", palette), colours=table).values, IDS)
    with pytest.raises(DataError, match=r"c\.png has colours that the table of colours lacks: 0 128 128 \(2 pixels\)"):
        read_mask(path, colours=dict(list(table.items())[:2]))
    with pytest.raises(DataError, match=r"c\.png is in colours .*colours="):
        read_mask(path)


def test_several_pages_are_refused_or_read_as_they_are_meant(tmp_path: Path) -> None:
    pytest.importorskip("rasterio")
    pages = [Image.fromarray(picture()[:, :, channel].copy()) for channel in range(3)]
    path = tmp_path / "stack.tif"
    pages[0].save(path, save_all=True, append_images=pages[1:])
    with pytest.raises(DataError, match=r"stack\.tif has 3 pages"):
        read_image(path)
    assert np.array_equal(read_image(path, channels=3, pages="bands").pixels, picture().transpose(2, 0, 1))
    assert np.array_equal(read_image(path, channels=1, pages=2).pixels[0], picture()[:, :, 2])
    with pytest.raises(DataError, match="there is no page 3"):
        read_image(path, pages=3)


def test_without_rasterio_a_tiff_is_read_alike_or_refused(
    saved: Callable[..., Path], raster: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    alike = [saved("rgb.tif", picture()), saved("grey.tif", IDS), saved("deep.tif", IDS.astype(np.uint16) * 300)]
    before = [read_image(path).pixels for path in alike]
    refused = [
        raster("f.tif", IDS[None].astype(np.float32)),
        raster("i.tif", IDS[None].astype(np.int16) - 5),
        raster("u.tif", IDS[None].astype(np.uint32)),
        raster("w.tif", IDS[None], photometric="MINISWHITE"),
        raster("b.tif", IDS[None] % 2, photometric="MINISWHITE", nbits=1),
        raster("n.tif", IDS[None], nodata=0),
        raster("g.tif", IDS[None], crs="EPSG:32633"),
        raster("five.tif", np.stack([IDS] * 5)),
    ]
    monkeypatch.setattr(reader, "has_rasterio", lambda: False)
    for path, pixels in zip(alike, before, strict=True):
        assert np.array_equal(read_image(path).pixels, pixels)
    for path in refused:
        for read in (read_image, read_mask):
            with pytest.raises(DataError, match=rf"{path.name}.*pip install 'segbench\[geo\]'"):
                read(path)


def test_an_image_that_stores_white_as_0_is_shown_as_viewers_do_and_a_mask_is_not(raster: Callable[..., Path]) -> None:
    path = raster("w.tif", IDS[None], photometric="MINISWHITE")
    assert np.array_equal(read_image(path).pixels[0], 255 - IDS)
    assert np.array_equal(read_mask(path).values, IDS)


@pytest.mark.parametrize("shape", ["hw", "chw", "hwc"])
def test_arrays_are_images_with_their_channels_first_or_last(tmp_path: Path, shape: str) -> None:
    values = picture()[:, :, :1].squeeze() if shape == "hw" else picture().transpose(2, 0, 1) if shape == "chw" else picture()
    np.save(tmp_path / "a.npy", values)
    expected = np.repeat(picture()[None, :, :, 0], 3, axis=0) if shape == "hw" else picture().transpose(2, 0, 1)
    assert np.array_equal(read_image(tmp_path / "a.npy", channels=3).pixels, expected)


def test_arrays_of_objects_are_never_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match=r"cannot read .*a\.npy"):
        read_image(tmp_path / "a.npy")


def test_a_picture_too_large_is_refused_with_its_size_and_what_to_do(saved: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved("huge.png", np.zeros((2000, 2000), np.uint8))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1_000_000)
    with pytest.raises(DataError, match=r"huge\.png is a picture of 4 megapixels; .* may have 2\. Cut it and its mask into tiles"):
        read_image(path)


@pytest.mark.parametrize("content", [b"", b"II*\0garbage", b"\x89PNG\r\n\x1a\n\0\0"])
@pytest.mark.parametrize("ending", ["png", "tif", "npy", "npz", "gif"])
def test_a_damaged_file_is_one_message_with_its_name(tmp_path: Path, ending: str, content: bytes) -> None:
    path = tmp_path / f"bad.{ending}"
    path.write_bytes(content)
    for read in (read_image, read_mask):
        with pytest.raises(DataError, match=rf"bad\.{ending}"):
            read(path)


def test_facts_are_collected_for_whoever_asks(saved: Callable[..., Path]) -> None:
    path = saved("a.png", picture())
    with collect_facts() as facts:
        read_image(path, channels=3)
        read_mask(saved("m.png", IDS))
    read_image(path)
    assert [(one.role, one.path.name, one.reader) for one in facts] == [("image", "a.png", "pillow"), ("mask", "m.png", "pillow")]


TABLE = {(0, 0, 0): 0, (255, 0, 0): 1, (0, 255, 0): 2}
COLOURS = np.array(list(TABLE), np.uint8)[IDS]


def test_a_declared_nodata_whose_colour_is_in_the_table_is_a_label(raster: Callable[..., Path]) -> None:
    path = raster("rgb.tif", COLOURS.transpose(2, 0, 1), nodata=0)
    assert read_mask(path, colours=TABLE).labels(255).tolist() == IDS.tolist()
    without_black = {colour: value for colour, value in TABLE.items() if value}
    assert read_mask(path, colours=without_black).labels(255).tolist() == np.where(IDS == 0, 255, IDS).tolist()


def test_the_nodata_index_of_a_palette_is_a_label_where_the_palette_lists_it(tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    for nodata, expected in ((0, 0), (200, 255)):  # what a palette does not list is black by default, and no label
        values = np.where(IDS == 0, nodata, IDS)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
            shape = {"count": 1, "height": 2, "width": 3, "dtype": "uint8", "nodata": nodata}
            with rasterio.open(tmp_path / "palette.tif", "w", driver="GTiff", **shape) as file:
                file.write(values[None].astype(np.uint8))
                file.write_colormap(1, {value: (*colour, 255) for colour, value in TABLE.items()})
        labels = read_mask(tmp_path / "palette.tif", colours=TABLE).labels(255)
        assert labels.tolist() == np.where(IDS == 0, expected, IDS).tolist()


def test_colours_of_16_bits_are_those_of_8_bits_spread_out_or_refused(raster: Callable[..., Path]) -> None:
    wide = COLOURS.transpose(2, 0, 1).astype(np.uint16) * 257
    assert read_mask(raster("wide.tif", wide), colours=TABLE).values.tolist() == IDS.tolist()
    with pytest.raises(DataError, match=r"65535 0 0 \(2 pixels\)"):
        read_mask(raster("wide.tif", wide))
    yellow = {(0, 0, 0): 0, (255, 255, 0): 1, (0, 255, 0): 2}  # packed by 8 bits, 0 65535 0 was this colour
    with pytest.raises(DataError, match=r"lacks: 255 0 0 \(2 pixels\)"):
        read_mask(raster("wide.tif", wide), colours=yellow)
    for values in (wide.astype(np.float32) / 65535, wide.astype(np.float32) + 0.5):
        with pytest.raises(DataError, match=r"lacks: 0 1 0|whole numbers from 0 to 255"):
            read_mask(raster("soft.tif", values), colours=TABLE)


@pytest.mark.parametrize("value", [-3.4028234663852886e38, 1e20])
def test_numbers_that_no_id_reaches_are_refused_with_what_declares_them(raster: Callable[..., Path], value: float) -> None:
    values = IDS[None].astype(np.float32)
    values[0, 0] = value
    stored = float(np.float32(value))
    with pytest.raises(DataError, match=r"in 3 pixels, which is no class id") as caught:
        read_mask(raster("low.tif", values))
    assert f"-a_nodata {stored:.17g} FILE" in str(caught.value)
    assert read_mask(raster("low.tif", values, nodata=stored)).labels(255).tolist() == [[255] * 3, [2, 1, 0]]


def test_unsigned_numbers_above_every_id_do_not_turn_negative(tmp_path: Path) -> None:
    np.save(tmp_path / "mask.npy", np.full((2, 2), 2**64 - 1, np.uint64))
    with pytest.raises(DataError, match="18446744073709551615 in 4 pixels"):
        read_mask(tmp_path / "mask.npy")


def test_a_transparent_grey_of_16_bits_is_missing(tmp_path: Path) -> None:
    values = np.array([[7, 300], [300, 7]])
    packed_png(tmp_path / "grey.png", values, 16, 0)
    content = (tmp_path / "grey.png").read_bytes()
    chunk = b"tRNS" + struct.pack(">H", 7)
    at = content.index(b"IDAT") - 4
    (tmp_path / "grey.png").write_bytes(content[:at] + struct.pack(">I", 2) + chunk + struct.pack(">I", zlib.crc32(chunk)) + content[at:])
    assert np.array_equal(read_image(tmp_path / "grey.png").pixels, np.where(values == 7, np.nan, values)[None], equal_nan=True)
