"""The overlay: whatever an environment has beyond its packages, as it must read in the image, and nothing else."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from jupyter_condabuild.conda.prefix.drift import drift
from jupyter_condabuild.conda.prefix.snapshot import snapshot
from jupyter_condabuild.engines.layers import overlay as overlay_module
from jupyter_condabuild.engines.layers.overlay import Overlay, collect
from jupyter_condabuild.errors import OverlayTooLarge, PrefixError
from jupyter_condabuild.oci.layer import EPOCH, Entry
from tests.parts.small_prefix import SITE, SmallPrefix

PYTHON = Path(sys.executable)


@pytest.fixture
def prefix(tmp_path: Path) -> SmallPrefix:
    """Python and a package."""
    made = SmallPrefix(tmp_path / "root/envs/demo")
    made.python()
    made.add("tool", files={"share/tool/a.txt": b"a\n", "share/tool/b.txt": b"b\n", f"{SITE}/tool.py": b"A = 1\n"})
    return made


class Collected:
    """An overlay's entries by their path below /opt/env."""

    def __init__(self, overlay: Overlay) -> None:
        self.overlay = overlay
        self.entries = {entry.path.removeprefix("opt/env/"): entry for entry in overlay.entries}

    def __getitem__(self, path: str) -> Entry:
        return self.entries[path]

    def text(self, path: str) -> str:
        entry = self.entries[path]
        return (Path(entry.source).read_bytes() if entry.source else entry.data).decode("utf-8", "surrogateescape")

    @property
    def files(self) -> set[str]:
        """Paths but for bytecode."""
        return {path for path in self.entries if not path.endswith(".pyc")}


@pytest.fixture
def collected(tmp_path: Path) -> Callable[..., Collected]:
    """Collects the overlay of a prefix."""
    number = iter(range(100))

    def collect_of(
        prefix: SmallPrefix,
        *taken: str,
        limit: int = 1 << 20,
        python: Path | None = PYTHON,
        work: Path | None = None,
    ) -> Collected:
        environment = snapshot(prefix.path)
        records = [record for record in environment.records if record.name in taken]
        folder = work or tmp_path / f"work-{next(number)}"
        return Collected(collect(environment, drift(environment), records, python=python, work=folder, limit=limit))

    return collect_of


def test_an_environment_of_packages_alone_has_none(prefix: SmallPrefix, collected: Callable[..., Collected]) -> None:
    """Bytecode that Python wrote, and conda's own notes, are nothing."""
    prefix.write(f"{SITE}/__pycache__/tool.cpython-311.pyc", b"x")
    prefix.history("# cmd: conda create")
    assert collected(prefix).files == set()


def test_changed_and_untracked_files_are_taken(prefix: SmallPrefix, collected: Callable[..., Collected]) -> None:
    """With their x bit, and links as links."""
    prefix.write("share/tool/a.txt", b"changed\n")
    prefix.write("bin/mine", b"#!/bin/sh\n").chmod(0o750)
    (prefix.path / "bin/link").symlink_to("mine")
    (prefix.path / "etc").mkdir()
    (prefix.path / "etc/abs").symlink_to(prefix.path / "share/tool")
    found = collected(prefix)
    assert found.files == {"share/tool/a.txt", "bin/mine", "bin/link", "etc/abs"}
    assert found.text("share/tool/a.txt") == "changed\n"
    assert (found["bin/mine"].mode, found["share/tool/a.txt"].mode) == (0o755, 0o644)
    assert (found["bin/link"].target, found["etc/abs"].target) == ("mine", "/opt/env/share/tool")


def test_what_is_gone_is_whited_out(prefix: SmallPrefix, collected: Callable[..., Collected]) -> None:
    """The package's layer has it, the environment has not."""
    (prefix.path / "share/tool/b.txt").unlink()
    found = collected(prefix)
    assert [(entry.path, entry.kind) for entry in found.overlay.entries] == [("opt/env/share/tool/b.txt", "whiteout")]


def test_a_folder_that_is_gone_is_whited_out_whole(prefix: SmallPrefix, collected: Callable[..., Collected]) -> None:
    """Or its bytecode would stay, and Python would take the folder for a package."""
    prefix.add("gone", files={f"{SITE}/gone/a.py": b"", f"{SITE}/gone/sub/b.py": b"", "share/gone/c": b""})
    shutil.rmtree(prefix.path / SITE / "gone")
    shutil.rmtree(prefix.path / "share/gone")
    found = collected(prefix)
    assert found.files == {f"{SITE}/gone", "share/gone"}
    assert {entry.kind for entry in found.overlay.entries} == {"whiteout"}


def test_the_prefix_is_rewritten_in_text_and_binaries(prefix: SmallPrefix, collected: Callable[..., Collected]) -> None:
    """In URLs as well."""
    here = os.fsencode(prefix.path)
    prefix.write("bin/script", b"#!" + here + b"/bin/python\n")
    prefix.write("lib/mine.so", b"\x7fELF\0" + here + b"/lib\0tail")
    prefix.write("share/url", b"file://" + here + b"/x")
    found = collected(prefix)
    assert found.text("bin/script") == "#!/opt/env/bin/python\n"
    assert found.text("share/url") == "file:///opt/env/x"
    binary = found.text("lib/mine.so")
    assert binary.startswith("\x7fELF\0/opt/env/lib\0")
    assert len(binary) == len(b"\x7fELF\0" + here + b"/lib\0tail")


def test_a_package_without_an_archive_is_taken_whole(prefix: SmallPrefix, collected: Callable[..., Collected]) -> None:
    """Its files as they lie there, and its record without anything of this machine."""
    record = prefix.path / "conda-meta/tool-1.0-0.json"
    value = json.loads(record.read_bytes())
    value |= {"link": {"source": "/root/pkgs", "type": 1}, "url": "https://u:pw@lab.org/t/tk-1/x/tool-1.0-0.conda"}
    record.write_text(json.dumps(value))
    found = collected(prefix, "tool")
    assert found.files == {"share/tool/a.txt", "share/tool/b.txt", f"{SITE}/tool.py", "conda-meta/tool-1.0-0.json"}
    said = json.loads(found.text("conda-meta/tool-1.0-0.json"))
    assert said["url"] == "https://lab.org/x/tool-1.0-0.conda"
    assert not {"link", "extracted_package_dir"} & said.keys()


def test_a_pip_package_is_taken(prefix: SmallPrefix, collected: Callable[..., Collected]) -> None:
    """All that RECORD lists, modules with new bytecode, and scripts that run the image's Python."""
    prefix.pip(
        "mine",
        files={f"{SITE}/mine/__init__.py": b"B = 2\n", "bin/mine": b"#!%s/bin/python\n" % os.fsencode(prefix.path)},
    )
    prefix.write(f"{SITE}/mine/__pycache__/__init__.cpython-311.pyc", b"stale")
    found = collected(prefix)
    info = f"{SITE}/mine-1.0.dist-info"
    assert found.files == {f"{SITE}/mine/__init__.py", "bin/mine"} | {
        f"{info}/{n}" for n in ("METADATA", "INSTALLER", "RECORD")
    }
    assert found.text("bin/mine") == "#!/opt/env/bin/python\n"
    (pyc,) = (path for path in found.entries if path.endswith(".pyc"))
    assert pyc.startswith(f"{SITE}/mine/__pycache__/__init__.")
    assert Path(found[pyc].source).read_bytes() != b"stale"


def test_bytecode_of_packages_below_is_not_taken_for_the_overlays(
    prefix: SmallPrefix, collected: Callable[..., Collected]
) -> None:
    """A module changed to another of the same size, even one that does not compile, has another time."""
    prefix.write(f"{SITE}/tool.py", b"A = (\n")
    found = collected(prefix)
    assert found[f"{SITE}/tool.py"].mtime != EPOCH
    assert not any(path.endswith(".pyc") for path in found.entries)


def test_new_bytecode_names_the_time_of_its_source(prefix: SmallPrefix, collected: Callable[..., Collected]) -> None:
    """Or Python would not use it."""
    prefix.write(f"{SITE}/tool.py", b"A = 2\n")
    found = collected(prefix)
    (pyc,) = (entry for path, entry in found.entries.items() if path.endswith(".pyc"))
    header = Path(pyc.source).read_bytes()[:16]
    assert int.from_bytes(header[8:12], "little") == found[f"{SITE}/tool.py"].mtime


def test_a_python_that_does_not_run_costs_the_bytecode_only(
    prefix: SmallPrefix, collected: Callable[..., Collected], tmp_path: Path
) -> None:
    """The environment may be for another machine, or broken."""
    prefix.write(f"{SITE}/tool.py", b"A = 2\n")
    (tmp_path / "broken").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "broken").chmod(0o755)
    for python in (None, tmp_path / "broken", tmp_path / "nowhere"):
        assert set(collected(prefix, python=python).entries) == {f"{SITE}/tool.py"}


@pytest.mark.parametrize("layout", ["flat", "src"])
def test_an_editable_install_comes_with_its_source(
    prefix: SmallPrefix, collected: Callable[..., Collected], tmp_path: Path, layout: str
) -> None:
    """At /opt/src, where its path file then leads; without caches, version control and environments."""
    project = tmp_path / "my project"
    code = project / ("src/mine" if layout == "src" else "mine")
    for path in (
        code / "__init__.py",
        project / ".git/config",
        project / "env/conda-meta/history",
        project / "v/pyvenv.cfg",
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x = 1\n")
    for path in (code / "__pycache__/__init__.pyc", project / "env/lib/large", project / "v/bin/python"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 1000)
    prefix.pip(
        "mine",
        files={f"{SITE}/__editable__.mine.pth": f"{code.parent}\n".encode()},
        direct_url={"url": project.as_uri(), "dir_info": {"editable": True}},
    )
    found = collected(prefix)
    sources = {entry.path for entry in found.overlay.entries if entry.path.startswith("opt/src/")}
    inner = code.relative_to(project)
    assert sources == {f"opt/src/mine/{inner}/__init__.py"}
    assert found.text(f"{SITE}/__editable__.mine.pth") == f"/opt/src/mine{'/src' if layout == 'src' else ''}\n"
    assert json.loads(found.text(f"{SITE}/mine-1.0.dist-info/direct_url.json"))["url"] == "file:///opt/src/mine"


def test_too_much_is_refused_and_the_largest_folders_are_named(
    prefix: SmallPrefix, collected: Callable[..., Collected]
) -> None:
    """Data in an environment, usually; packages of pip do not count."""
    prefix.write("share/models/big.bin", b"x" * 3_000_000)
    prefix.write("share/small.bin", b"x" * 1000)
    prefix.pip("mine", files={f"{SITE}/mine.bin": b"x" * 5_000_000})
    with pytest.raises(OverlayTooLarge, match=r"have 3 MB.*share 3 MB, share/models 3 MB"):
        collected(prefix, limit=2_000_000)
    assert collected(prefix, limit=4_000_000).overlay.extra_bytes == 3_001_000


def test_pinned_and_frozen_stay_and_state_does_not(prefix: SmallPrefix, collected: Callable[..., Collected]) -> None:
    """conda in the image obeys them; variables are secrets."""
    meta = prefix.path / "conda-meta"
    (meta / "pinned").write_text("numpy 1.*\n https://u:pw@lab.org/t/tk-1/x::tool\n")
    (meta / "frozen").write_text("{}")
    (meta / "state").write_text('{"env_vars": {"TOKEN": "canary"}}')
    found = collected(prefix)
    assert found.files == {"conda-meta/pinned", "conda-meta/frozen"}
    assert found.text("conda-meta/pinned") == "numpy 1.*\n https://lab.org/x::tool\n"


@pytest.mark.parametrize("path", [".condarc", "pip.conf", f"{SITE}/mine-1.0.dist-info/direct_url.json"])
def test_files_that_hold_logins_lose_them(prefix: SmallPrefix, collected: Callable[..., Collected], path: str) -> None:
    """Settings of conda and pip, and where pip took a package from; all else in them stays."""
    url = "https://user:canary@lab.org/t/tk-canary/simple?token=canary"
    text = json.dumps({"url": url, "archive_info": {}}) if path.endswith(".json") else f"# mine\nindex-url = {url}\n"
    prefix.write(path, text.encode())
    found = collected(prefix)
    assert "canary" not in found.text(path)
    assert found.text(path) == text.replace("user:canary@", "").replace("/t/tk-canary", "").replace("?token=canary", "")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("file:///home/me/wheels/mine-1.0-py3-none-any.whl", "file:///mine-1.0-py3-none-any.whl"),
        ("file:///home/me/mine/", "file:///mine"),
        ("https://lab.org/mine-1.0.whl", "https://lab.org/mine-1.0.whl"),
    ],
)
def test_where_a_local_file_lay_is_not_told(
    prefix: SmallPrefix, collected: Callable[..., Collected], url: str, expected: str
) -> None:
    """Its name is enough, as in the lock file."""
    prefix.pip("mine", direct_url={"url": url, "archive_info": {}})
    found = collected(prefix).text(f"{SITE}/mine-1.0.dist-info/direct_url.json")
    assert json.loads(found) == {"url": expected, "archive_info": {}}


def test_a_pipe_is_left_out_and_a_folder_taken(prefix: SmallPrefix, collected: Callable[..., Collected]) -> None:
    """A file that became a folder is one in the image."""
    os.mkfifo(prefix.path / "share/pipe")
    (prefix.path / "share/tool/a.txt").unlink()
    prefix.write("share/tool/a.txt/inner", b"x")
    found = collected(prefix)
    assert found.files == {"share/tool/a.txt", "share/tool/a.txt/inner"}
    assert found["share/tool/a.txt"].kind == "directory"


def test_odd_names_are_taken(prefix: SmallPrefix, collected: Callable[..., Collected]) -> None:
    """Newlines, bytes that are no text, and names that look like options."""
    names = {"share/new\nline", "share/caf\udce9", "share/-rf", "share/ "}
    for name in names:
        prefix.write(name, b"x")
    assert collected(prefix).files == names


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_a_file_that_cannot_be_read_is_named(collected: Callable[..., Collected]) -> None:
    """It is not left out in silence."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        prefix = SmallPrefix(Path(folder, "env"))
        prefix.python()
        prefix.write("share/private", b"x").chmod(0o600)
        os.setegid(12345)
        os.seteuid(12345)
        try:
            with pytest.raises(PrefixError, match="share/private cannot be read"):
                collected(prefix, python=None, work=Path(folder, "work"))
        finally:
            os.seteuid(0)
            os.setegid(0)


def test_a_fingerprint_follows_the_files(prefix: SmallPrefix, collected: Callable[..., Collected]) -> None:
    """The same as long as nothing changes, whatever was rewritten or compiled on the way; then another."""
    prefix.write("bin/script", b"#!" + os.fsencode(prefix.path) + b"/bin/python\n")
    prefix.write(f"{SITE}/mine.py", b"C = 3\n")
    first = collected(prefix).overlay.fingerprint
    assert collected(prefix).overlay.fingerprint == first
    prefix.write("bin/script", b"#!" + os.fsencode(prefix.path) + b"/bin/pythoN\n")
    second = collected(prefix).overlay.fingerprint
    assert second != first
    (prefix.path / "share/tool/b.txt").unlink()
    assert collected(prefix).overlay.fingerprint not in (first, second)


def test_an_overlay_has_no_time_of_its_own(prefix: SmallPrefix, collected: Callable[..., Collected]) -> None:
    """The same files give the same entries, whenever they were written."""
    prefix.write("share/x", b"x")
    assert collected(prefix)["share/x"].mtime == overlay_module._MTIME
