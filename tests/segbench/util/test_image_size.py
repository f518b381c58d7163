from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segbench.errors import ConfigError
from segbench.util.image_size import format_size, parse_growing_size, parse_size, size_at

# the same examples in every run, however slow the machine is
steady = settings(derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
sides = st.integers(1, 5000)


@steady
@given(sides, sides)
def test_a_size_is_read_back_from_its_text(height: int, width: int) -> None:
    assert parse_size(format_size((height, width))) == (height, width)
    assert parse_size((height, width)) == (height, width)


@pytest.mark.parametrize("text", ["", "x", "12x", "x12", "1.5", "12 13", "a", "12x13x14", "512@0.5"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_size(text, key="train.image_size")
    assert str(caught.value) == f"train.image_size '{text}' is not a size. Write N or HxW (height x width), such as 512 or 360x480."


@pytest.mark.parametrize("value", [0, -3, "0x5", "5x-1", (4, 0)])
def test_sizes_below_one_are_refused(value: int | str | tuple[int, int]) -> None:
    with pytest.raises(ConfigError, match="must be positive"):
        parse_size(value)


@pytest.mark.parametrize(
    "text",
    ["256@0.1", "256@0,512@1", "256@0,512@0", "256@0,384@0.6,512@0.5", "256@0,512@nan", "256@nan", "256@0,512@inf", "256@x"],
)
def test_growing_sizes_need_shares_that_grow_from_zero(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^train\.image_size '.*share"):
        parse_growing_size(text)


def test_a_growing_size_holds_from_its_share_on() -> None:
    steps = parse_growing_size("64x96@0, 128@0.25, 256@0.5")
    assert [size_at(steps, share) for share in (0.0, 0.24, 0.25, 0.49, 0.5, 1.0)] == [
        (64, 96),
        (64, 96),
        (128, 128),
        (128, 128),
        (256, 256),
        (256, 256),
    ]
