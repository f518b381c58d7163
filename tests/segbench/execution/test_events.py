from __future__ import annotations

import types
from typing import Any

import pytest

from segbench import hookimpl
from segbench.execution.events import (
    BatchDone,
    CellEnded,
    CellKept,
    CellStarted,
    EpochDone,
    Event,
    Fanout,
    LatencyStarted,
    MemoryStarted,
    ModulesStarted,
    Note,
    Observers,
    PlanMade,
    RaceStarted,
    StageResult,
    StageStarted,
    emitting,
    event_of,
    race_event,
)
from segbench.plugin.chosen import Plugin
from segbench.plugin.registry import Catalog, PluginWarning
from segbench.results.records import CellResult, ErrorInfo, Quality, Training

CELL = {"id": "a", "model": "unet"}
ROW = CellResult(id="a", model="unet", status="ok", ingredients={"train": {}})


def watching(catalog: Catalog, name: str, **hooks: Any) -> None:
    plugin = types.SimpleNamespace(**{hook: hookimpl(specname=f"segbench_{hook}")(function) for hook, function in hooks.items()})
    assert catalog.add(plugin, Plugin(name)).error is None


def test_each_observer_gets_the_arguments_that_it_names() -> None:
    catalog, seen = Catalog(), []

    def after_cell(result: Any) -> None:
        seen.append(("result", result))

    def after_epoch(epoch: Any, cell: Any) -> None:
        seen.append((cell["id"], epoch))

    def before_cell(cell: Any) -> None:
        seen.append(("before", cell["id"]))

    watching(catalog, "watcher", after_cell=after_cell, after_epoch=after_epoch, before_cell=before_cell)
    observers = Observers(catalog)
    observers.on(PlanMade((CELL,)))
    observers.on(CellStarted(CELL, ("train",)))
    observers.on(event_of("epoch", {"epoch": 1, "loss_parts": {"ce": 0.5}}, CELL))
    observers.on(CellEnded(CELL, ROW))
    assert seen == [
        ("before", "a"),
        ("a", {"epoch": 1, "loss_parts": {"ce": 0.5}}),
        ("result", ROW.model_dump(exclude={"ingredients"})),
    ]


def test_an_observer_that_raises_is_switched_off_and_reported_and_the_others_go_on() -> None:
    catalog, seen = Catalog(), []

    def fails(cell: Any) -> None:
        seen.append("broken")
        raise RuntimeError("disk full")

    def never(cell: Any) -> None:
        seen.append("broken again")

    def starts(cell: Any) -> None:
        seen.append("start")

    def ends(cell: Any) -> None:
        seen.append("end")

    watching(catalog, "broken", before_cell=fails, after_cell=never)
    watching(catalog, "fine", before_cell=starts, after_cell=ends)
    observers = Observers(catalog)
    with pytest.warns(PluginWarning, match="plugin 'broken' was switched off: segbench_before_cell raised RuntimeError: disk full"):
        observers.on(CellStarted(CELL, ()))
    observers.on(CellEnded(CELL, ROW))
    assert sorted(seen) == ["broken", "end", "start"]
    assert observers.switched_off == {"broken": "segbench_before_cell raised RuntimeError: disk full"}


def test_every_listener_gets_every_event() -> None:
    heard: list[tuple[str, Event]] = []

    class Ear:
        def __init__(self, name: str) -> None:
            self.name = name

        def on(self, event: Event) -> None:
            heard.append((self.name, event))

    event = PlanMade(())
    Fanout(Ear("left"), Ear("right")).on(event)
    assert heard == [("left", event), ("right", event)]


@pytest.mark.parametrize(
    ("name", "fields", "event"),
    [
        ("stage", {"stage": "train"}, StageStarted(CELL, "train")),
        ("note", {"message": "hello"}, Note(CELL, "hello")),
        ("batch", {"epoch": 2, "step": 1, "steps": 4, "more": 0}, BatchDone(CELL, 2, step=1, steps=4)),
        ("epoch", {"epoch": 2, "cell": "b"}, EpochDone(CELL, 2, record={"epoch": 2, "cell": "b"})),
        ("result", {"stage": "train", "training": {"epochs_run": 1}}, StageResult(CELL, "train", training={"epochs_run": 1})),
        ("result", {"drift": {"images": 1}}, StageResult(CELL, drift={"images": 1})),
    ],
)
def test_a_worker_s_message_becomes_an_event(name: str, fields: dict[str, Any], event: Event) -> None:
    events: list[Event] = []
    emitting(events.append, CELL)(name, fields)
    assert events == [event]


def test_a_message_that_is_no_event_is_refused() -> None:
    with pytest.raises(ValueError, match="a worker sent 'gossip', which is no event"):
        event_of("gossip", {}, CELL)


SCORED = CellResult(
    id="a", model="unet", status="ok", quality=Quality(split="test", miou=0.5), training=Training(epochs_run=3, seconds=61.0)
)
TRAINED_ON = CellResult(id="a", model="unet", status="ok", quality=Quality(split="trainval", training_score=0.75))
ERROR = ErrorInfo(stage="train", kind="out-of-memory", message="out of memory", advice="Use a smaller batch.")


@pytest.mark.parametrize(
    ("event", "sentence"),
    [
        (CellStarted(CELL, ("train",)), "a"),
        (CellStarted(CELL, ("train",), "continued"), "a (continued)"),
        (CellKept(CELL, "failed"), "a kept from before (failed)"),
        (BatchDone(CELL, 1, loss=0.5, images_per_second=12.34, eta_seconds=90.0), "loss 0.5000  12.3 img/s  1 min 30 s left"),
        (BatchDone(CELL, 1), ""),
        (
            EpochDone(CELL, 2, 10, train_loss=0.25, learning_rate=0.01, val_miou=0.5),
            "epoch 2/10  loss 0.2500  lr 1.00e-02  val mIoU 0.5000",
        ),
        (EpochDone(CELL, 2, eta_seconds=5.0), "epoch 2/?  5 s left"),
        (CellEnded(CELL, SCORED), "mIoU 0.5000 on test, trained 3 epochs in 1 min 1 s"),
        (CellEnded(CELL, TRAINED_ON), "training score 0.7500"),
        (CellEnded(CELL, ROW), "done"),
        (CellEnded(CELL, ROW.model_copy(update={"error": ERROR})), "failed in train: out of memory Use a smaller batch."),
        (Note(None, "hello"), "hello"),
        (RaceStarted(3), "measuring 3 deployed models"),
        (MemoryStarted(CELL, "eager"), "memory of unet"),
        (ModulesStarted(CELL), "modules, energy and training step of unet"),
        (LatencyStarted(4, 3), "latency race at batch 4: 3 models in shuffled rounds"),
        (LatencyStarted(4, 3, "64", 2, 5), "latency race at batch 4: 3 models in shuffled rounds, start 2 of 5"),
    ],
)
def test_each_event_has_one_sentence(event: Any, sentence: str) -> None:
    assert event.sentence == sentence


def test_a_line_about_the_race_is_read_back() -> None:
    assert race_event({"state": "latency", "batch_size": 4, "contenders": 3, "t": 1.0, "event": "race"}, CELL) == LatencyStarted(4, 3)
    assert race_event({"state": "memory", "cell": "a"}, CELL) == MemoryStarted(CELL)
    assert race_event({"state": "latency"}, CELL) is None
    assert race_event({"state": "rest"}, CELL) is None


def test_the_sentence_of_an_epoch_says_how_many_classes_and_which_alone_is_predicted() -> None:
    known = {"epoch": 1, "epochs": 8, "val_miou": 0.5, "val_classes": 3}
    sentences = [
        event_of("epoch", known | fields, CELL).sentence  # type: ignore[union-attr]
        for fields in ({"val_classes_averaged": 3}, {"val_classes_averaged": 2, "val_only_class": "ground"})
    ]
    assert sentences == ["epoch 1/8  val mIoU 0.5000", "epoch 1/8  val mIoU 0.5000 (2 of 3 classes, predicts only ground)"]


def test_the_sentence_of_a_cell_says_over_which_classes_its_score_is() -> None:
    quality = Quality(
        split="val", miou=1.0, class_names=["ground", "disk"], label_pixels_per_class=[100, 0], predicted_pixels_per_class=[100, 0]
    )
    ended = CellEnded(CELL, ROW.model_copy(update={"quality": quality}))
    assert ended.sentence == "mIoU 1.0000 on val over 1 of 2 classes (no pixel of disk in the scored split)"
    nothing = quality.model_copy(update={"label_pixels_per_class": [90, 10]})
    ended = CellEnded(CELL, ROW.model_copy(update={"quality": nothing}))
    assert ended.sentence == "mIoU 1.0000 on val over all 2 classes, predicts only ground: nothing learned"
