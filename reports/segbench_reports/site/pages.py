"""The pages of a site: collects their contents from the runs and renders the templates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import quote

from segbench import ReportTarget, RunResult, slug
from segbench_reports.html.embed import printable, script_hash
from segbench_reports.html.templating import STATIC, TEMPLATES, code, style, templates
from segbench_reports.site.badges import Badge, badges
from segbench_reports.site.board_table import BoardTable, board_table
from segbench_reports.site.boards import Board, Entry, boards, left_out
from segbench_reports.text import numbers
from segbench_reports.view.cells import dataset_name
from segbench_reports.view.claims import claims_sentence
from segbench_reports.view.learned import over_classes
from segbench_reports.view.main_table import main_table
from segbench_reports.view.summary import summary, unfinished_note

_HERE = Path(__file__).parent
_TITLE = "Segmentation benchmarks"
_SHIELDS = "https://img.shields.io/endpoint?url="
_LONG_AGO = datetime(1970, 1, 1, tzinfo=timezone.utc)
_FILES = {"run.json": "JSON", "cells.csv": "CSV", "tables.tex": "LaTeX"}


@dataclass(frozen=True)
class RunCard:
    """One run on the index."""

    folder: str
    title: str
    when: str
    machine: str
    cells: str
    answer: str
    claims: str
    unfinished: str
    files: Sequence[tuple[str, str]]
    words: str


@dataclass(frozen=True)
class DatasetCard:
    """One dataset on the index: its page, its tables and the highest entry of the first."""

    name: str
    href: str
    tables: str
    leader: str
    figure: str
    under: str


@dataclass(frozen=True)
class LeaderboardSection:
    """One table on a dataset's page; ``apart`` are its differences from the first table's conditions."""

    key: str
    title: str
    facts: Sequence[tuple[str, str]]
    apart: str
    table: BoardTable


def write_pages(runs: Mapping[str, RunResult], target: ReportTarget) -> None:
    """Write the index, one page per dataset, and badges."""
    out, title = target.directory, printable(target.title) or _TITLE
    tables, titles = boards(runs), {folder: run_title(run) for folder, run in runs.items()}
    hrefs = {name: f"leaderboards/{slug(name, limit=60)}.html" for name in tables}
    badges_by_run = badges(runs, tables)
    pages = {
        "index.html": _page("index.html.j2", "", title, **_index(runs, tables, titles, hrefs, out)),
        "badges.html": _page("badges.html.j2", "", title, **_badge_page(badges_by_run, titles, target.home)),
        **{
            hrefs[name]: _page("board.html.j2", "../", title, **_leaderboard_page(name, group, runs, titles))
            for name, group in tables.items()
        },
    }
    for badge in (badge for group in badges_by_run.values() for badge in group):
        pages[badge.path] = badge.endpoint
    for name, text in pages.items():
        file = out / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


def run_title(result: RunResult) -> str:
    """The models and the dataset of a run, in plain text."""
    models = [printable(name, 50) for name in dict.fromkeys(cell.model for cell in result.cells)]
    subject = " against ".join(models) if 0 < len(models) < 3 else numbers.counted(len(models), "model")
    dataset = dataset_name(result)
    return f"{subject} on {printable(dataset, 50)}" if dataset else subject


def _page(template: str, root: str, site: str, **view: Any) -> str:
    script = code(STATIC / "core.js", _HERE / "static/site.js")
    policy = (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
        f"script-src {script_hash(script)}"
    )
    page = templates(_HERE / "templates", TEMPLATES).get_template(template)
    css = style(STATIC / "style.css", _HERE / "static/site.css")
    return page.render(**view, root=root, site=site, policy=policy, scripts=[script], style=css, data="{}")


def _index(
    runs: Mapping[str, RunResult], tables: Mapping[str, list[Board]], titles: Mapping[str, str], hrefs: Mapping[str, str], out: Path
) -> dict[str, Any]:
    ordered = sorted(runs, key=lambda folder: (_measured(runs[folder]), folder), reverse=True)
    models = len({cell.model for run in runs.values() for cell in run.cells})
    counts = [numbers.counted(len(runs), "run"), numbers.counted(models, "model"), numbers.counted(len(tables), "dataset")]
    return {
        "counts": numbers.listed(counts),
        "datasets": [_dataset_card(name, group, hrefs[name]) for name, group in tables.items()],
        "cards": [_card(folder, runs[folder], titles[folder], out, _leader(tables, folder)) for folder in ordered],
        "left_out": [(titles[one.run], one.run, printable(one.name, 80), one.why) for one in left_out(runs)],
    }


def _measured(result: RunResult) -> datetime:
    """The time at which a run was measured; long ago where it does not say."""
    try:
        started = datetime.fromisoformat(str(result.environment.started or "").replace("Z", "+00:00"))
    except ValueError:
        return _LONG_AGO
    return started if started.tzinfo else started.replace(tzinfo=timezone.utc)


def _dataset_card(name: str, tables: Sequence[Board], href: str) -> DatasetCard:
    first = tables[0].entries[0]
    count = numbers.counted(sum(len(board.entries) for board in tables), "entry", "entries")
    apart = f" in {len(tables)} tables" if len(tables) > 1 else ""
    figure, under = f"{numbers.percent(first.miou)} %", f"mIoU{tables[0].conditions.over}, {_heading(tables[0])}"
    return DatasetCard(printable(name, 60), href, f"{count}{apart}", printable(first.cell.model, 60), figure, under)


def _leader(tables: Mapping[str, list[Board]], folder: str) -> Entry | None:
    """The highest entry of a run."""
    entries = [entry for group in tables.values() for board in group for entry in board.entries if entry.run == folder]
    return max(entries, key=lambda entry: entry.miou, default=None)


def _card(folder: str, result: RunResult, title: str, out: Path, leader: Entry | None) -> RunCard:
    env = result.environment
    finished, planned = sum(cell.status == "ok" for cell in result.cells), len(result.cells)
    cells = numbers.counted(finished, "cell") if finished == planned else f"{finished} of {numbers.counted(planned, 'cell')}"
    models = " ".join(cell.model for cell in result.cells)
    answer, claims = _answer(result, leader), claims_sentence(result)
    return RunCard(
        folder=folder,
        title=title,
        when=printable((env.started or "")[:16].replace("T", " ")) or "date not recorded",
        machine=printable(", ".join(env.gpu) or env.cpu or "machine not recorded", 60),
        cells=cells,
        answer=printable(numbers.elided(answer, 600)),
        claims=printable(claims) if claims != answer else "",
        unfinished=unfinished_note(result),
        files=[(f"runs/{folder}/{file}", name) for file, name in _FILES.items() if (out / "runs" / folder / file).is_file()],
        words=printable(f"{folder} {dataset_name(result)} {models}").lower(),
    )


def _answer(result: RunResult, leader: Entry | None) -> str:
    """The first sentence of the run's summary; the score where the run has one model only."""
    sentences = summary(result, main_table(result))
    if leader is not None and leader.cell.quality and len({cell.model for cell in result.cells}) == 1:
        where = f"{leader.cell.dataset or ''} {leader.cell.quality.split}{over_classes(result)}"
        return f"{leader.cell.model} scores {numbers.percent(leader.miou)} % mIoU on {where}."
    return sentences[0] if sentences else ""


def _leaderboard_page(name: str, tables: Sequence[Board], runs: Mapping[str, RunResult], titles: Mapping[str, str]) -> dict[str, Any]:
    sections = [_section(place, board, tables[0], runs) for place, board in enumerate(tables)]
    out = [
        (titles[one.run], one.run, printable(one.name, 80), one.why)
        for one in left_out({f: r for f, r in runs.items() if _has_dataset(r, name)})
    ]
    return {"name": printable(name, 60), "sections": sections, "left_out": out}


def _has_dataset(result: RunResult, name: str) -> bool:
    from segbench_reports.site.conditions import base_name

    return any(base_name(cell.dataset or "") == name for cell in result.cells)


def _section(place: int, board: Board, first: Board, runs: Mapping[str, RunResult]) -> LeaderboardSection:
    differences = board.conditions.apart_from(first.conditions) if place else []
    facts = [(key, printable(value, 80)) for key, value in board.conditions.facts()]
    names = list(dict.fromkeys(printable(entry.run, 40) for entry in board.entries))
    stand = f"Run {names[0]} stands" if len(names) == 1 else f"Runs {numbers.listed(names)} stand"
    apart = f"{stand} apart from the first table: {'; '.join(printable(text, 80) for text in differences)}." if differences else ""
    return LeaderboardSection(f"table-{place + 1}", _heading(board), facts, apart, board_table(board, runs))


def _heading(board: Board) -> str:
    conditions = board.conditions
    parts = [conditions.split, f"scored at {conditions.size}"]
    parts += [f"{conditions.epochs} epochs at {conditions.train_size}"] if conditions.epochs.isdigit() else []
    return printable(", ".join(parts), 80)


def _badge_page(badges_by_run: Mapping[str, Sequence[Badge]], titles: Mapping[str, str], address: str) -> dict[str, Any]:
    def row(badge: Badge) -> dict[str, str]:
        markdown = f"![{_alternative_text(badge)}]({_SHIELDS}{quote(f'{address}{badge.path}', safe='/:')})" if address else ""
        return {"label": badge.label, "message": badge.message, "markdown": markdown, "endpoint": badge.path}

    def rows(group: Sequence[Badge]) -> list[tuple[str, list[dict[str, str]]]]:
        """Rows of the table by the subject of the badges."""
        return [(what, [row(badge) for badge in group if badge.what == what]) for what in dict.fromkeys(badge.what for badge in group)]

    return {"groups": [(folder, titles[folder], rows(group)) for folder, group in badges_by_run.items()], "address": address}


def _alternative_text(badge: Badge) -> str:
    """A badge's alternative text, escaped for Markdown."""
    text = f"{badge.label}: {badge.message}"
    return "".join(f"\\{sign}" if sign in "\\[]`*_<>&!" else sign for sign in text)
