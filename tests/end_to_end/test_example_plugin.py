"""The package in plugins/examples, as a stranger meets it: installed, found, checked and run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from segbench.testing import checks_for

EXAMPLE = Path(__file__).parents[2] / "plugins" / "examples"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the example installed, as a wheel built without network."""
    target = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-index"]
    done = subprocess.run(
        [*pip, "--no-deps", "--no-build-isolation", "--target", str(target), str(EXAMPLE)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return target


def python(installed: Path, *arguments: str, cwd: Path | None = None) -> str:
    """What ``python ARGUMENTS`` prints where the example is on the path."""
    environment = {**os.environ, "PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, env=environment, cwd=cwd, timeout=300)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def test_it_is_found_with_its_provenance_and_without_torch(installed: Path) -> None:
    code = """
import json, sys
from segbench.plugin.registry import load_catalog
(plugin,) = [p for p in load_catalog().plugins if p.package == "segbench-example"]
print(json.dumps([plugin.name, plugin.version, plugin.error, plugin.editable, plugin.provides, "torch" in sys.modules]))
"""
    name, version, error, editable, provides, torch = json.loads(python(installed, "-c", code))
    assert (name, version, error, editable, torch) == ("segbench-example:example", "1.0.0", None, False, False)
    assert provides == {
        "models": ["example-unet"],
        "losses": ["example-tversky"],
        "datasets": ["example-stripes"],
        "claims": ["example/unet-params"],
        "metrics": ["example_area_error"],
        "augmentations": ["example-rotate"],
    }


def test_its_model_passes_segbench_check(installed: Path) -> None:
    printed = python(installed, "-m", "segbench", "check", "example-unet[channels=4]")
    rules = len(checks_for("models"))
    assert printed.splitlines()[-1] == f"example-unet[channels=4]: {rules} of {rules} checks passed"


def test_its_own_tests_pass(installed: Path, tmp_path: Path) -> None:
    options = ["-q", "-p", "no:cacheprovider", "-c", str(EXAMPLE / "pyproject.toml"), str(EXAMPLE / "tests")]
    assert " passed" in python(installed, "-m", "pytest", *options, cwd=tmp_path)


def test_its_model_loss_and_dataset_run_and_its_claim_is_judged(installed: Path, tmp_path: Path) -> None:
    chosen = [
        "--models",
        "example-unet[channels=4],example-unet",
        "--losses",
        "example-tversky",
        "--dataset",
        "example-stripes[samples=8,size=32]",
    ]
    train = ["train.epochs=1", "train.batch_size=4", "train.image_size=32", "train.workers=0"]
    fast = ["measure.latency=false", "measure.memory=false", "execute.where=inline"]
    sets = [argument for setting in (*train, *fast) for argument in ("--set", setting)]
    python(installed, "-m", "segbench", "run", *chosen, *sets, "--out", str(tmp_path / "run"), cwd=tmp_path)
    result = json.loads((tmp_path / "run" / "run.json").read_text())
    small, full = result["cells"]
    assert [cell["status"] for cell in result["cells"]] == ["ok", "ok"]
    assert (full["model"], full["loss"], full["params"]) == ("example-unet", "example-tversky", 482_754)
    assert small["params"] < full["params"]
    assert 0 <= full["quality"]["miou"] <= 1
    assert len(full["quality"]["iou_per_class"]) == 2
    verdicts = {claim["claim"]: claim for claim in result["claims"]}
    assert verdicts["example/unet-params"]["verdict"] == "kept"
