"""Names of folds, and which splits may share samples with them."""

from __future__ import annotations

import pytest

from segbench.errors import ConfigError
from segbench.util.folds import Fold, folds_of, parse_fold, share_samples


@pytest.mark.parametrize("text", ["0/5", "6/5", "1/1", "2", "a/b", "2/5/7", ""])
def test_other_texts_name_no_fold(text: str) -> None:
    with pytest.raises(ConfigError, match="such as 2/5"):
        parse_fold(text)


def test_a_network_of_one_fold_has_seen_the_scored_part_of_every_other() -> None:
    one, two = folds_of(5)[:2]
    assert not share_samples(one.training, one.scored)
    assert share_samples(one.training, two.scored)
    assert share_samples(one.training, "train")
    assert share_samples("val", one.training)
    assert not share_samples(one.training, "test")
    assert share_samples(Fold(1, 5).training, Fold(1, 4).scored)
