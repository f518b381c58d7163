from __future__ import annotations

import math

from segbench.training.schedules import Stopping


def test_patience_counts_validations_since_the_best() -> None:
    state = Stopping(patience=2)
    exhausted = []
    for epoch, score in enumerate([0.1, 0.3, 0.3, 0.4, 0.2, 0.4], start=1):
        state = state.seen(score, epoch=epoch)
        exhausted.append(state.exhausted)
    assert exhausted == [False, False, False, False, False, True]
    assert (state.best_epoch, state.best_score) == (4, 0.4)


def test_without_patience_it_waits_for_ever() -> None:
    state = Stopping(patience=None).seen(0.5, epoch=1)
    for epoch in range(2, 200):
        state = state.seen(0.1, epoch=epoch)
    assert not state.exhausted


def test_a_score_that_is_no_number_is_never_the_best() -> None:
    state = Stopping(patience=5).seen(None, epoch=1).seen(math.nan, epoch=2).seen(math.inf, epoch=3)
    assert state.best_epoch is None
    assert state.seen(0.0, epoch=4).best_epoch == 4


def test_it_survives_being_stored() -> None:
    state = Stopping(patience=3).seen(0.5, epoch=1).seen(0.4, epoch=2)
    assert Stopping(patience=3, **state.to_dict()) == state
