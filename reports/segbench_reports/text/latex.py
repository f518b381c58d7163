"""Escaping of text from users and plugins for LaTeX: it is set literally and never interpreted."""

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
"""LaTeX for characters that it would read as a command, or as an option at the start of a row, and for those that it names otherwise."""

_LETTERS = frozenset("ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØÙÚÛÜÝàáâãäåæçèéêëìíîïñòóôõöøùúûüýÿßŁłŒœŠšŽž")
_LIGATURE = re.compile(r"-(?=-)|'(?=')|,(?=,)|[?!](?=`)")
_SEPARATOR = "\x00"


def latex(text: object) -> str:
    r"""``text`` escaped for pdflatex with its standard fonts; letters that these lack lose their accents, else become their code.

    >>> print(latex("a_b[x=1] 50% {~} -- Łódź"))
    a\_b{[}x=1] 50\% \{\textasciitilde{}\} -{}- Łódz
    >>> latex("中")
    '(U+4E2D)'
    """
    separated = _LIGATURE.sub(r"\g<0>" + _SEPARATOR, unicodedata.normalize("NFC", plain(text)))
    return "".join(map(_escaped, separated)).replace(_SEPARATOR, "{}")


def breakable(escaped: str) -> str:
    r"""Escaped text with allowed line breaks behind the signs that join the parts of a name.

    >>> print(breakable(latex("a_b=1")))
    a\_\allowbreak{}b=\allowbreak{}1
    """
    return re.sub(r"\\_|[=,/]|\{\[\}", r"\g<0>\\allowbreak{}", escaped)


def _escaped(sign: str) -> str:
    command = SIGNS.get(sign)
    if command is not None:
        return command
    if sign == _SEPARATOR or sign in _LETTERS or (sign.isascii() and sign.isprintable()):
        return sign
    unaccented = "".join(part for part in unicodedata.normalize("NFKD", sign) if not unicodedata.combining(part))
    if unaccented != sign and unaccented.isascii():
        return "".join(map(_escaped, unaccented))
    return "?" if sign == "\ufffd" else f"(U+{ord(sign):04X})"
