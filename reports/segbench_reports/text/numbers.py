"""Numbers, settings and lists as text: significant digits, signs, units."""

from __future__ import annotations

import math
from collections.abc import Sequence

from segbench import counted as counted

NOT_MEASURED = "–"
MINUS = "−"


def significant(value: float, digits: int = 3) -> str:
    """``value`` with ``digits`` significant digits, never in powers of ten.

    >>> significant(6.831509), significant(9.6), significant(12.345), significant(1234.5), significant(0.01234), significant(9.996)
    ('6.83', '9.60', '12.3', '1234', '0.0123', '10.0')
    """
    if not math.isfinite(value):
        return NOT_MEASURED
    if value == 0:
        return "0"
    rounded = float(f"{value:.{digits - 1}e}")
    magnitude = math.floor(math.log10(abs(rounded)))
    return f"{value:.{max(0, min(digits - 1 - magnitude, 12))}f}".replace("-", MINUS)


def margin(value: float, spread: float, digits: int = 3) -> str:
    """``value ± spread``, the spread with the value's decimals, or one digit where it would vanish.

    >>> margin(12.345, 0.31), margin(12.345, 0.004), margin(123.4, 11)
    ('12.3 ±0.3', '12.3 ±0.004', '123 ±11')
    """
    text = significant(value, digits)
    decimals = len(text.partition(".")[2])
    plus_minus = f"{spread:.{decimals}f}" if round(spread, decimals) else significant(spread, 1)
    return f"{text} ±{plus_minus}"


def with_interval(value: float, low: float, high: float, digits: int = 3) -> tuple[str, str]:
    """A value and its interval: ``±`` where that gives the very bounds in the digits shown, else the bounds by themselves.

    >>> with_interval(12.345, 12.04, 12.64), with_interval(12.345, 12.1, 14.9), with_interval(38.83, 37.6, 40.12)
    (('12.3 ±0.3', ''), ('12.3', '12.1 to 14.9'), ('38.8', '37.6 to 40.1'))
    >>> with_interval(30.2, 28.0, 297.3), with_interval(5.0, 5.0, 5.0), with_interval(12.345, 12.344, 12.347)
    (('30.2', '28.0 to 297.3'), ('5.00 ±0', ''), ('12.3', '12.34 to 12.35'))
    """
    text, bounds = _bounds(value, low, high, digits)
    decimals = len(text.partition(".")[2])
    if low == value == high:
        return f"{text} ±0", ""
    middle, margin = float(text.replace(MINUS, "-")), round(high - value, decimals)
    is_even = [round(middle - margin, decimals), round(middle + margin, decimals)] == [round(low, decimals), round(high, decimals)]
    return (f"{text} ±{margin:.{decimals}f}", "") if margin > 0 and is_even else (text, bounds)


def bounded(value: float, interval: Sequence[float] | None, digits: int = 3) -> str:
    """A value with the bounds of its interval, as :func:`with_interval` writes them.

    >>> bounded(38.83, (37.6, 40.12)), bounded(38.83, None)
    ('38.8 (37.6 to 40.1)', '38.8')
    """
    if interval is None:
        return significant(value, digits)
    return "{} ({})".format(*_bounds(value, interval[0], interval[1], digits))


def _bounds(value: float, low: float, high: float, digits: int) -> tuple[str, str]:
    """The value and its bounds with the value's decimals, or with as many as tell the bounds apart."""
    text = significant(value, digits)
    decimals = len(text.partition(".")[2])
    while low != high and decimals < 12 and f"{low:.{decimals}f}" == f"{high:.{decimals}f}":
        decimals += 1
    return text, f"{low:.{decimals}f} to {high:.{decimals}f}".replace("-", MINUS)


def percent(share: float) -> str:
    """A share as per cent with one decimal, without the sign.

    >>> percent(0.51249)
    '51.2'
    """
    return f"{100 * share:.1f}" if math.isfinite(share) else NOT_MEASURED


def shares(interval: Sequence[float]) -> str:
    """Bounds of a share in per cent.

    >>> shares((0.4703, 0.5697))
    '47.0 to 57.0'
    """
    return " to ".join(map(percent, interval))


def points(difference: float, more: int = 0) -> str:
    """A difference of two shares in percentage points, signed, with one decimal and so many ``more``.

    >>> points(-0.0123), points(0.004), points(0.0001), points(0.0001, 1)
    ('−1.2', '+0.4', '±0.0', '+0.01')
    """
    rounded = round(100 * difference, 1 + more)
    sign = "±" if rounded == 0 else "+" if rounded > 0 else MINUS
    return f"{sign}{abs(rounded):.{1 + more}f}"


def difference(value: float, digits: int, more: int = 0) -> str:
    """A difference of two scores in their own unit, signed, with ``digits`` decimals and so many ``more``.

    >>> difference(-0.318, 2), difference(12.04, 1), difference(0.001, 2), difference(0.001, 2, 1)
    ('−0.32', '+12.0', '±0.00', '+0.001')
    """
    rounded = round(value, digits + more)
    sign = "±" if rounded == 0 else "+" if rounded > 0 else MINUS
    return f"{sign}{abs(rounded):.{digits + more}f}"


def fixed(value: float, digits: int) -> str:
    """A score in its own unit, with so many decimals.

    >>> fixed(-1.25, 1), fixed(float("nan"), 1)
    ('−1.2', '–')
    """
    return f"{value:.{digits}f}".replace("-", MINUS) if math.isfinite(value) else NOT_MEASURED


def factor(ratio: float, more: int = 0) -> str:
    """A ratio without sign: two significant digits, near 1 two decimals; so many ``more`` of either.

    >>> factor(0.3685), factor(1.04), factor(1.634), factor(12.4), factor(0.0123), factor(2.0), factor(1.0012, 1)
    ('0.37', '1.04', '1.63', '12', '0.012', '2.00', '1.001')
    """
    if 0.1 <= ratio < 9.995:
        return f"{ratio:.{2 + more}f}"
    return significant(ratio, 2 + more) if ratio < 0.1 else f"{ratio:.{more}f}"


def times(ratio: float) -> str:
    """A ratio with its sign, as tables show it.

    >>> times(0.3685)
    '×0.37'
    """
    return f"×{factor(ratio)}"


def unequal(ratio: float) -> str:
    """The factor of two counts that differ, with as many decimals as keep it from reading as 1.

    >>> unequal(0.3685), unequal(1.00021)
    ('0.37', '1.0002')
    """
    return next((text for more in range(8) if float(text := factor(ratio, more)) != 1), factor(ratio))


def size(shape: Sequence[int]) -> str:
    """Height and width, or one number where they are equal.

    >>> size((512, 512)), size((176, 240))
    ('512', '176x240')
    """
    height, width = shape
    return str(height) if height == width else f"{height}x{width}"


def duration(seconds: float) -> str:
    """A time in its two largest units.

    >>> duration(8.04), duration(75), duration(3725)
    ('8.0 s', '1 min 15 s', '1 h 2 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    rounded = round(seconds)
    if rounded < 3600:
        return f"{rounded // 60} min {rounded % 60} s"
    return f"{rounded // 3600} h {rounded % 3600 // 60} min"


def listed(words: Sequence[str]) -> str:
    """Words joined as in a sentence.

    >>> listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c"])
    ('a', 'a and b', 'a, b and c')
    """
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


def sentence(text: str) -> str:
    """``text`` with a full stop, unless it ends in a punctuation mark.

    >>> sentence("out of memory"), sentence("Really?"), sentence("")
    ('out of memory.', 'Really?', '')
    """
    return text if not text or text.rstrip().endswith((".", "!", "?", ":")) else f"{text}."


def setting(value: object) -> str:
    """A setting's value in its short form.

    >>> setting(1e-4), setting(0.001), setting([176, 240]), setting(True), setting(None)
    ('1e-4', '1e-3', '176x240', 'yes', 'none')
    """
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return _short_float(value)
    if isinstance(value, (list, tuple)):
        is_size = len(value) == 2 and all(isinstance(v, int) and v > 8 for v in value)
        return size(value) if is_size else ", ".join(setting(v) for v in value)
    return str(value)


def elided(text: str, limit: int) -> str:
    """``text`` without its middle where it is too long.

    >>> elided("deeplab-optimized[aspp_channels=96]", 20)
    'deeplab-op…annels=96]'
    """
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}…{text[len(text) - half :]}"


def _short_float(value: float) -> str:
    if 0 < abs(value) < 0.01:
        mantissa, _, exponent = f"{value:e}".partition("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    return f"{value:g}"
