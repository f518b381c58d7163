"""The sections on the run's environment and on repeating the run."""

from __future__ import annotations

from segbench import Environment, RunResult
from segbench_reports.text import numbers
from segbench_reports.text.escape import code_block, markdown
from segbench_reports.text.markdown import bullets, grid
from segbench_reports.view.verification import instruments


def environment(result: RunResult) -> str:
    """A table of machine, versions and plugins, and notes on them."""
    env = result.environment
    lines = {**_lines(env), "instruments": instruments(result)}
    rows = [[label, markdown(text)] for label, text in lines.items() if text]
    parts = [grid(["what", "value"], rows, ["left", "left"])] if rows else []
    return "\n\n".join([*parts, *([bullets(map(markdown, env.notes))] if env.notes else [])])


def reproduce(result: RunResult) -> str:
    """The command that repeats the run."""
    if result.command:
        return code_block(result.command, "sh")
    return "The resolved configuration stands beside this report:\n\n" + code_block("segbench run --config config.toml", "sh")


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
