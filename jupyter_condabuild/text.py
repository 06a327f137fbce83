"""Formats sizes, times and lists of names for users, and makes text from outside safe for a terminal.

Source: ECMA-48 (control sequences), UAX #9 (directional formatting).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence, Sized

_SIZES = ("B", "kB", "MB", "GB", "TB", "PB")
_SEQUENCES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*+[ -/]*+[@-~]"  # CSI: colours, cursor, modes
    # OSC, DCS: title, link, clipboard
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c\x9d\x90\x98\x9e\x9f]*+(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]*[0-~]?"
)
_SPACES = dict.fromkeys(map(ord, "\t\v\f\r"), " ")
_INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def size_text(size: float) -> str:
    """Returns a number of bytes with a unit: ``512 B``, ``1.9 MB``, ``297 MB``.

    The units are powers of 1000, as in the displays of registries.
    """
    return f"{_scaled(size, _step(size))} {_SIZES[_step(size)]}"


def part_text(complete: float, total: float) -> str:
    """Returns two numbers of bytes in the unit of `total`: ``1.9 of 6.2 MB``."""
    step = _step(total)
    return f"{_scaled(complete, step)} of {_scaled(total, step)} {_SIZES[step]}"


def seconds_text(seconds: float) -> str:
    """Returns a duration with its units: ``0.3 s``, ``12 s``, ``2 min 5 s``, ``1 h 3 min``."""
    if seconds < 9.95:
        return f"{max(seconds, 0):.1f} s"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest} min" if rest else f"{hours} h"


def counted(things: Sized | int, noun: str) -> str:
    """Returns the number of things with the noun in singular or plural: ``1 file``, ``2 files``, ``2 categories``."""
    number = things if isinstance(things, int) else len(things)
    return f"{number} {agreeing(number, noun, _plural(noun))}"


def agreeing(things: Sized | int, one: str, many: str) -> str:
    """Returns the words that agree with the number of things: those for one thing, or those for several or none."""
    return one if (things if isinstance(things, int) else len(things)) == 1 else many


def listed(names: Sequence[str], most: int = 10) -> str:
    """Returns at most `most` names and the number of the other names: ``a, b and 3 more``.

    A name with characters that are not printable is shown as a Python literal.
    """
    shown = ", ".join(name if name.isprintable() else repr(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def clean(text: str) -> str:
    """Returns a text from outside (a package's name, a server's message) as one line that is safe for a terminal.

    Control sequences are removed, white space becomes single spaces, and invisible characters are replaced by U+FFFD.
    """
    return _visible(" ".join(_SEQUENCES.sub("", text).split()))


def _visible(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    return "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(c) in _INVISIBLE else c for c in text)


def clean_lines(text: str) -> str:
    """Returns a text of several lines with each line as `clean` returns it, but with all its spaces."""
    return "\n".join(_visible(line.translate(_SPACES)) for line in _SEQUENCES.sub("", text).split("\n"))


def printable(value: str, most: int = 200) -> str:
    """Returns a foreign text for a message: at most `most` characters, and as a literal if some are not printable."""
    cut = value if len(value) <= most else f"{value[:most]}…"
    return cut if cut.isprintable() else ascii(cut)


def as_unicode(path: str) -> str:
    """Returns a path of any bytes as text that every JSON reader accepts. Who displays the text makes it printable."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _plural(noun: str) -> str:
    return f"{noun[:-1]}ies" if re.search(r"[^aeiou]y$", noun) else f"{noun}s"


def _step(size: float) -> int:
    """Returns the index in `_SIZES` of the unit for a size."""
    step = 0
    while abs(size) >= (999.5 if step else 1000) * 1000**step and step < len(_SIZES) - 1:
        step += 1
    return step


def _scaled(size: float, step: int) -> str:
    if not step:
        return f"{size:.0f}"
    value = size / 1000**step
    return f"{value:.1f}" if value < 9.95 else f"{value:.0f}"
