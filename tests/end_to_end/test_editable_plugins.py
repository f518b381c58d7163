"""A plugin in development: a change of its code trains again what reaches it, and nothing else."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from segbench.config.run_config import load_config
from segbench.execution.plan.fingerprints import changes
from segbench.execution.plan.plan import make_plan
from segbench.plugin.registry import Catalog, load_catalog

CATALOGUE = """
from __future__ import annotations

from segbench import LossSpec, ModelSpec, Options, hookimpl, option


class MildOptions(Options):
    factor: float = option(1.0, help="a factor")


class SharpOptions(Options):
    power: int = option(2, help="a power")


class ScaledOptions(Options):
    factor: float = option(3.0)

    @property
    def doubled(self) -> float:
        return 2 * self.factor


@hookimpl
def segbench_losses():
    return [
        LossSpec(name="mild", summary="", build="bench_dev.losses.mild:build", options=MildOptions),
        LossSpec(name="sharp", summary="", build="bench_dev.losses.sharp:build", options=SharpOptions),
        LossSpec(name="scaled", summary="", build="bench_dev.losses.scaled:build", options=ScaledOptions),
        LossSpec(name="named", summary="", build="bench_dev.losses.named:build"),
        LossSpec(name="own", summary="", build=build_own),
        LossSpec(name="closed", summary="", build=scaled_by(4)),
    ]


def scaled_by(scale):
    def build(task, options):
        return lambda logits, mask: scale * logits.mean()

    return build


def build_own(task, options):
    return _plain


def _plain(logits, mask):
    return logits.mean()
"""
LOSS = "def build(task, options):\n    return lambda logits, mask: logits.mean()\n"
FILES = {
    "__init__.py": "",
    "losses/__init__.py": CATALOGUE,
    "losses/mild.py": "from __future__ import annotations\n\nfrom bench_dev.losses import MildOptions\n"
    "from bench_dev.maths import half\n\n\ndef build(task, options: MildOptions):\n    return lambda logits, mask: half(logits.mean())\n",
    "losses/sharp.py": "from . import shared\n" + LOSS,
    "losses/shared.py": "def later():\n    from ..deep import deepest\n    return deepest\n",
    "losses/scaled.py": LOSS,
    "losses/named.py": 'import importlib\n\nTABLE = {"a": "bench_dev.by_string:a"}\nMODULE = importlib.import_module("bench_dev.by_call")\n'
    'DATA = __file__, "levels.json"\n' + LOSS,
    "losses/levels.json": "[1, 2]",
    "losses/unnamed.json": "[1, 2]",
    "maths.py": "import bench_dev.deep\n\n\ndef half(value):\n    return bench_dev.deep.two * value\n",
    "deep/__init__.py": "two = 2\n",
    "deep/deepest.py": "",
    "by_string.py": "a = 1\n",
    "by_call.py": "b = 1\n",
    "unused.py": "",
}


class Development:
    """A package that is being worked on, as pip installs it with ``-e``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name, text in FILES.items():
            self.write(name, text)
        metadata = folder / "bench_dev-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: bench-dev\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text("[segbench]\nlosses = bench_dev.losses\n")
        self.direct_url = metadata / "direct_url.json"
        self.direct_url.write_text(json.dumps({"url": "file:///x", "dir_info": {"editable": True}}))

    def write(self, name: str, text: str) -> None:
        path = self.folder / "bench_dev" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def replace(self, name: str, old: str, new: str) -> None:
        text = (self.folder / "bench_dev" / name).read_text()
        assert old in text
        self.write(name, text.replace(old, new))

    def catalog(self) -> Catalog:
        """The catalog as a new process reads it."""
        for module in [name for name in sys.modules if name.partition(".")[0] == "bench_dev"]:
            del sys.modules[module]
        from segbench.plugin.source_files import source_hash

        source_hash.cache_clear()
        return load_catalog()

    def ingredients(self, *losses: str) -> dict[str, Any]:
        """By loss: what the training of its cell depends on."""
        names = losses or ("mild", "sharp", "scaled", "named", "own", "closed")
        config = load_config(flags={"models": "dot", "losses": ",".join(names), "dataset": "dots", "recipes": "tiny"})
        cells = make_plan(config, self.catalog()).cells
        return {cell.loss.choice.name: cell.ingredients["train"] for cell in cells}

    def changed(self, before: dict[str, Any]) -> dict[str, list[str]]:
        """By loss: in words what differs, only of those where anything does."""
        now = self.ingredients(*before)
        return {name: changes(before[name], now[name]) for name in before if before[name] != now[name]}


@pytest.fixture
def development(mishaps: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Development]:
    folder = tmp_path / "sources"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # sources are edited within a second, which bytecode would not notice
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("PYTHONPATH", f"{folder}:{Path(next(p for p in sys.path if 'installed' in p))}")
    yield Development(folder)
    for module in [name for name in sys.modules if name.partition(".")[0] == "bench_dev"]:
        del sys.modules[module]


NEW = '''        LossSpec(name="new", summary="", build="bench_dev.losses.new:build", options=NewOptions),
        LossSpec(name="own"'''


def test_a_loss_more_trains_nothing_again(development: Development) -> None:
    before = development.ingredients()
    development.write("losses/new.py", LOSS)
    development.replace("losses/__init__.py", '        LossSpec(name="own"', NEW)
    development.replace(
        "losses/__init__.py", "class SharpOptions", "class NewOptions(Options):\n    a: int = option(1)\n\n\nclass SharpOptions"
    )
    development.replace("losses/__init__.py", "import LossSpec,", "import LossFormula, LossSpec,")
    assert "new" in development.catalog().names("losses")
    assert development.changed(before) == {}


@pytest.mark.parametrize(
    ("file", "losses"),
    [
        ("losses/mild.py", {"mild"}),
        ("maths.py", {"mild"}),
        ("deep/__init__.py", {"mild", "sharp"}),
        ("deep/deepest.py", {"sharp"}),
        ("losses/shared.py", {"sharp"}),
        ("by_string.py", {"named"}),
        ("by_call.py", {"named"}),
        ("__init__.py", {"mild", "sharp", "scaled", "named", "own", "closed"}),
        ("unused.py", set()),
    ],
)
def test_a_changed_module_trains_again_what_reaches_it(development: Development, file: str, losses: set[str]) -> None:
    before = development.ingredients()
    development.write(file, FILES[file] + "changed = True\n")
    assert development.changed(before) == {name: [f"code of loss {name} changed: bench_dev/{file}"] for name in losses}


def test_a_changed_default_trains_again_its_own_loss(development: Development) -> None:
    before = development.ingredients()
    development.replace("losses/__init__.py", "option(1.0", "option(1.5")
    assert development.changed(before) == {"mild": ["loss.factor 1.0 -> 1.5", "definition of loss mild changed"]}


def test_words_for_readers_change_nothing(development: Development) -> None:
    before = development.ingredients()
    development.replace("losses/__init__.py", 'help="a factor"', 'help="a factor of the loss"')
    development.replace("losses/__init__.py", 'name="mild", summary=""', 'name="mild", summary="softer"')
    assert development.changed(before) == {}


def test_another_build_is_another_definition(development: Development) -> None:
    before = development.ingredients()
    development.replace("losses/__init__.py", "bench_dev.losses.scaled:build", "bench_dev.losses.sharp:build")
    (words,) = development.changed(before)["scaled"]
    assert words.startswith("code of loss scaled changed: bench_dev/deep/")


def test_what_a_function_closes_over_is_part_of_the_definition(development: Development) -> None:
    before = development.ingredients()
    development.replace("losses/__init__.py", "scaled_by(4)", "scaled_by(5)")
    assert development.changed(before) == {"closed": ["definition of loss closed changed"]}


@pytest.mark.parametrize(
    ("old", "new", "losses", "part"),
    [
        ("return logits.mean()", "return 2 * logits.mean()", {"own"}, "_plain"),
        ("return 2 * self.factor", "return 3 * self.factor", {"scaled"}, "ScaledOptions"),
    ],
)
def test_code_on_the_page_that_lists_specs_counts_for_what_uses_it(
    development: Development, old: str, new: str, losses: set[str], part: str
) -> None:
    before = development.ingredients()
    development.replace("losses/__init__.py", old, new)
    assert development.changed(before) == {name: [f"code of loss {name} changed: bench_dev/losses/__init__.py: {part}"] for name in losses}


def test_a_file_of_data_counts_where_reached_code_names_it(development: Development) -> None:
    before = development.ingredients()
    development.write("losses/unnamed.json", "[1, 2, 3]")
    assert development.changed(before) == {}
    development.write("losses/levels.json", "[1, 2, 3]")
    assert development.changed(before) == {"named": ["code of loss named changed: bench_dev/losses/levels.json"]}


@pytest.mark.parametrize(
    "line",
    [
        "import importlib\n\n\ndef any_of(name):\n    return importlib.import_module(name)\n",
        "from bench_dev.losses import nowhere_to_be_found\nfrom bench_dev.gone import x\n",
        "exec('import bench_dev.unused')\n",
    ],
)
def test_where_an_import_cannot_be_followed_the_whole_package_counts(development: Development, line: str, segbench: Any) -> None:
    development.write("losses/scaled.py", line + LOSS)
    before = development.ingredients()
    development.write("unused.py", "changed = True\n")
    assert development.changed(before) == {"scaled": ["code of loss scaled changed: bench_dev/**"]}
    answer = segbench("run", "--models", "dot", "--losses", "scaled,mild", "--dataset", "dots", "--recipe", "tiny", "--dry-run")
    assert "Whole packages decide whether these run again:" in answer.out
    assert "loss scaled: its definition and bench_dev/** (" in answer.out
    assert "loss mild" not in answer.out


def test_the_plan_says_which_module_changed_and_what_is_covered(development: Development, segbench: Any) -> None:
    command = ("run", "--models", "dot", "--losses", "mild,sharp", "--dataset", "dots", "--recipe", "tiny", "--out", "run")
    development.catalog()
    done = segbench(*command, "--set", "execute.where=inline", "--device", "cpu")
    assert done.code == 0, done.err
    development.write("maths.py", FILES["maths.py"] + "changed = True\n")
    development.catalog()
    lines = segbench(*command, "--set", "execute.where=inline", "--device", "cpu", "--dry-run", "-v").out.splitlines()
    assert lines[1].endswith("(re-run: code of loss mild changed: bench_dev/maths.py)")
    assert lines[2].endswith("(done, kept)")
    assert lines[3] == "Cells run again where this code changes:"
    assert "  model dot: segbench-mishaps==1.0" in lines
    assert (
        "  loss mild: its definition and bench_dev/__init__.py, bench_dev/deep/__init__.py, bench_dev/losses/mild.py, bench_dev/maths.py"
    ) in lines


def test_an_installed_package_is_its_version(development: Development) -> None:
    development.direct_url.unlink()
    before = development.ingredients()
    assert {ingredients["loss"]["plugin"] for ingredients in before.values()} == {"bench-dev==1.0"}
    development.write("losses/mild.py", LOSS)
    assert development.changed(before) == {}


def test_a_run_from_before_says_why_it_trains_again(development: Development) -> None:
    (now,) = development.ingredients("mild").values()
    before = {**now, "loss": {**now["loss"], "plugin": "bench-dev@0123456789abcdef"}}
    assert changes(before, now) == [
        "the code of loss mild is identified in another way than before (bench-dev@0123456789abcdef -> by the files that it reaches)"
    ]
