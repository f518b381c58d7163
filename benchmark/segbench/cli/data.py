"""``segbench data``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from segbench.util.sequences import counted


@click.group(name="data", short_help="Check, preview, fetch or convert a dataset.")
def command() -> None:
    """Look at a dataset before a night of training: check, preview, fetch, convert."""


@command.command("check")
@click.argument("dataset")
@click.option("--data", type=click.Path(path_type=Path), metavar="DIR", help="Folder of the dataset.")
@click.option("--json", "as_json", is_flag=True, help="Print the census as JSON, and nothing else.")
def check(dataset: str, data: Path | None, as_json: bool) -> int:
    """Read every sample of DATASET: a census of each split, and what is wrong. Exit 1 where something makes a run impossible."""
    chosen, task, root = _open_dataset(dataset, data)
    from segbench.cli.census_text import class_lines, split_lines, unused_lines
    from segbench.data.check import census_of
    from segbench.data.digest import data_digest
    from segbench.data.problem_text import problem_sentences

    report = census_of(chosen, task, root, digest=data_digest(root))
    if as_json:
        click.echo(json.dumps(report.to_record(), indent=1))
        return 0 if report.ok else 1
    sentences = problem_sentences(report.problems)
    lines = [line for split in report.splits for line in split_lines(split)]
    lines += [*class_lines(report.splits, task), *unused_lines(report.unused)]
    lines += [f"{severity.upper()}: {sentence}" for sentence, severity in sentences.items()]
    errors = list(sentences.values()).count("error")
    verdict = "can be used" if report.ok else "cannot be used as it is"
    lines.append(f"{dataset} {verdict}: {counted(errors, 'error')}, {counted(len(sentences) - errors, 'warning')}.")
    click.echo("\n".join(lines))
    return 0 if report.ok else 1


@command.command("preview")
@click.argument("dataset")
@click.option("--data", type=click.Path(path_type=Path), metavar="DIR", help="Folder of the dataset.")
@click.option("--split", default="train", show_default=True, metavar="NAME")
@click.option("--count", type=click.IntRange(min=1, max=64), default=8, show_default=True, metavar="N", help="How many samples.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("preview.png"), show_default=True, metavar="FILE")
def preview(dataset: str, data: Path | None, split: str, count: int, out: Path) -> int:
    """Write a picture grid of DATASET: inputs beside their labels, with the legend."""
    chosen, task, root = _open_dataset(dataset, data)
    from segbench.cli.output import relative
    from segbench.data.preview import write_preview

    write_preview(chosen.spec, chosen.options, task, root, out, split, count)
    click.echo(relative(out.absolute()))
    return 0


@command.command("fetch")
@click.argument("dataset")
@click.option("--data", type=click.Path(path_type=Path), required=True, metavar="DIR", help="Folder to download into.")
@click.option("--mirror", "mirrors", multiple=True, metavar="URL", help="Where to look first. Repeatable.")
def fetch(dataset: str, data: Path, mirrors: tuple[str, ...]) -> int:
    """Download DATASET into DIR: resumes, checks sums, and keeps archives inside the folder."""
    from segbench.plugin.registry import load_catalog
    from segbench.util.compat import require_torch

    require_torch()
    chosen = load_catalog().dataset(dataset)
    from segbench.data.download import fetch_dataset

    with _download_bar() as progress:
        fetched = fetch_dataset(chosen.spec, chosen.options, data, mirrors=mirrors, progress=progress)
    click.echo(f"{counted(len(fetched.downloaded), 'file')} downloaded, {len(fetched.already_there)} were there already.")
    if fetched.unchecked:
        click.echo(f"No checksum is known for: {', '.join(fetched.unchecked)}", err=True)
    click.echo(f"Check them: segbench data check {chosen} --data {data}")
    return 0


@command.command("convert")
@click.argument("converter", metavar="FORMAT")
@click.argument("source", type=click.Path(path_type=Path), metavar="DIR")
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, metavar="OUT", help="Folder to write; it must not exist or be empty."
)
@click.option("--skip-missing", is_flag=True, help="Leave images out that are not on disk, instead of stopping there.")
def convert(converter: str, source: Path, out: Path, skip_missing: bool) -> int:
    """Turn annotations (FORMAT: coco, yolo, labelme, cvat, ..) in DIR into a dataset: ``--dataset OUT``.

    OUT holds images, masks of class ids, lists of the splits and a dataset.toml. "segbench list converters" shows the formats.
    """
    from segbench.data.convert import convert_dataset
    from segbench.plugin.registry import load_catalog

    chosen = load_catalog().converter(converter)
    _print_conversion(convert_dataset(chosen, source, out, skip_missing=skip_missing))
    click.echo(f"Check it: segbench data check {out}")
    return 0


def _print_conversion(conversion: Any) -> None:
    splits = ", ".join(f"{count} {split}" for split, count in conversion.splits.items() if split)
    images = counted(sum(conversion.splits.values()), "image")
    click.echo(f"{images}{f': {splits}' if splits else ''}; {conversion.empty} without any object")
    width = max(map(len, conversion.objects))
    for name, count in conversion.objects.items():
        click.echo(f"  {name:<{width}}  {counted(count, 'object')}")
    if conversion.skipped:
        click.echo(f"{counted(conversion.skipped, 'image')} not on disk: left out.")
    for reason, count in conversion.not_converted.items():
        click.echo(f"{counted(count, 'object')} not converted: {reason}")
    for note in conversion.notes:
        click.echo(f"Note: {note}")


def _open_dataset(dataset: str, data: Path | None) -> tuple[Any, Any, Path | None]:
    from segbench.config.run_config import load_config
    from segbench.data.selection import data_root
    from segbench.plugin.registry import load_catalog
    from segbench.util.compat import require_torch

    require_torch()
    config = load_config(flags={"dataset": dataset, "data": str(data) if data else None})
    chosen = load_catalog().dataset(str(config.dataset))
    root = data_root(config, chosen)
    return chosen, chosen.spec.make_task(chosen.options, root), root


def _download_bar() -> Any:
    import contextlib

    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    @contextlib.contextmanager
    def open_bars() -> Iterator[Any]:
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True)) as bars:
            tasks: dict[str, Any] = {}

            def report(download: Any, received: int, total: int | None) -> None:
                name = download.target
                if name not in tasks:
                    tasks[name] = bars.add_task(name, total=total)
                bars.update(tasks[name], completed=received, total=total)

            yield report

    return open_bars()
