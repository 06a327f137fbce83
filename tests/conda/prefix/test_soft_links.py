"""Files that conda links from the package cache are no drift, and each change of them is."""

from __future__ import annotations

from pathlib import Path

from jupyter_condabuild.conda.prefix.drift import DriftEntry, drift
from jupyter_condabuild.conda.prefix.snapshot import snapshot
from tests.parts.channel import prefix as prefixes
from tests.parts.small_prefix import SmallPrefix


def paths(entries: tuple[DriftEntry, ...]) -> list[str]:
    return [entry.path for entry in entries]


def test_a_prefix_of_links_has_no_drift(tmp_path: Path, channel_url: str) -> None:
    """With always_softlink, conda links files of the package cache, but copies executables. Its record says "softlink".

    Changes are found: of a copy, of a link, and of the file in the package cache.
    """
    specs = ["python", "tqdm", "greet", "textprefix", "templated"]
    pkgs = tmp_path / "pkgs"
    prefix = prefixes.conda_made(tmp_path / "envs/x", pkgs, specs, channel_url, always_softlink=True)
    module = next(prefix.glob("lib/python3*/site-packages/tqdm/std.py"))
    program = next(path for path in (prefix / "bin").glob("python3.*") if not path.is_symlink())
    assert module.is_symlink()
    first = drift(snapshot(prefix))
    assert not first
    assert not drift(snapshot(prefix), trust_cache=False)
    cached = module.readlink()
    with program.open("r+b") as file:
        file.write(b"changed")
    module.unlink()
    module.symlink_to(cached.with_name("gui.py"))
    other = next(prefix.glob("lib/python3*/site-packages/tqdm/utils.py"))
    other.write_text("changed in the package cache\n")
    expected = sorted(str(path.relative_to(prefix)) for path in (program, module, other))
    assert paths(drift(snapshot(prefix)).modified) == expected
    assert paths(drift(snapshot(prefix), verified=first.verified).modified) == expected


def test_links_from_another_disk_are_no_drift(tmp_path: Path) -> None:
    """With conda's allow_softlinks, files are links into the package cache. A link to another place is drift."""
    small = SmallPrefix(tmp_path / "demo")
    small.add("data", files={"share/a": b"a", "share/b": b"b"})
    for name in ("a", "b"):
        (small.path / "share" / name).unlink()
    (small.path / "share/a").symlink_to(small.pkgs / "data-1.0-0/share/a")
    (small.path / "share/b").symlink_to("/etc/hostname")
    assert paths(drift(snapshot(small.path)).modified) == ["share/b"]
