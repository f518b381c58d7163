"""Problems of data as sentences, alike wherever they are shown: what holds of several splits stands once, with their names."""

from __future__ import annotations

from collections.abc import Sequence

from segbench.plugin.specs import Problem


def problem_sentences(problems: Sequence[Problem]) -> dict[str, str]:
    """Each problem's sentence with its severity, errors first. A split is named in front unless the message names it.

    >>> one = "only 1 sample"
    >>> problem_sentences([Problem(one, "warning", "a"), Problem(one, "warning", "b"), Problem("split 'c' is empty", where="c")])
    {"split 'c' is empty.": 'error', 'a, b: only 1 sample.': 'warning'}
    """
    splits: dict[tuple[str, str], list[str]] = {}
    for problem in sorted(problems, key=lambda problem: problem.severity):
        names = splits.setdefault((problem.severity, problem.message), [])
        names += [problem.where] if problem.where else []
    return {_sentence(message, names): severity for (severity, message), names in splits.items()}


def _sentence(message: str, splits: Sequence[str]) -> str:
    named = not splits or any(f"'{split}'" in message for split in splits)
    text = message if message.endswith((".", "?")) else f"{message}."
    return text if named else f"{', '.join(splits)}: {text}"
