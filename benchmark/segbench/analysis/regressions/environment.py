"""Differences between the machines and the environments of two runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from segbench.results.records import RunResult
from segbench.results.run_comparison import RunDifference

_PACKAGES = {"torch": ["latency", "memory", "quality"], "torchvision": ["quality"], "timm": ["quality"], "numpy": []}


def unlike_machines(old: Mapping[str, str], new: Mapping[str, str], *, keys: Sequence[str] = ("device", "cpu", "gpu", "torch")) -> str:
    """The properties in which two machines differ, each with both values; empty where they do not.

    >>> unlike_machines({"cpu": "a", "torch": "2.14"}, {"cpu": "b", "torch": "2.14"})
    'another machine: cpu a -> b'
    """
    differing = [f"{key} {old.get(key, 'unknown')} -> {new.get(key, 'unknown')}" for key in keys if old.get(key) != new.get(key)]
    if not differing and not (old and new):
        return "the machine is not known"
    return f"another machine: {', '.join(differing)}" if differing else ""


def environment_differences(old: RunResult, new: RunResult) -> Iterator[RunDifference]:
    """Differences between two runs beside their results, and the metrics for which each matters."""
    ours, theirs = old.environment, new.environment
    properties: list[tuple[str, object, object, list[str]]] = [
        ("dataset", old.task.dataset, new.task.dataset, ["quality"]),
        ("processor", ours.cpu, theirs.cpu, ["latency"]),
        ("cores", ours.cpu_cores, theirs.cpu_cores, ["latency"]),
        ("GPU", ", ".join(ours.gpu) or None, ", ".join(theirs.gpu) or None, ["latency", "memory"]),
        ("system", ours.platform, theirs.platform, ["latency", "memory"]),
        ("Python", ours.python, theirs.python, []),
        ("CUDA", ours.cuda, theirs.cuda, ["latency", "memory", "quality"]),
        ("driver", ours.driver, theirs.driver, ["latency"]),
        ("segbench", ours.segbench, theirs.segbench, []),
        *((name, ours.packages.get(name), theirs.packages.get(name), concerns) for name, concerns in _PACKAGES.items()),
    ]
    versions = [{plugin.name: plugin.version for plugin in side.plugins} for side in (ours, theirs)]
    properties += [(f"plugin {name}", versions[0].get(name), versions[1].get(name), []) for name in {**versions[0], **versions[1]}]
    for what, one, other, concerns in properties:
        if one != other:
            yield RunDifference(what=what, baseline=_text(one), new=_text(other), concerns=concerns)


def _text(value: object) -> str:
    return "none" if value is None else str(value)
