"""``segbench export``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from segbench.cli.trained import TRAINED
from segbench.util.sequences import counted

if TYPE_CHECKING:
    from segbench.execution.export import Exported


@click.command(name="export", short_help="Write a model as a file to be shipped, with its metadata.", epilog=TRAINED)
@click.argument("subject", metavar="TRAINED|MODEL")
@click.option("--backend", required=True, metavar="NAME[..]", help="Format, as in onnxruntime or openvino[precision=int8].")
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="FILE", help="File to write; FILE.json gets the metadata.")
@click.option("--input-size", metavar="N|HxW", help="Height and width of the input.  [default: the checkpoint's; 512 for a model]")
@click.option("--dataset", metavar="NAME", help="Images to calibrate on and to compare on.  [default: noise; int8 needs images]")
@click.option("--data", metavar="DIR", help="Folder of the dataset.")
@click.option("--inputs", metavar="NAME=CHANNELS,..", help="Inputs of a model without checkpoint, as in image=3.")
@click.option("--num-classes", type=click.IntRange(min=2), metavar="N", help="Classes of a model without checkpoint.  [default: 21]")
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="Any setting, as in deploy.calibration=300. Repeatable.")
@click.option("--device", default="cpu", show_default=True, metavar="NAME", help="Where the file is to run: cpu, cuda or cuda:N.")
@click.option("--json", "as_json", is_flag=True, help="Print the metadata, and nothing else.")
def command(
    subject: str,
    backend: str,
    out: Path,
    input_size: str | None,
    dataset: str | None,
    data: str | None,
    inputs: str | None,
    num_classes: int | None,
    sets: tuple[str, ...],
    device: str,
    as_json: bool,
) -> int:
    """Write a TRAINED network for a runtime, and check the file in a fresh process.

    A MODEL by its name has random weights: such a file serves to time and to integrate, and says so. Where a folder in this place has
    the name of a model, the model is meant: write ./NAME for the folder.
    """
    from segbench.util.compat import require_torch

    require_torch()
    from segbench.cli.progress import progress_display
    from segbench.execution.export import export_model
    from segbench.plugin.registry import load_catalog

    with progress_display() as display:
        exported = export_model(
            subject,
            backend=backend,
            out=out,
            catalog=load_catalog(),
            listener=display,
            input_size=input_size,
            flags={"dataset": dataset, "data": data, "device": device},
            inputs=inputs,
            num_classes=num_classes,
            sets=sets,
        )
    if exported.metadata["weights"]["random"]:
        click.echo(f"Warning: the weights of '{subject}' are random: this file segments nothing. Export a checkpoint to ship.", err=True)
    click.echo(json.dumps(exported.metadata, indent=1) if as_json else _summary(exported))
    return 0


def _summary(exported: Exported) -> str:
    """Summary of the exported file, its metadata and its check, in a few lines."""
    from segbench.cli.output import relative

    meta, drift = exported.metadata, exported.drift
    backend, names = meta["backend"], ", ".join(file.name for file in exported.files)
    version = f" ({backend['package']} {backend['version']})" if backend["version"] else ""
    size = "x".join(map(str, meta["input_size"]))
    inputs = " + ".join(f"{entry['name']} {entry['channels']}x{size}" for entry in meta["inputs"])
    rows = {
        "file": f"{relative(exported.path)}  ({names}; {exported.file_mb:.2f} MB in {exported.export_seconds:.1f} s)",
        "metadata": f"{relative(exported.path)}.json",
        "model": meta["model"],
        "for": f"{backend['name']}{version}, {backend['precision']}",
        "input": f"{inputs}, batch 1{'' if meta['fixed_size'] else ', any size'}",
        "classes": f"{len(meta['classes'])}: {', '.join(meta['classes'][:6])}{', ..' if len(meta['classes']) > 6 else ''}",
        "checked": f"loaded again in a fresh process: logits off by at most {drift.max_abs or 0.0:.2g} "
        f"(deviation {drift.reference_std or 0.0:.2g}), labels agree on {100 * (drift.label_agreement or 0.0):.2f} % "
        f"of {counted(drift.images, 'image')}",
    }
    return "\n".join(f"{name:<9} {text}" for name, text in rows.items())
