"""A conda channel in a folder: named sets of packages, which are made again only if their inputs change."""

from __future__ import annotations

import asyncio
import fcntl
import re
import threading
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import get_context
from pathlib import Path
from typing import Protocol

import rattler.index

from tests.parts.channel import python, special, wheels
from tests.parts.channel.package import Metadata


class Recipe(Protocol):
    """An object that can be made into a package. Its `key` changes if the package changes."""

    @property
    def metadata(self) -> Metadata: ...
    @property
    def key(self) -> str: ...
    def make(self, folder: Path) -> Path: ...


@dataclass(frozen=True)
class Set:
    """A named set: the requirements for PyPI, and the specs of a prefix with the set."""

    requirements: tuple[str, ...]
    specs: tuple[str, ...]
    special: bool = False


SETS = {
    "tiny": Set(("requests", "tqdm", "pip"), ("python", "requests", "tqdm"), special=True),
    "kernel": Set(("ipykernel",), ("python", "ipykernel")),
    "demo": Set(
        ("numpy", "pandas", "requests", "ipykernel", "jupyterlab", "pip"),
        ("python", "numpy", "pandas", "requests", "ipykernel", "jupyterlab", "pip"),
    ),
    "bench": Set(
        ("numpy", "pandas", "scipy", "scikit-learn", "matplotlib", "pyarrow", "numba", "statsmodels", "bokeh", "sympy",
         "networkx", "dask", "h5py", "pillow", "lxml", "cryptography", "jupyter_client", "requests", "tqdm"),
        ("python", "numpy", "pandas", "scipy", "scikit-learn", "matplotlib", "pyarrow", "numba", "statsmodels", "bokeh",
         "sympy", "networkx", "dask", "h5py", "pillow", "lxml", "cryptography", "jupyter_client", "requests", "tqdm"),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Channel:
    """A folder that conda clients can use, by its `file://` URL or by HTTP."""

    folder: Path

    @property
    def url(self) -> str:
        return self.folder.as_uri()

    @property
    def archives(self) -> list[Path]:
        """The packages, sorted."""
        return sorted(self.folder.glob("*/*.conda"))


def build(out: Path, names: Collection[str], wheel_cache: Path | None = None) -> Channel:
    """Makes the channel in `out` contain the named sets. Packages that exist are kept."""
    base = python.packages()
    recipes: list[Recipe] = [*base]
    for name in [names] if isinstance(names, str) else sorted(names):
        files = wheels.download(SETS[name].requirements, wheel_cache or out.parent / "wheels")
        recipes += wheels.packages(files, {recipe.metadata.name for recipe in base})
        if SETS[name].special:
            recipes += special.packages()
    return add(Channel(out.absolute()), recipes)


def add(channel: Channel, recipes: Iterable[Recipe]) -> Channel:
    """Makes the missing and changed packages with two processes, and writes the index of the channel."""
    recipes = list(recipes)
    for subdir in {"linux-64", "noarch", *(recipe.metadata.subdir for recipe in recipes)}:
        (channel.folder / subdir).mkdir(parents=True, exist_ok=True)
    with _locked(channel.folder):
        wanted = {(recipe.metadata.subdir, recipe.metadata.stem): recipe for recipe in recipes}
        missing = {stem: recipe for stem, recipe in wanted.items() if not _made(channel, recipe)}
        with ProcessPoolExecutor(2, get_context("spawn")) as pool:
            largest_first = sorted(missing.values(), key=_weight, reverse=True)
            for _ in pool.map(partial(_make, channel), largest_first):
                pass
        if missing or not (channel.folder / "noarch" / "repodata.json").exists():
            asyncio.run(index(channel))
    return channel


class Ranges(SimpleHTTPRequestHandler):
    """A handler that sends parts of files on request (RFC 9110, 14.2), as every real channel does."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        path = Path(self.translate_path(self.path))
        if not wanted or not path.is_file():
            super().do_GET()
            return
        size = path.stat().st_size
        start = int(wanted[1]) if wanted[1] else max(0, size - int(wanted[2]))
        end = min(int(wanted[2]) + 1, size) if wanted[1] and wanted[2] else size
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
        self.send_header("Content-Length", str(end - start))
        self.end_headers()
        with path.open("rb") as file:
            file.seek(start)
            self.wfile.write(file.read(end - start))


@contextmanager
def serve(channel: Channel, port: int = 0, seen: list[str] | None = None) -> Iterator[str]:
    """Serves the channel on loopback. Yields the URL, and records the paths of requests in `seen`."""

    class Handler(Ranges):
        def log_message(self, *_: object) -> None:
            if seen is not None:
                seen.append(self.path)

    handler = partial(Handler, directory=str(channel.folder))
    with ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def _make(channel: Channel, recipe: Recipe) -> None:
    recipe.make(channel.folder / recipe.metadata.subdir)
    note = _note(channel, recipe)
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text(_digest(recipe))


def _made(channel: Channel, recipe: Recipe) -> bool:
    metadata = recipe.metadata
    note = _note(channel, recipe)
    archive = channel.folder / metadata.subdir / f"{metadata.stem}.conda"
    return archive.exists() and note.exists() and note.read_text() == _digest(recipe)


def _note(channel: Channel, recipe: Recipe) -> Path:
    metadata = recipe.metadata
    folder = channel.folder / ".made"
    return (folder if metadata.subdir in ("linux-64", "noarch") else folder / metadata.subdir) / metadata.stem


def _digest(recipe: Recipe) -> str:
    return sha256(recipe.key.encode()).hexdigest()


def _weight(recipe: Recipe) -> int:
    return recipe.wheel.stat().st_size if isinstance(recipe, wheels.WheelPackage) else 1 << 40


async def index(channel: Channel) -> None:
    await rattler.index.index_fs(
        channel.folder, write_shards=False, force=True
    )  # otherwise a package that is made again keeps its old entry


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Locks the channel, because two test runs can share one cached channel."""
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
