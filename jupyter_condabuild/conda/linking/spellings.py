"""Spellings of the path of a folder: its names through symbolic links and the home folder, and how files write them.

Source: RFC 3986 for URLs, RFC 8259 (section 7) for the escapes of JSON, POSIX shell "Tilde Expansion" for ``~``.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from pathlib import Path
from urllib.parse import quote

from jupyter_condabuild.conda.linking.relocate import Replacement
from jupyter_condabuild.files import home_folder

_MOST_NAMES = 64


def names_of(folder: Path, mentioned: Iterable[str] = ()) -> tuple[str, ...]:
    """Returns the absolute paths that lead to a folder: the given path first, then those through other links.

    Args:
        mentioned: paths that may lead to the folder, from files that name it.
    """
    real, home = os.path.realpath(folder), str(home_folder())
    candidates = [str(folder), real, *mentioned]
    if Path(real).is_relative_to(os.path.realpath(home)):
        candidates.append(os.path.normpath(f"{home}/{os.path.relpath(real, os.path.realpath(home))}"))
    names: dict[str, None] = {}
    for name in candidates:
        if name.startswith("/") and os.path.realpath(name) == real:
            names |= dict.fromkeys(_through_links(os.path.normpath(name)))
    return tuple(names)


def _through_links(path: str) -> Iterator[str]:
    """Yields a path, and the paths in which one link after another is replaced by its target."""
    seen, waiting = {path}, [path]
    while waiting and len(seen) < _MOST_NAMES:
        yield (path := waiting.pop(0))
        for above in (path, *map(str, Path(path).parents)):
            if os.path.islink(above):
                start = os.path.realpath(os.path.dirname(above))  # the target may begin with ``..``
                resolved = os.path.normpath(os.path.join(start, os.readlink(above)) + path.removeprefix(above))
                if resolved not in seen:
                    seen.add(resolved)
                    waiting.append(resolved)


def replacements(places: Mapping[str, str]) -> list[Replacement]:
    """Returns pairs of an old and a new path for each spelling, the longer ones first: one may contain another.

    Args:
        places: the new path of each folder, by its absolute path.
    """
    pairs: dict[bytes, bytes] = {}
    for old, new in places.items():
        pairs |= {os.fsencode(before): os.fsencode(after) for before, after in _written(old, new)}
        for encoding in ("utf-16-le", "utf-16-be"):
            pairs[old.encode(encoding, "surrogatepass")] = new.encode(encoding)
    return sorted(pairs.items(), key=lambda pair: -len(pair[0]))


def _written(old: str, new: str) -> Iterator[tuple[str, str]]:
    for name in (old, *_in_home(old)):
        ascii_only = json.dumps(name)[1:-1]
        upper = re.sub(r"(?<=\\u)[0-9a-f]{4}", lambda digits: digits[0].upper(), ascii_only)
        for text in (name, ascii_only, upper, json.dumps(name, ensure_ascii=False)[1:-1]):
            yield text, new
            yield text.replace("/", "\\/"), new.replace("/", "\\/")
        yield escape(name), new
        yield name.replace(" ", "\\ "), new
    yield quote(os.fsencode(old)), new
    whole = quote(os.fsencode(old), safe="")
    yield whole, quote(new, safe="")
    yield re.sub("%[0-9A-F]{2}", lambda digits: digits[0].lower(), whole), quote(new, safe="").lower()


def _in_home(path: str) -> Iterator[str]:
    """Yields the spellings of a path that begin at the home folder, as shells read them."""
    home = str(home_folder())
    for above in dict.fromkeys((home, os.path.realpath(home))):
        if path.startswith(f"{above}/") and above != "/":
            for start in ("~", "$HOME", "${HOME}", f"~{os.path.basename(home)}"):
                yield start + path.removeprefix(above)
