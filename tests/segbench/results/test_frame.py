from __future__ import annotations

import builtins
import importlib.util
from typing import Any

import pytest

from segbench import CellResult, ConfigError, Quality, RunResult, TaskRecord
from segbench.results.frame import rows_of

RUN = RunResult(
    task=TaskRecord(headline="crack"),
    cells=[
        CellResult(id="a", model="net<1>", loss="ce", seed=0, status="ok", params=2_000_000, quality=Quality(split="val", miou=0.5)),
        CellResult(id="b", model="other", loss="ce", seed=0, status="failed"),
    ],
)


def test_rows_have_the_units_of_tables_and_none_where_nothing_was_measured() -> None:
    first, second = rows_of(RUN)
    assert (first["model"], first["miou"], first["params"]) == ("net<1>", 50.0, 2.0)
    assert (second["status"], second["miou"], second["params"]) == ("failed", None, None)


def test_a_notebook_shows_a_table_without_empty_columns_and_with_escaped_names() -> None:
    text = RUN._repr_html_()
    assert "<td>net&lt;1&gt;</td>" in text
    assert "<th>mIoU (%)</th>" in text
    assert "latency" not in text
    assert RunResult()._repr_html_().count("<td>") == 0


def test_a_run_is_one_line_of_text() -> None:
    assert repr(RUN) == "<RunResult of 2 cells, 1 ok: net<1> | ce 50.0 % mIoU>"


def test_a_frame_needs_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec("pandas"):
        assert RUN.to_frame()["miou"].tolist()[0] == 50.0
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "pandas":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match="pip install pandas"):
        RUN.to_frame()
