"""httpx without its command line program, whose imports (rich, click, pygments) take longer than all else of a build
that changes nothing."""

import sys

sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]  # what is not installed is None there, too

import httpx  # noqa: E402

if sys.modules["httpx._main"] is None:
    del sys.modules["httpx._main"]

__all__ = ["httpx"]
