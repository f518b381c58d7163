"""Charts of a page: an Altair definition without its width, its data packed separately, and a text alternative."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from segbench_reports.charts.charts import THEME
from segbench_reports.html.embed import packed

if TYPE_CHECKING:
    import altair as alt

Spec = dict[str, Any]


@dataclass(frozen=True)
class Entry:
    """One line of a legend: a name with its colour, or with the dashes of its line."""

    name: str
    colour: str = ""
    dash: str | None = None


@dataclass(frozen=True)
class Drawing:
    """One chart: ``spec`` is Vega-Lite, ``data`` has packed records by name, ``alt`` describes the chart in a sentence."""

    key: str
    alt: str
    spec: Spec
    data: Mapping[str, Any] = field(default_factory=dict)
    title: str = ""
    caption: str = ""
    note: str = ""
    legend: Sequence[Entry] = ()
    wide: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)


def column_width(key: str, chart: alt.LayerChart | alt.Chart, words: str, *, title: str = "", note: str = "", wide: bool = True) -> Drawing:
    """A single view as wide as the column that it stands in."""
    spec = chart.properties(width="container").to_dict(validate=False)
    return Drawing(key, words, _bare(spec), _packed(spec), title, note=note, wide=wide)


def fixed_width(key: str, chart: alt.TopLevelMixin, words: str, *, title: str = "", note: str = "") -> Drawing:
    """A chart of several views at its own width; narrow screens scroll it."""
    spec = chart.to_dict(validate=False)
    return Drawing(key, words, _bare(spec), _packed(spec), title, note=note, wide=True)


def panels(key: str, chart: alt.HConcatChart | alt.VConcatChart | alt.LayerChart, words: str) -> Iterator[Drawing]:
    """The views of a grid one by one, each as wide as its column; their legend becomes a legend of the page."""
    spec = chart.to_dict(validate=False)
    legend = _legend(spec)
    for place, view in enumerate(_views(spec)):
        own = {name: spec["datasets"][name] for name in sorted(set(_names(view)))}
        title = str(view.get("title") or "")
        panel = {**_without_legends(view), "width": "container", "datasets": own, "$schema": spec.get("$schema")}
        panel.pop("title", None)
        yield Drawing(
            f"{key}-{place + 1}",
            f"{title or _y_title(view)}: {words}",
            _bare(panel),
            _packed(panel),
            title,
            caption=words[:1].upper() + words[1:],
            legend=legend if place == 0 else (),
        )


def theme() -> dict[str, Any]:
    """The charts' common theme, without background."""
    axis = {**THEME["axis"], "labelFontSize": 11, "titleFontSize": 12, "labelLimit": 220, "titleLimit": 340}
    legend = {**THEME["legend"], "labelFontSize": 12, "titleFontSize": 12, "labelLimit": 220, "orient": "top", "offset": 4, "padding": 0}
    return {**THEME, "axis": axis, "legend": legend, "background": None, "font": "system-ui, sans-serif", "aria": False, "padding": 4}


def _bare(spec: Spec) -> Spec:
    return {key: value for key, value in spec.items() if key not in ("datasets", "config", "background", "padding")}


def _packed(spec: Spec) -> dict[str, Any]:
    return {name: packed(records) for name, records in spec.get("datasets", {}).items()}


def _views(spec: Spec) -> Iterator[Spec]:
    inner = spec.get("hconcat") or spec.get("vconcat")
    if inner is None:
        yield spec
        return
    for view in inner:
        yield from _views(view)


def _nodes(node: Any) -> Iterator[Spec]:
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from _nodes(value)
    elif isinstance(node, list):
        for value in node:
            yield from _nodes(value)


def _names(view: Spec) -> Iterator[str]:
    for node in _nodes(view):
        data = node.get("data")
        if isinstance(data, dict) and "name" in data:
            yield data["name"]


def _legend(spec: Spec) -> list[Entry]:
    """The colours of the first colour scale, and the dashes of the first scale of dashes."""
    colours, dashes = _scale(spec, "color"), _scale(spec, "strokeDash")
    entries = [Entry(str(name), str(colour)) for name, colour in colours]
    return entries + [Entry(str(name), dash=" ".join(map(str, dash))) for name, dash in dashes]


def _scale(spec: Spec, channel: str) -> list[tuple[Any, Any]]:
    for node in _nodes(spec):
        encoding = node.get(channel)
        scale = encoding.get("scale") if isinstance(encoding, dict) else None
        if isinstance(scale, dict) and "range" in scale:
            return list(zip(scale["domain"], scale["range"], strict=False))
    return []


def _y_title(view: Spec) -> str:
    """The title of the vertical axis."""
    return next((str(node["y"]["title"]) for node in _nodes(view) if isinstance(node.get("y"), dict) and node["y"].get("title")), "")


def _without_legends(node: Any) -> Any:
    if isinstance(node, list):
        return [_without_legends(value) for value in node]
    if not isinstance(node, dict):
        return node
    return {key: None if key == "legend" else _without_legends(value) for key, value in node.items()}
