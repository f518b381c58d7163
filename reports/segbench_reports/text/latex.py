"""Foreign text in LaTeX: what a user or plugin wrote is set, never interpreted."""

from __future__ import annotations

import re
import unicodedata

from segbench_reports.text.escape import plain

_GREEK = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi - pi rho varsigma sigma tau upsilon phi chi psi omega"
SIGNS = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "`": r"\textasciigrave{}", '"': r"\char34{}", "[": "{[}", "*": "{*}",
    "±": r"$\pm$", "×": r"$\times$", "−": "$-$", "·": r"$\cdot$", "≤": r"$\leq$", "≥": r"$\geq$", "≈": r"$\approx$", "→": r"$\rightarrow$",
    "–": "--", "—": "---", "…": r"\ldots{}", "•": r"$\bullet$", "\u00a0": "~", "‘": "`", "’": "'", "“": "``", "”": "''",
    "°": r"$^\circ$", "µ": r"$\mu$", **{sign: rf"\textsuperscript{{{digit}}}" for digit, sign in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")},
    **{chr(0x3B1 + place): f"$\\{name}$" for place, name in enumerate(_GREEK.split()) if name != "-"},
}  # fmt: skip
"""What LaTeX would read as a command, or as an option at the start of a row, and signs that it has under another name."""

_LETTERS = frozenset("ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØÙÚÛÜÝàáâãäåæçèéêëìíîïñòóôõöøùúûüýÿßŁłŒœŠšŽž")
_LIGATURE = re.compile(r"-(?=-)|'(?=')|,(?=,)|[?!](?=`)")
_APART = "\x00"


def latex(text: object) -> str:
    r"""``text`` so that pdflatex with its standard fonts sets exactly it; letters that these lack lose their marks, else show their code.

    >>> print(latex("a_b[x=1] 50% {~} -- Łódź"))
    a\_b{[}x=1] 50\% \{\textasciitilde{}\} -{}- Łódz
    >>> latex("中")
    '(U+4E2D)'
    """
    parted = _LIGATURE.sub(r"\g<0>" + _APART, unicodedata.normalize("NFC", plain(text)))
    return "".join(map(_sign, parted)).replace(_APART, "{}")


def breakable(escaped: str) -> str:
    r"""Escaped text that may also be broken behind the signs that join the parts of a name.

    >>> print(breakable(latex("a_b=1")))
    a\_\allowbreak{}b=\allowbreak{}1
    """
    return re.sub(r"\\_|[=,/]|\{\[\}", r"\g<0>\\allowbreak{}", escaped)


def _sign(sign: str) -> str:
    known = SIGNS.get(sign)
    if known is not None:
        return known
    if sign == _APART or sign in _LETTERS or (sign.isascii() and sign.isprintable()):
        return sign
    bare = "".join(part for part in unicodedata.normalize("NFKD", sign) if not unicodedata.combining(part))
    if bare != sign and bare.isascii():
        return "".join(map(_sign, bare))
    return "?" if sign == "\ufffd" else f"(U+{ord(sign):04X})"
