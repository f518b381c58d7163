"""Conversion of annotations to a dataset folder: through a converter plugin, into a folder that appears once it is whole."""

from __future__ import annotations

import tempfile
from pathlib import Path

from segbench.errors import ConfigError, DataError
from segbench.plugin.chosen import Chosen
from segbench.plugin.specs import Conversion, ConverterSpec, resolve


def convert_dataset(converter: Chosen[ConverterSpec], source: Path, out: Path, *, skip_missing: bool = False) -> Conversion:
    """Write the annotations in ``source`` as the dataset folder ``out``, which must not exist or be empty.

    A conversion that fails leaves nothing behind. Raises :class:`DataError` for folders that do not fit, and what the converter raises.
    """
    spec, options = converter.spec, converter.options
    missing = resolve(spec.check)(options) if spec.check is not None else []
    if missing:
        raise ConfigError(f"{converter}: {'; '.join(missing)}")
    if not source.is_dir():
        raise DataError(f"{source} {'is a file' if source.exists() else 'does not exist'}. Give the folder that holds the annotations.")
    out = out.expanduser().absolute()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out} is there already and not empty. Give another --out, or remove it.")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".segbench-convert-", dir=out.parent) as folder:
        written = Path(folder) / out.name
        conversion = resolve(spec.convert)(source, written, options, skip_missing)
        if not isinstance(conversion, Conversion):
            raise DataError(f"converter '{spec.name}' returned {type(conversion).__name__} instead of segbench.Conversion")
        if out.exists():
            out.rmdir()
        written.rename(out)
    return conversion
