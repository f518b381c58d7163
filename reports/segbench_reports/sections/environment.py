"""The sections on the run's environment and on repeating the run."""

from __future__ import annotations

from segbench import Environment, RunResult
from segbench_reports.text import numbers
from segbench_reports.text.escape import code_block, markdown
from segbench_reports.text.markdown import bullets, grid
from segbench_reports.view.verification import instruments

_LOAD = "other load when the run started:"
_EARLIER = "; latencies suffer from it"
_MAY_SUFFER = "; times may suffer from it, and what disturbed them was not watched"


def environment(result: RunResult) -> str:
    """A table of machine, versions and plugins, and notes on them."""
    env = result.environment
    lines = {**_lines(env), "instruments": instruments(result)}
    rows = [[label, markdown(text)] for label, text in lines.items() if text]
    parts = [grid(["what", "value"], rows, ["left", "left"])] if rows else []
    return "\n\n".join([*parts, *([bullets(map(markdown, _notes(result)))] if env.notes else [])])


def reproduce(result: RunResult) -> str:
    """The commands that repeat the run, with what to know of them."""
    words, commands = repetition(result)
    return "\n\n".join(filter(None, [words, code_block(commands, "sh")]))


def repetition(result: RunResult) -> tuple[str, str]:
    """A note on how several commands are run, empty for one, and the commands of the run: several are numbered by comments."""
    commands = (result.command or "").splitlines()
    if not commands:
        return "The resolved configuration stands beside this report:", "segbench run --config config.toml"
    if len(commands) == 1:
        return "", commands[0]
    lines = [line for place, command in enumerate(commands, 1) for line in (f"# {place}", command)]
    return f"{len(commands)} commands made this run. Run them in turn, into the same folder:", "\n".join(lines)


def _notes(result: RunResult) -> list[str]:
    """The notes on the machine; what a load means to times is said only where times were taken and no race watched them."""
    return [_load_note(note, result) if note.startswith(_LOAD) else note for note in result.environment.notes]


def _load_note(note: str, result: RunResult) -> str:
    timed = any(deployment.latency for cell in result.cells for deployment in cell.deployments)
    watched = result.race is not None and result.race.disturbances is not None
    return note.removesuffix(_EARLIER) + (_MAY_SUFFER if timed and not watched else "")


def _lines(env: Environment) -> dict[str, str]:
    plugins = [f"{p.name}{f' {p.version}' if p.version else ''}{f' (skipped: {p.error})' if p.error else ''}" for p in env.plugins]
    memory = f"{numbers.significant(env.memory_gb)} GB" if env.memory_gb is not None else ""
    return {
        "measured": env.started or "",
        "cpu": ", ".join(
            part for part in [env.cpu or "", _counted(env.cpu_cores, "core"), _counted(env.threads, "thread"), memory] if part
        ),
        "load before": ", ".join(f"{load:.2f}" for load in env.load_average or []),
        "gpu": ", ".join(env.gpu),
        "cuda, driver": ", ".join(part for part in [env.cuda, env.driver] if part),
        "platform": env.platform or "",
        "python": env.python or "",
        "segbench": env.segbench or "",
        "packages": ", ".join(f"{name} {version}" for name, version in env.packages.items()),
        "plugins": ", ".join(plugins),
    }


def _counted(number: int | None, noun: str) -> str:
    return "" if number is None else numbers.counted(number, noun)
