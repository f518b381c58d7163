from __future__ import annotations

import pytest

from segbench.config.settings import Settings
from segbench.data.census import SplitStatistics
from segbench.execution.data_check import scale_note


@pytest.mark.parametrize(
    ("train", "resize", "noted"),
    [
        ({"image_size": "512"}, "none", True),
        ({"image_size": "512", "augmentation": "enhanced"}, "none", True),
        ({"image_size": "512", "augmentation": "crop"}, "none", False),
        ({"image_size": "512"}, "keep-aspect", False),
        ({"image_size": "1024x2048"}, "none", False),
        ({"image_size": "256@0,1024x2048@0.5"}, "none", False),
    ],
)
def test_a_training_at_another_scale_than_the_scoring_is_noted(train: dict[str, str], resize: str, noted: bool) -> None:
    settings = Settings.model_validate({"train": train, "eval": {"resize": resize}})
    text = scale_note([SplitStatistics("train", 3, sizes={"1024x2048": 3})], settings)
    assert ("brought to 512x512 for training (0.25 times their size)" in text) is noted
