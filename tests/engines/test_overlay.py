"""The overlay has all files of an environment that belong to no package, adapted to the image, and nothing else."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from jupyter_condabuild.conda.prefix.snapshot import snapshot
from jupyter_condabuild.engines.layers import overlay as overlay_module
from jupyter_condabuild.errors import OverlayTooLarge, PrefixError
from jupyter_condabuild.oci.layer import EPOCH
from tests.parts.overlays import Collected
from tests.parts.small_prefix import SITE, SmallPrefix

PYTHON = Path(sys.executable)


@pytest.fixture
def prefix(tmp_path: Path) -> SmallPrefix:
    """Python and a package."""
    made = SmallPrefix(tmp_path / "root/envs/demo")
    made.python()
    made.add("tool", files={"share/tool/a.txt": b"a\n", "share/tool/b.txt": b"b\n", f"{SITE}/tool.py": b"A = 1\n"})
    return made


def test_an_environment_of_only_packages_has_no_overlay(
    prefix: SmallPrefix, collected: Callable[..., Collected]
) -> None:
    """Python's bytecode and conda's own files do not count."""
    prefix.write(f"{SITE}/__pycache__/tool.cpython-311.pyc", b"x")
    prefix.history("# cmd: conda create")
    assert collected(prefix).files == set()


def test_changed_and_untracked_files_are_in_the_overlay(
    prefix: SmallPrefix, collected: Callable[..., Collected]
) -> None:
    """Executable files stay executable, and links stay links."""
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


def test_a_deleted_file_has_a_whiteout(prefix: SmallPrefix, collected: Callable[..., Collected]) -> None:
    """The package's layer has the file, but the environment does not."""
    (prefix.path / "share/tool/b.txt").unlink()
    found = collected(prefix)
    assert [(entry.path, entry.kind) for entry in found.overlay.entries] == [("opt/env/share/tool/b.txt", "whiteout")]


def test_a_deleted_folder_has_one_whiteout(prefix: SmallPrefix, collected: Callable[..., Collected]) -> None:
    """Otherwise its bytecode would stay, and Python would find the folder as a package."""
    prefix.add("gone", files={f"{SITE}/gone/a.py": b"", f"{SITE}/gone/sub/b.py": b"", "share/gone/c": b""})
    shutil.rmtree(prefix.path / SITE / "gone")
    shutil.rmtree(prefix.path / "share/gone")
    found = collected(prefix)
    assert found.files == {f"{SITE}/gone", "share/gone"}
    assert {entry.kind for entry in found.overlay.entries} == {"whiteout"}


def test_the_prefix_is_rewritten_in_text_and_binaries(prefix: SmallPrefix, collected: Callable[..., Collected]) -> None:
    """The prefix is also rewritten in URLs."""
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


def test_the_prefix_is_rewritten_in_the_escapes_of_json(tmp_path: Path, collected: Callable[..., Collected]) -> None:
    """A kernelspec in the environment may have ``\\/`` for a slash, and ``\\u00e9`` or ``\\u00E9`` for a letter."""
    prefix = SmallPrefix(tmp_path / "jos\u00e9/demo")
    prefix.python()
    argv = [f"{prefix.path}/bin/python", "-m", "ipykernel"]
    texts = [json.dumps({"argv": argv}), json.dumps({"argv": argv}, ensure_ascii=False)]
    texts.append(texts[0].replace("u00e9", "u00E9"))
    texts += [text.replace("/", "\\/") for text in texts]
    for number, text in enumerate(texts):
        prefix.write(f"share/jupyter/kernels/{number}/kernel.json", text.encode())
    found = collected(prefix)
    for number in range(len(texts)):
        said = json.loads(found.text(f"share/jupyter/kernels/{number}/kernel.json"))
        assert said["argv"] == ["/opt/env/bin/python", "-m", "ipykernel"]


def test_a_package_without_an_archive_is_copied(prefix: SmallPrefix, collected: Callable[..., Collected]) -> None:
    """Its files are copied unchanged, and its record is copied without data of this machine."""
    record = prefix.path / "conda-meta/tool-1.0-0.json"
    value = json.loads(record.read_bytes())
    value |= {"link": {"source": "/root/pkgs", "type": 1}, "url": "https://u:pw@lab.org/t/tk-1/x/tool-1.0-0.conda"}
    record.write_text(json.dumps(value))
    found = collected(prefix, "tool")
    assert found.files == {"share/tool/a.txt", "share/tool/b.txt", f"{SITE}/tool.py", "conda-meta/tool-1.0-0.json"}
    said = json.loads(found.text("conda-meta/tool-1.0-0.json"))
    assert said["url"] == "https://lab.org/x/tool-1.0-0.conda"
    assert not {"link", "extracted_package_dir"} & said.keys()


def test_a_pip_package_is_in_the_overlay(prefix: SmallPrefix, collected: Callable[..., Collected]) -> None:
    """All files in RECORD are included: modules with new bytecode, and scripts that run the image's Python."""
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


def test_bytecode_of_lower_layers_is_not_used_for_changed_modules(
    prefix: SmallPrefix, collected: Callable[..., Collected]
) -> None:
    """A module that was changed to the same size has another time, even if it cannot be compiled."""
    prefix.write(f"{SITE}/tool.py", b"A = (\n")
    found = collected(prefix)
    assert found[f"{SITE}/tool.py"].mtime != EPOCH
    assert not any(path.endswith(".pyc") for path in found.entries)


def test_new_bytecode_contains_the_time_of_its_source(prefix: SmallPrefix, collected: Callable[..., Collected]) -> None:
    """Otherwise Python would not use the bytecode."""
    prefix.write(f"{SITE}/tool.py", b"A = 2\n")
    found = collected(prefix)
    (pyc,) = (entry for path, entry in found.entries.items() if path.endswith(".pyc"))
    header = Path(pyc.source).read_bytes()[:16]
    assert int.from_bytes(header[8:12], "little") == found[f"{SITE}/tool.py"].mtime


def test_without_a_running_python_only_the_bytecode_is_missing(
    prefix: SmallPrefix, collected: Callable[..., Collected], tmp_path: Path
) -> None:
    """The environment can be for another machine, or damaged."""
    prefix.write(f"{SITE}/tool.py", b"A = 2\n")
    (tmp_path / "broken").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "broken").chmod(0o755)
    for python in (None, tmp_path / "broken", tmp_path / "nowhere"):
        assert set(collected(prefix, python=python).entries) == {f"{SITE}/tool.py"}


@pytest.mark.parametrize("layout", ["flat", "src"])
def test_an_editable_install_includes_its_source(
    prefix: SmallPrefix, collected: Callable[..., Collected], tmp_path: Path, layout: str
) -> None:
    """The source is in /opt/src, and the path file points there.

    Caches, version control and environments are left out.
    """
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


def test_a_too_large_overlay_is_refused_with_its_largest_folders(
    prefix: SmallPrefix, collected: Callable[..., Collected]
) -> None:
    """Such an overlay is usually data in an environment. Packages of pip do not count."""
    prefix.write("share/models/big.bin", b"x" * 3_000_000)
    prefix.write("share/small.bin", b"x" * 1000)
    prefix.pip("mine", files={f"{SITE}/mine.bin": b"x" * 5_000_000})
    with pytest.raises(OverlayTooLarge, match=r"have 3 MB.*share 3 MB, share/models 3 MB"):
        collected(prefix, limit=2_000_000)
    assert collected(prefix, limit=4_000_000).overlay.extra_bytes == 3_001_000


def test_pinned_and_frozen_are_kept_and_the_state_is_not(
    prefix: SmallPrefix, collected: Callable[..., Collected]
) -> None:
    """conda in the image needs the first two files. The variables in the state are secrets."""
    meta = prefix.path / "conda-meta"
    (meta / "pinned").write_text("numpy 1.*\n https://u:pw@lab.org/t/tk-1/x::tool\n")
    (meta / "frozen").write_text("{}")
    (meta / "state").write_text('{"env_vars": {"TOKEN": "canary"}}')
    found = collected(prefix)
    assert found.files == {"conda-meta/pinned", "conda-meta/frozen"}
    assert found.text("conda-meta/pinned") == "numpy 1.*\n https://lab.org/x::tool\n"


@pytest.mark.parametrize("path", [".condarc", "pip.conf", f"{SITE}/mine-1.0.dist-info/direct_url.json"])
def test_logins_are_removed_from_files(prefix: SmallPrefix, collected: Callable[..., Collected], path: str) -> None:
    """Settings of conda and pip, and the origin of pip packages, contain no login.

    The other text in them does not change.
    """
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
def test_the_folder_of_a_local_file_is_removed(
    prefix: SmallPrefix, collected: Callable[..., Collected], url: str, expected: str
) -> None:
    """Only its name is kept, as in the lock file."""
    prefix.pip("mine", direct_url={"url": url, "archive_info": {}})
    found = collected(prefix).text(f"{SITE}/mine-1.0.dist-info/direct_url.json")
    assert json.loads(found) == {"url": expected, "archive_info": {}}


def test_a_pipe_is_left_out_and_a_folder_is_included(prefix: SmallPrefix, collected: Callable[..., Collected]) -> None:
    """A package's file that is a folder in the environment is a folder in the image."""
    os.mkfifo(prefix.path / "share/pipe")
    (prefix.path / "share/tool/a.txt").unlink()
    prefix.write("share/tool/a.txt/inner", b"x")
    found = collected(prefix)
    assert found.files == {"share/tool/a.txt", "share/tool/a.txt/inner"}
    assert found["share/tool/a.txt"].kind == "directory"


def test_odd_names_are_included(prefix: SmallPrefix, collected: Callable[..., Collected]) -> None:
    """Names with newlines, with bytes that are not text, and with the form of options are included."""
    names = {"share/new\nline", "share/caf\udce9", "share/-rf", "share/ "}
    for name in names:
        prefix.write(name, b"x")
    assert collected(prefix).files == names


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_an_unreadable_file_is_an_error(collected: Callable[..., Collected]) -> None:
    """The error names the file."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        prefix = SmallPrefix(Path(folder, "env"))
        prefix.python()
        prefix.write("share/private", b"x").chmod(0o640)
        os.setegid(12345)
        os.seteuid(12345)
        try:
            with pytest.raises(PrefixError, match="share/private cannot be read"):
                collected(prefix, python=None, work=Path(folder, "work"))
        finally:
            os.seteuid(0)
            os.setegid(0)


def test_a_fingerprint_changes_with_the_files(prefix: SmallPrefix, collected: Callable[..., Collected]) -> None:
    """The same files have the same fingerprint, even after rewriting and compiling.

    Other files have another fingerprint.
    """
    prefix.write("bin/script", b"#!" + os.fsencode(prefix.path) + b"/bin/python\n")
    prefix.write(f"{SITE}/mine.py", b"C = 3\n")
    first = collected(prefix).overlay.fingerprint
    assert collected(prefix).overlay.fingerprint == first
    prefix.write("bin/script", b"#!" + os.fsencode(prefix.path) + b"/bin/pythoN\n")
    second = collected(prefix).overlay.fingerprint
    assert second != first
    (prefix.path / "share/tool/b.txt").unlink()
    assert collected(prefix).overlay.fingerprint not in (first, second)


def test_an_overlay_does_not_depend_on_the_time(prefix: SmallPrefix, collected: Callable[..., Collected]) -> None:
    """The same files give the same entries at any time."""
    prefix.write("share/x", b"x")
    assert collected(prefix)["share/x"].mtime == overlay_module._MTIME


def test_a_file_outside_of_the_environment_is_not_copied(
    prefix: SmallPrefix, collected: Callable[..., Collected], tmp_path: Path
) -> None:
    """A package lists the file behind a link to the user's files."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home/config.json").write_text("a login")
    (prefix.path / "share/d").symlink_to(tmp_path / "home")
    prefix.add("evil", files={"share/d/config.json": b"of the package"})
    (tmp_path / "home/config.json").write_text("a login")
    with pytest.raises(PrefixError, match=r"share/d/config\.json is outside"):
        collected(prefix)


def test_a_file_behind_a_link_inside_of_the_environment_is_copied(
    prefix: SmallPrefix, collected: Callable[..., Collected]
) -> None:
    """An example is lib64."""
    (prefix.path / "lib64").symlink_to("lib")
    prefix.add("other", files={"lib64/other.so": b"of the package"})
    prefix.write("lib/other.so", b"changed")
    found = collected(prefix)
    assert found.text("lib/other.so") == "changed"
    assert found["lib64"].kind == "symlink"
    assert "lib64/other.so" not in found.files


def test_settings_that_are_links_are_not_read(
    prefix: SmallPrefix, collected: Callable[..., Collected], tmp_path: Path
) -> None:
    """A package can have a link to the user's files. A pipe would block the build."""
    (tmp_path / "secret").write_text("a login")
    (prefix.path / "conda-meta/pinned").symlink_to(tmp_path / "secret")
    os.mkfifo(prefix.path / "conda-meta/frozen")
    os.mkfifo(prefix.path / "x.pyc")
    assert snapshot(prefix.path).pinned == ()
    assert collected(prefix).files == set()


def test_a_relative_link_out_of_the_environment_keeps_its_place(
    prefix: SmallPrefix, collected: Callable[..., Collected], tmp_path: Path
) -> None:
    """From /opt/env, the relative path would lead to another folder. A link to an editable source leads to its copy."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "mine.py").write_text("")
    prefix.pip("mine", direct_url={"url": source.as_uri(), "dir_info": {"editable": True}})
    share = prefix.path / "share/tool"
    for name, target in (("data", tmp_path / "data"), ("mine", source), ("inside", share / "a.txt")):
        (share / name).symlink_to(os.path.relpath(target, share))
    found = collected(prefix)
    targets = {name: found[f"share/tool/{name}"].target for name in ("data", "mine", "inside")}
    assert targets == {"data": str(tmp_path / "data"), "mine": "/opt/src/mine", "inside": "a.txt"}


def test_a_link_in_the_place_of_a_package_is_not_in_the_overlay(
    prefix: SmallPrefix, collected: Callable[..., Collected], tmp_path: Path
) -> None:
    """In the image, such a link would hide the files of the package, which are in a lower layer."""
    (prefix.path / "share/tool").rename(tmp_path / "moved")
    (prefix.path / "share/tool").symlink_to(tmp_path / "moved")
    assert "share/tool" not in collected(prefix).files
