"""``segbench predict``."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from segbench.cli.trained import TRAINED

if TYPE_CHECKING:
    from segbench.plugin.registry import Catalog
    from segbench.plugin.specs import Task
    from segbench.prediction.predict import PredictSettings, PredictSummary, Report
    from segbench.prediction.predictor import Predictor
    from segbench.prediction.scenes import Scene

_QUIET_SECONDS = 2.0
_OWN_CLASSES = "network"


@click.command(name="predict", short_help="Masks and overlays of images, by a trained cell or an exported file.", epilog=TRAINED)
@click.argument("arguments", nargs=-1, type=click.Path(path_type=Path), metavar="[SUBJECT] [IMAGES]...")
@click.option("--checkpoint", metavar="TRAINED", help="A trained network as SUBJECT: all arguments are images.")
@click.option("--model", metavar="NAME", help="Which model of the run, where SUBJECT is a run's directory.")
@click.option("--input", "inputs", multiple=True, metavar="NAME=PLACE", help="Folder or pattern of one input's files. Repeatable.")
@click.option("--dataset", metavar="NAME", help="Read the samples of a dataset, instead of files.")
@click.option("--data", metavar="DIR", help="Folder of the dataset.")
@click.option("--split", metavar="NAME", help="Split of the dataset.  [default: test, else val]")
@click.option(
    "--class-map",
    metavar="MAP|FILE|network",
    help="Which class of the network stands for which of the dataset: a:b,c:ignore. 'network': masks hold the network's own.  "
    "[default: by name]",
)
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="DIR", help="Folder for masks, overlays, predictions.json.")
@click.option(
    "--size", metavar="N|HxW|trained|own", help="Resize images to fit, and logits back.  [default: trained for pictures, own for GeoTIFF]"
)
@click.option("--tile", metavar="N|HxW", help="Show images in tiles.  [default: 1024 where one has more than 1536x1536 pixels]")
@click.option("--overlap", type=click.IntRange(min=0), metavar="PIXELS", help="What tiles share at least.  [default: an eighth]")
@click.option("--bands", metavar="1,2,..", help="Bands of a GeoTIFF that the network gets, in order.")
@click.option(
    "--rescale",
    metavar="auto|none|A-B:C-D",
    help="Values unlike those of training: by dtype (uint16 / 257), as they are, or A to C and B to D.  [default: refused]",
)
@click.option("--overlay/--no-overlay", default=True, show_default=True, help="Also write the classes' colours over each image.")
@click.option("--alpha", type=click.FloatRange(0, 1), default=0.55, show_default=True, metavar="SHARE", help="How opaque they are.")
@click.option("--device", default="auto", show_default=True, metavar="NAME", help="auto, cpu, cuda or cuda:N.")
@click.option("--batch-size", type=click.IntRange(min=1), metavar="N", help="Tiles at a time.  [default: 1 on a CPU, else 8]")
@click.option("--overwrite", is_flag=True, help="Predict images again that are done already.")
@click.option("--json", "as_json", is_flag=True, help="Print predictions.json, and nothing else.")
def command(arguments: tuple[Path, ...], out: Path, overwrite: bool, as_json: bool, **flags: Any) -> int:
    """Predict on IMAGES (files and folders) with SUBJECT: a trained network, or a file of 'segbench export'.

    Masks hold ids of the network's classes, or with --dataset of the dataset's, in their colours: PNG with a palette, or GeoTIFF in the
    place of the image where that is a GeoTIFF.
    The same command continues where it stopped. Exit 1 where an image could not be predicted.

    \b
    segbench predict runs/camvid-quick/CELL photos/ --out masks
    segbench predict model.onnx scene.tif --tile 512 --overlap 64 --out masks
    segbench predict runs/flood --input 'sar=S1/*_S1Hand.tif' --input 'optical=S2/*_S2Hand.tif' --out masks
    """
    from segbench.errors import ConfigError
    from segbench.util.compat import require_torch

    subject, images = _subject(arguments, flags["checkpoint"])
    ways = [name for name, used in (("IMAGES", images), ("--input", flags["inputs"]), ("--dataset", flags["dataset"])) if used]
    if len(ways) != 1:
        what = f"{' and '.join(ways)} are two ways to say which images: give one." if ways else "Which images?"
        raise ConfigError(f"{what} Give files or folders after SUBJECT, --input NAME=DIR per input, or --dataset NAME.")
    require_torch()
    from segbench.plugin.registry import load_catalog
    from segbench.prediction.predict import predict
    from segbench.prediction.predictor import open_predictor
    from segbench.util.devices import resolve_device

    catalog = load_catalog()
    device = resolve_device(flags["device"])
    predictor = open_predictor(subject, catalog=catalog, device=device, model=flags["model"])
    if predictor.record.get("random_weights"):
        click.echo("Warning: this file was exported with random weights: what it predicts means nothing.", err=True)
    scenes = _scenes(images, flags, predictor.task, catalog)
    predictor, note = _in_classes(predictor, flags, catalog)
    if note:
        click.echo(f"Note: {note}", err=True)
    with _progress() as report:
        summary = predict(predictor, scenes, out, _settings(flags, predictor), overwrite=overwrite, report=report)
    click.echo(summary.record.to_json() if as_json else _summary(summary, predictor, out))
    return 1 if summary.failed else 0


def _subject(arguments: tuple[Path, ...], checkpoint: str | None) -> tuple[Path | str, tuple[Path, ...]]:
    from segbench.errors import ConfigError

    if checkpoint is not None:
        return checkpoint, arguments
    if not arguments:
        raise ConfigError("What is to predict? Give RUN/CELL, a checkpoint or an exported file, and then images.")
    return arguments[0], arguments[1:]


def _scenes(images: tuple[Path, ...], flags: Mapping[str, Any], task: Task, catalog: Catalog) -> list[Scene]:
    from segbench.errors import ConfigError
    from segbench.prediction.scenes import image_scenes, paired_scenes

    if flags["dataset"]:
        return _samples(flags, task, catalog)
    if flags["data"] or flags["split"] or flags["class_map"]:
        raise ConfigError("--data, --split and --class-map go with --dataset NAME.")
    if flags["bands"] and flags["inputs"]:
        raise ConfigError("--bands goes with IMAGES of one file each, not with --input.")
    if images:
        return [*image_scenes(images, bands=_bands(flags["bands"]))]
    places = {}
    for text in flags["inputs"]:
        name, equals, place = text.partition("=")
        if not equals or not place:
            raise ConfigError(f"--input '{text}' is not of the form NAME=DIR, such as sar=S1")
        if name in places:
            raise ConfigError(f"--input {name} is given twice.")
        places[name] = place
    return [*paired_scenes(places, task)]


def _samples(flags: Mapping[str, Any], task: Task, catalog: Catalog) -> list[Scene]:
    from segbench.config.run_config import load_config
    from segbench.data.selection import data_root, default_split, find_dataset
    from segbench.errors import ConfigError
    from segbench.plugin.specs import resolve
    from segbench.prediction.scenes import sample_scenes

    config = load_config(flags={"dataset": flags["dataset"], "data": flags["data"]})
    dataset = find_dataset(catalog, str(config.dataset))
    root = data_root(config, dataset)
    own = dataset.spec.make_task(dataset.options, root)
    if dict(own.inputs) != dict(task.inputs):
        raise ConfigError(f"dataset '{dataset}' gives {dict(own.inputs)}; the network takes {dict(task.inputs)}.")
    split = flags["split"] or default_split(dataset, root)
    names = dataset.spec.split_names(dataset.options)
    if split not in names:
        raise ConfigError(f"dataset '{dataset}' has no split '{split}'. It has: {', '.join(names)}.")
    samples = resolve(dataset.spec.load)(root, split, dataset.options)
    if not len(samples):
        raise ConfigError(f"split '{split}' of dataset '{dataset}' is empty.")
    return [*sample_scenes(samples)]


def _in_classes(predictor: Predictor, flags: Mapping[str, Any], catalog: Catalog) -> tuple[Predictor, str]:
    """The predictor with masks in a dataset's classes, and what is to be known of them where they are not the network's as they are."""
    from segbench.data.selection import find_dataset
    from segbench.plugin.class_map import class_map_text
    from segbench.plugin.specs import resolve
    from segbench.prediction.predictor import in_classes_of

    if not flags["dataset"]:
        return predictor, ""
    dataset = find_dataset(catalog, flags["dataset"])
    task: Task = resolve(dataset.spec.task)(dataset.options)
    own = predictor.task.class_names
    if flags["class_map"] == _OWN_CLASSES:
        ids = ", ".join(f"{index} {name}" for index, name in enumerate(own[:8]))
        more = f" and {len(own) - 8} more" if len(own) > 8 else ""
        note = f"masks hold the network's classes ({ids}{more}), not those of dataset '{dataset}'"
        return predictor, note if own != task.class_names else ""
    text = class_map_text(flags["class_map"]) if flags["class_map"] else None
    mapped = in_classes_of(predictor, task, text, dataset=str(dataset))
    if mapped.class_map is None:
        return mapped, ""
    return mapped, f"masks hold the classes of dataset '{dataset}'; {'; '.join(mapped.class_map.prediction_notes())}"


def _settings(flags: Mapping[str, Any], predictor: Predictor) -> PredictSettings:
    from segbench.prediction.predict import PredictSettings
    from segbench.util.image_size import parse_size

    size, tile = flags["size"], flags["tile"]
    return PredictSettings(
        size="auto" if size is None else size if size in ("own", "trained") else parse_size(size, key="--size"),
        tile=None if tile is None else parse_size(tile, key="--tile"),
        overlap=flags["overlap"],
        alpha=flags["alpha"] if flags["overlay"] else None,
        classes=predictor.class_map.text if predictor.class_map else None,
        rescale=_rescale(flags["rescale"]),
        batch_size=flags["batch_size"] or (1 if predictor.device == "cpu" else 8),
    )


def _rescale(text: str | None) -> str:
    from segbench.util.value_range import parse_rescale

    if text not in (None, "auto", "none"):
        parse_rescale(text)
    return text or "refuse"


def _bands(text: str | None) -> tuple[int, ...]:
    from segbench.errors import ConfigError

    parts = [part.strip() for part in (text or "").split(",")] if text else []
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise ConfigError(f"--bands '{text}' is not a list of band numbers, such as 4,3,2")
    return tuple(map(int, parts))


def _summary(done: PredictSummary, predictor: Predictor, out: Path) -> str:
    """Summary of a prediction run, in a few lines."""
    from segbench.cli.output import relative
    from segbench.prediction.overlays import shown_input
    from segbench.util.redact import inert
    from segbench.util.sequences import duration

    record, book = predictor.record, done.record
    rate = f" ({done.predicted / done.seconds:.2f} images/s)" if done.predicted > 1 and done.seconds > 0 else ""
    kept_note = f", {done.kept} kept from before" if done.kept else ""
    overlays = book.settings["alpha"] is not None
    rows = {
        "network": f"{record['model']}, {record['file']}{' of ' + record['cell'] if record.get('cell') else ''}"
        f"{', ' + record['backend'] if record.get('backend') else ''}, on {predictor.device}",
        "images": f"{done.predicted} predicted in {duration(done.seconds)}{rate}{kept_note}, {len(done.failed)} failed",
        "shown": _shown_how(book.images.values()),
        "classes": _shares(book.document().pixels),
        "masks": relative((out / "masks").absolute()),
        "overlays": f"{relative((out / 'overlays').absolute())}  (over {shown_input(predictor.task)})" if overlays else "",
        "record": relative((out / "predictions.json").absolute()),
    }
    lines = [f"{name:<9} {inert(text)}" for name, text in rows.items() if text]
    lines += [f"failed    {inert(name)}: {inert(error)}" for name, error in done.failed.items()]
    hint = _hint(book.images.values(), predictor)
    return "\n".join([*lines, *([f"\n{hint}"] if hint else [])])


def _shown_how(entries: Any) -> str:
    """Counts of the ways in which images were shown, the most frequent first.

    >>> _shown_how([{"shown": "at its own size"}, {"shown": "in 4 tiles of 512"}, {"shown": "in 9 tiles of 512"}])
    '2 in tiles of 512, 1 at its own size'
    """
    import re
    from collections import Counter

    counts = Counter(re.sub(r"^in \d+ tiles", "in tiles", entry["shown"]) for entry in entries)
    return ", ".join(f"{count} {way}" for way, count in counts.most_common(4))


def _shares(pixels: Mapping[str, int]) -> str:
    total = sum(pixels.values())
    largest = sorted(pixels.items(), key=lambda item: -item[1])[:6]
    return ", ".join(f"{name} {100 * count / total:.1f} %" for name, count in largest if count) if total else ""


def _hint(entries: Any, predictor: Predictor) -> str:
    """A hint where images are of another scale than those that the network was trained on."""
    from segbench.data.transforms import evaluation_size
    from segbench.util.image_size import format_size

    far = 0
    for entry in entries:
        size = (entry["size"][0], entry["size"][1])
        if entry["shown"].startswith("at its own size"):
            factor = size[0] / evaluation_size(size, predictor.trained, "keep-aspect")[0]
            far += not 1 / 1.5 <= factor <= 1.5
    if not far:
        return ""
    what = "exported for" if predictor.record["kind"] == "export" else "trained at"
    return (
        f"{far} image{' is' if far == 1 else 's are'} not of the scale of the {format_size(predictor.trained)} the network was {what}: "
        "--size trained shows them at that size, as 'segbench evaluate' does."
    )


@contextlib.contextmanager
def _progress() -> Iterator[Report]:
    """Progress on stderr: a bar for images and one for the tiles of a large one, or a line every few seconds."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Plain()
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(bar_width=24), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        yield _Bars(bars)


class _Plain:
    """Plain progress lines."""

    def __init__(self) -> None:
        self.count = self.done = self.tiles = self.tile = 0
        self.name = ""
        self.last = time.monotonic()

    def __call__(self, kind: str, what: Mapping[str, Any]) -> None:
        from segbench.util.redact import inert

        if kind == "images":
            self.count = what["count"]
        elif kind == "image":
            self.name, self.tiles, self.tile = what["id"], what["tiles"], 0
        elif kind == "tile":
            self.tile += 1
        elif kind == "done":
            self.done += 1
            if what.get("error"):
                print(f"[{self.done}/{self.count}] {inert(what['id'])}: {inert(what['error'])}", file=sys.stderr, flush=True)
        if kind in ("tile", "done") and time.monotonic() - self.last > _QUIET_SECONDS:
            self.last = time.monotonic()
            tiles = f", {inert(self.name)}: tile {self.tile} of {self.tiles}" if self.tiles > 1 and kind == "tile" else ""
            print(f"[{self.done}/{self.count}] images{tiles}", file=sys.stderr, flush=True)


class _Bars:
    """Progress bars."""

    def __init__(self, bars: Any) -> None:
        self.bars = bars
        self.all = bars.add_task("images", total=None)
        self.one = bars.add_task("", total=None, visible=False)

    def __call__(self, kind: str, what: Mapping[str, Any]) -> None:
        from rich.text import Text

        from segbench.util.redact import inert

        if kind == "images":
            self.bars.update(self.all, total=what["count"])
        elif kind == "image":
            name = inert(what["id"])
            short = name if len(name) <= 30 else f"{name[:29]}…"
            self.bars.reset(self.one, description=short, total=what["tiles"], visible=what["tiles"] > 1)
        elif kind == "tile":
            self.bars.advance(self.one)
        elif kind == "done":
            self.bars.advance(self.all)
            if what.get("error"):
                self.bars.console.print(Text(f"x {inert(what['id'])}: {inert(what['error'])}"), highlight=False)
