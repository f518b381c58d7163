from __future__ import annotations

import numpy as np
import pytest

from segbench.errors import ConfigError
from segbench.util.value_range import LinearRescale, ValueRange, automatic_rescale, parse_rescale, unlike, value_range

PHOTOS = ValueRange("uint8", 0, 255, 2, 250)
SENTINEL = ValueRange("uint16", 0, 12000, 200, 5000)
RADAR = ValueRange("float32", -35, 10, -30, 2)
SHARES = ValueRange("float32", 0, 1, 0.01, 0.98)


def test_a_range_has_extremes_of_all_and_percentiles_of_finite_values() -> None:
    values = np.arange(1001, dtype=np.float32).reshape(1, 7, 143)
    values[0, 0, 0] = np.nan
    seen = value_range([values, np.full((1, 1), np.inf, np.float32)])
    assert seen is not None
    assert (seen.dtype, seen.minimum, seen.maximum) == ("float32", 1, 1000)
    assert (seen.low, seen.high) == pytest.approx((1.999, 999.001))
    assert value_range([np.full((2, 2), np.nan, np.float32)]) is None
    assert value_range([np.zeros(3, np.uint8), np.ones(3, np.uint16)]) == ValueRange("uint16/uint8", 0, 1, 0, 1)


@pytest.mark.parametrize(
    ("trained", "seen", "why"),
    [
        (PHOTOS, ValueRange("uint16", 0, 65535, 10, 60000), "integers above 255"),
        (PHOTOS, ValueRange("uint16", 0, 400, 10, 390), "integers above 255"),
        (PHOTOS, ValueRange("float32", 0, 1, 0.1, 0.9), "floats from 0 to 1"),
        (PHOTOS, ValueRange("float32", 0, 65535, 10, 60000), "far outside"),
        (PHOTOS, ValueRange("float32", -2.1, 2.6, -2, 2.4), ""),  # normalised already: inside the bounds, so it is not seen
        (SENTINEL, ValueRange("uint8", 0, 255, 3, 250), "8-bit values"),
        (SENTINEL, ValueRange("float32", 0, 1, 0.01, 0.6), "floats from 0 to 1"),
        (SHARES, PHOTOS, "far outside"),
        (RADAR, ValueRange("uint8", 0, 255, 3, 250), "far outside"),
        (PHOTOS, ValueRange("uint16", 0, 255, 10, 240), ""),
        (PHOTOS, ValueRange("uint8", 0, 0, 0, 0), ""),
        (PHOTOS, ValueRange("float32", 0, 0, 0, 0), ""),
        (PHOTOS, ValueRange("float32", 0, 255, 2, 250), ""),
        (SENTINEL, ValueRange("uint16", 0, 20000, 200, 15000), ""),
        (RADAR, ValueRange("float32", -50, 20, -40, 12), ""),
    ],
)
def test_values_that_cannot_be_of_the_trained_kind(trained: ValueRange, seen: ValueRange, why: str) -> None:
    assert why in unlike(trained, seen)
    assert bool(why) == bool(unlike(trained, seen))


def test_white_becomes_white_where_the_dtype_says_which_value_it_is() -> None:
    assert automatic_rescale(PHOTOS, ValueRange("uint16", 0, 60000, 10, 50000)) == LinearRescale(1 / 257)
    assert automatic_rescale(PHOTOS, SHARES) == LinearRescale(255)
    assert automatic_rescale(SHARES, PHOTOS) == LinearRescale(1 / 255)
    assert automatic_rescale(PHOTOS, ValueRange("uint16", 0, 4095, 10, 4000)) is None, "12 bits: its white is not 65535"
    assert automatic_rescale(RADAR, PHOTOS) is None


@pytest.mark.parametrize("text", ["", "maybe", "0-255", "0-0:0-1", "0-1:0", "a-b:c-d"])
def test_what_is_no_rule_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="none of auto, none and A-B:C-D"):
        parse_rescale(text)
