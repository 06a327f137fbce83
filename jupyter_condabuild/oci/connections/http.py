"""Imports httpx without its command line program.

The imports of that program (rich, click, pygments) take longer than the rest of a build that changes nothing.
"""

import sys

sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]  # None: the import fails, as if not installed

import httpx  # noqa: E402

if sys.modules["httpx._main"] is None:
    del sys.modules["httpx._main"]

__all__ = ["httpx"]
