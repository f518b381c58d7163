"""``segbench score``."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

_FORMATS = "markdown,html"


@click.command(name="score", short_help="Score folders of predicted masks, whatever made them.")
@click.argument("folders", nargs=-1, required=True, metavar="DIR...")
@click.option("--dataset", required=True, metavar="NAME", help="Dataset with the labels.")
@click.option("--data", metavar="DIR", help="Folder of the dataset.")
@click.option("--split", metavar="NAME", help="Split that the masks are of.  [default: test, else val]")
@click.option("--class-map", metavar="MAP|FILE", help="Which class of the masks stands for which of the dataset: a:b,c:ignore.")
@click.option(
    "--classes", metavar="NAMES|FILE", help="The masks' classes: a,b,c for ids 0, 1, 2, or 0:a,7:b.  [default: predictions.json, dataset]"
)
@click.option("--colours", metavar="TABLE|FILE|dataset", help="For masks in colours, the class of each: a:0 0 0,b:128 0 0.")
@click.option("--suffix", default="", metavar="TEXT", help="What masks' names have behind the images', as in _pred.")
@click.option("--resize", type=click.Choice(["nearest"]), help="Bring masks of another size to the label's.  [default: refused]")
@click.option("--partial", is_flag=True, help="Score the images that have a mask, and leave masks of no image out; not ranked.")
@click.option("--metrics", default="", metavar="A,B", help="Plugins' metrics to compute beside (segbench list metrics).")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="Keep run.json, reports and pictures there.")
@click.option("--format", "formats", metavar="A,B", help=f"Reports that are written below --out.  [default: {_FORMATS}]")
@click.option("--json", "as_json", is_flag=True, help='Print {"cells": [..], "comparisons": [..]}, and nothing else.')
def command(folders: tuple[str, ...], out: Path | None, formats: str | None, as_json: bool, **flags: Any) -> int:
    """Score folders of masks, one mask per image of the split, and compare them image by image.

    A folder is named DIR, or NAME=DIR to give it the name that reports show. Masks are class ids or palettes as PNG, GeoTIFF, .npy, .npz
    and all else that datasets read; their files are called as the images' ids or stems, in sub-folders or not. For masks that 'segbench
    predict' wrote, class names come from its predictions.json.

    \b
    segbench score masks --dataset camvid --data DIR --split val
    segbench score old=runs/a/masks new=runs/b/masks --dataset camvid --data DIR --split val --out OUT
    segbench score voc-masks --classes voc.txt --class-map 'car:vehicle,bus:vehicle,sofa:ignore' --dataset camvid --data DIR
    """
    from segbench.cli.output import own_command, print_result
    from segbench.errors import ConfigError
    from segbench.execution.reports import require_empty_folder
    from segbench.plugin.registry import load_catalog
    from segbench.util.compat import require_torch

    if formats and out is None:
        raise ConfigError("--format writes reports: give --out DIR for them.")
    if out is not None:
        require_empty_folder(out)
    catalog = load_catalog()
    names = [name.strip() for name in (formats or _FORMATS).split(",") if name.strip()]
    for name in names:
        catalog.reporter(name)
    require_torch()
    from segbench.execution.masks.subjects import MaskOptions
    from segbench.execution.reports import write_reports
    from segbench.execution.score import score_masks
    from segbench.results.store import RunStore

    metrics = [name.strip() for name in flags.pop("metrics").split(",") if name.strip()]
    where = {key: flags.pop(key) for key in ("dataset", "data", "split")}
    with _directory(out) as directory:
        options = MaskOptions(**flags)
        further: dict[str, Any] = {"options": options, "metrics": metrics, "command": own_command()}
        result = score_masks(folders, **where, catalog=catalog, directory=directory, **further)
        notes = write_reports(result, directory, catalog, formats=names) if out is not None else []
        if notes:
            result = result.model_copy(update={"warnings": [*result.warnings, *notes]})
            RunStore(directory).write_run(result)
        if as_json:
            document = result.model_dump(mode="json", include={"cells", "comparisons"})
            click.echo(json.dumps(document, indent=1))
            return 0
        report = out / "report.md" if out is not None and "markdown" in names else None
        print_result(result, catalog, run_directory=directory, report=report, data=out and out / "run.json")
    return 0


@contextlib.contextmanager
def _directory(out: Path | None) -> Iterator[Path]:
    """The folder of the result: ``--out``, or a temporary one that is deleted afterwards."""
    if out is not None:
        yield out.absolute()
        return
    with tempfile.TemporaryDirectory(prefix="segbench-score-") as folder:
        yield Path(folder)
