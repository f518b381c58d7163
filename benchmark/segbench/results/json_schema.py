"""The published JSON Schema of ``run.json``, and validation of files against it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.json_schema import GenerateJsonSchema

from segbench.errors import StoreError
from segbench.results.records import SCHEMA_VERSION, RunResult
from segbench.results.store import no_run

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_TITLE = "A segbench run (run.json)"
_REQUIRED = ("schema_version", "cells")
_MOST_PROBLEMS = 20


def run_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of ``run.json`` in the version that this segbench writes.

    Keys that are missing were not known to the segbench that wrote the file; further keys are allowed, null means "not measured".
    """
    schema = RunResult.model_json_schema(schema_generator=_WithoutTitles)
    for part in (schema, *schema["$defs"].values()):
        part["description"] = " ".join(str(part.get("description", "")).split()).replace("``", "")
    properties = schema["properties"]
    properties["schema_version"] = {**properties["schema_version"], "const": SCHEMA_VERSION}
    head = {"$schema": _DIALECT, "$id": f"urn:segbench:run:{SCHEMA_VERSION}", "title": _TITLE}
    return {**head, "description": schema["description"], "type": "object", "required": list(_REQUIRED), **_rest(schema)}


class _WithoutTitles(GenerateJsonSchema):
    """Keys without a title that only repeats their name."""

    def field_title_should_be_set(self, schema: object) -> bool:
        return False


def _rest(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key not in ("title", "description", "type", "required")}


def read_document(path: Path) -> tuple[Path, Any]:
    """The path and the JSON of a run's directory or file. Raises :class:`StoreError` where there is none or a newer one."""
    file = path / "run.json" if path.is_dir() else path
    try:
        document = json.loads(file.read_bytes())
    except FileNotFoundError:
        raise no_run(path, "there is no run.json") from None
    except OSError as error:
        raise StoreError(f"Cannot read '{file}': {error.strerror or error}.") from None
    except ValueError as error:
        raise StoreError(f"'{file}' is no JSON: {error}.") from None
    version = document.get("schema_version") if isinstance(document, dict) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise StoreError(f"'{file}' has schema version {version}; this segbench reads up to {SCHEMA_VERSION}. Upgrade segbench.")
    return file, document


def problems(document: Any) -> list[str]:
    """Faults of a document against the schema, as ``cells[0].params: what is wrong``; empty where it keeps to it."""
    if not isinstance(document, dict):
        return ["the file holds no object"]
    faults = [f"{key}: missing" for key in _REQUIRED if key not in document]
    if document.get("schema_version", SCHEMA_VERSION) != SCHEMA_VERSION:
        faults.append(f"schema_version: it must be {SCHEMA_VERSION}")
    try:
        # strict, as JSON Schema is: a number in quotes is no number. Only JSON's lists become tuples
        RunResult.model_validate_json(json.dumps(document), strict=True)
    except ValidationError as error:
        faults += [f"{_path(entry['loc'])}: {entry['msg']}" for entry in error.errors(include_url=False, include_input=False)]
    more = len(faults) - _MOST_PROBLEMS
    return faults if more <= 0 else [*faults[:_MOST_PROBLEMS], f"and {more} more"]


def unknown_keys(document: Any) -> list[str]:
    """Keys that this segbench does not know: of a newer one, of a plugin, or misspelt."""
    return list(dict.fromkeys(_unknown(RunResult.model_validate(document), "")))


def _unknown(record: BaseModel, where: str) -> Iterator[str]:
    yield from (f"{where}{key}" for key in record.model_extra or ())
    for key, value in record:
        if isinstance(value, BaseModel):
            yield from _unknown(value, f"{where}{key}.")
        elif isinstance(value, list):
            for item in value:
                if isinstance(item, BaseModel):
                    yield from _unknown(item, f"{where}{key}[].")


def _path(location: tuple[int | str, ...]) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return text.removeprefix(".") or "the file"
