"""The files of the overlay have the paths of the image, and everything made from them is made from these files."""

from __future__ import annotations

import functools
import json
import marshal
import os
import re
import shutil
import sys
import unicodedata
from base64 import urlsafe_b64encode
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from jupyter_condabuild.conda.prefix.snapshot import snapshot
from jupyter_condabuild.system import names
from tests.parts.overlays import Collected
from tests.parts.small_prefix import SITE, SmallPrefix


@pytest.fixture
def prefix(tmp_path: Path) -> SmallPrefix:
    """Python alone."""
    made = SmallPrefix(tmp_path / "root/envs/demo")
    made.python()
    return made


def test_names_of_macos_are_composed(
    prefix: SmallPrefix, collected: Callable[..., Collected], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python imports a module by its composed name (PEP 3131); the bytecode has this name, too."""
    composed, listed = (unicodedata.normalize(form, f"{SITE}/caf\u00e9.py") for form in ("NFC", "NFD"))
    prefix.write(listed, b"A = 1\n")
    (prefix.path / "link").symlink_to(listed)
    assert listed in collected(prefix).files
    monkeypatch.setattr(names, "in_image", functools.partial(names.in_image, system="darwin"))
    overlay = collected(prefix)
    assert overlay.files == {composed, "link"}
    assert overlay["link"].target == composed
    (pyc,) = overlay.entries.keys() - overlay.files
    assert marshal.loads(overlay.bytes(pyc)[16:]).co_filename == f"/opt/env/{composed}"


def test_bytecode_is_compiled_from_the_source_that_the_image_has(
    prefix: SmallPrefix, collected: Callable[..., Collected]
) -> None:
    """Bytecode of the source on this machine would be used if both paths had the same length."""
    prefix.write(f"{SITE}/mine.py", b"HOME = '%s/share'\n" % os.fsencode(prefix.path))
    found = collected(prefix)
    (pyc,) = (found.bytes(path) for path in found.entries if path.endswith(".pyc"))
    values: dict[str, str] = {}
    exec(marshal.loads(pyc[16:]), values)
    assert values["HOME"] == "/opt/env/share"
    assert int.from_bytes(pyc[12:16], "little") == len(found.text(f"{SITE}/mine.py"))


def lived_in(path: Path) -> SmallPrefix:
    """Makes a prefix that has its own path in a module, in a script, and in a package without an archive."""
    prefix = SmallPrefix(path)
    here = os.fsencode(path)
    prefix.python()
    prefix.pip(
        "mine",
        files={
            "bin/mine": b"#!%s/bin/python\n" % here,
            f"{SITE}/mine.py": b"HOME = '%s'\n" % here,
            f"{SITE}/plain.py": b"",
        },
    )
    module = b"HOME = '%s'\n" % here
    cached = marshal.dumps(compile(module, f"{path}/{SITE}/taken.py", "exec"))
    pyc = f"{SITE}/__pycache__/taken.{sys.implementation.cache_tag}.pyc"
    prefix.add("taken", files={f"{SITE}/taken.py": module, pyc: bytes(16) + cached})
    return prefix


def test_the_same_environment_at_two_places_has_the_same_overlay(
    collected: Callable[..., Collected], tmp_path: Path
) -> None:
    """Bytecode, the hashes in RECORD and the hashes in conda's records depend on the files of the image."""
    found = [collected(lived_in(tmp_path / name), "taken") for name in ("short", "a/longer/path")]
    first, second = ({path: each.bytes(path) for path in each.entries} for each in found)
    record = "conda-meta/taken-1.0-0.json"
    assert first.keys() == second.keys() >= {record, f"{SITE}/mine-1.0.dist-info/RECORD"}
    assert len([path for path in first if path.endswith(".pyc")]) == 3
    module, pyc = json.loads(first[record])["paths_data"]["paths"]
    assert module["sha256_in_prefix"] == sha256(first[f"{SITE}/taken.py"]).hexdigest()
    assert pyc.keys() == {"_path", "path_type"}
    of_package = re.compile(rb'"(sha256|size_in_bytes)":("[0-9a-f]*"|\d+)')  # here, the package differs, too
    first[record], second[record] = (of_package.sub(b"", each[record]) for each in (first, second))
    assert first == second
    assert not any(os.fsencode(tmp_path) in content for content in first.values())


def test_record_has_the_hashes_of_the_files_in_the_image(
    prefix: SmallPrefix, collected: Callable[..., Collected]
) -> None:
    """A file that somebody edited still differs from its line in RECORD."""
    script = b"#!%s/bin/python\n" % os.fsencode(prefix.path)
    prefix.pip("mine", files={"bin/a,b": script, "bin/edited": script, f"{SITE}/plain.py": b""})
    before = (prefix.path / f"{SITE}/mine-1.0.dist-info/RECORD").read_text().splitlines()
    prefix.write("bin/edited", script + b"edited\n")
    found = collected(prefix)
    lines = found.text(f"{SITE}/mine-1.0.dist-info/RECORD").splitlines()
    digest = urlsafe_b64encode(sha256(found.bytes("bin/a,b")).digest()).decode().rstrip("=")
    assert lines[0] == f'"../../../bin/a,b",sha256={digest},{len(found.text("bin/a,b"))}'
    assert lines[0] != before[0]
    assert lines[1:] == before[1:]


def test_bytecode_without_a_source_is_not_rewritten(prefix: SmallPrefix, collected: Callable[..., Collected]) -> None:
    """Its strings have lengths. With other paths, Python could not load it."""
    code = compile("VALUE = 1\n", f"{prefix.path}/{SITE}/secret.py", "exec")
    data = bytes(16) + marshal.dumps(code) + bytes(8)
    prefix.write(f"{SITE}/secret.pyc", data)
    assert collected(prefix).bytes(f"{SITE}/secret.pyc") == data


def test_the_docker_engine_gets_all_files_of_several_packages(
    prefix: SmallPrefix, collected: Callable[..., Collected]
) -> None:
    """Its installer may leave another file than the environment has. The layers engine has conda's order."""
    prefix.add("a", files={"share/x": b"a"})
    prefix.add("b", files={"share/x": b"of b"})
    assert collected(prefix).files == set()
    assert collected(prefix, all_clobbered=True).text("share/x") == "of b"
    prefix.add("a", files={"share/x": b"a"})
    assert collected(prefix).text("share/x") == collected(prefix, all_clobbered=True).text("share/x") == "a"


def test_a_whiteout_is_in_the_folder_that_a_link_names(
    prefix: SmallPrefix, collected: Callable[..., Collected]
) -> None:
    """A layer with a path below a link would replace the link with a folder."""
    (prefix.path / "lib").mkdir(exist_ok=True)
    prefix.add("a", links={"lib64": "lib"})
    prefix.add("b", files={"lib64/b.so": b"b"})
    (prefix.path / "lib/b.so").unlink()
    found = collected(prefix)
    assert not [path for path in found.files if path.startswith("lib64/")]


@pytest.mark.parametrize("found_by", ["the given name", "the script", "the history", "conda's list"])
def test_an_environment_behind_a_link_has_only_paths_of_the_image(
    collected: Callable[..., Collected], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found_by: str
) -> None:
    """Its packages were installed under the name of the link, or under the real path."""
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))
    prefix = SmallPrefix(tmp_path / "export/home/demo")
    prefix.python()
    (tmp_path / "home").symlink_to("export/home")
    name = tmp_path / "home/demo"
    prefix.write("bin/tool", b"#!%s/bin/python3.11\n" % os.fsencode(name if found_by == "the script" else prefix.path))
    prefix.write("share/text", f"{name}/lib {prefix.path}/lib".encode())
    prefix.write("lib/tool.so", b"\0%s/lib\0" % os.fsencode(name))
    (prefix.path / "share/link").symlink_to(name / "lib")
    if found_by == "the history":
        prefix.history(f"# cmd: conda create -y -p {name} python")
    elif found_by == "conda's list":
        (tmp_path / "nobody/.conda").mkdir(parents=True)
        (tmp_path / "nobody/.conda/environments.txt").write_text(f"/elsewhere\n{name}\n")
    elif found_by == "the given name":
        prefix.path = name
    found = collected(prefix)
    assert found.text("share/text") == "/opt/env/lib /opt/env/lib"
    assert found.text("bin/tool") == "#!/opt/env/bin/python3.11\n"
    assert found.text("lib/tool.so").rstrip("\0") == "\0/opt/env/lib"
    assert found["share/link"].target == "/opt/env/lib"


@pytest.mark.parametrize("known_from", ["history", "scripts"])
@pytest.mark.parametrize("exists", [True, False])
def test_the_former_path_of_a_copied_environment_is_replaced(
    tmp_path: Path, collected: Callable[..., Collected], known_from: str, exists: bool
) -> None:
    """An edited script and the files of pip name it. The environment may have been moved, or still be there."""
    old = SmallPrefix(tmp_path / "old/env")
    old.python()
    here = os.fsencode(old.path)
    files = {f"bin/{name}": b"#!%s/bin/python\n" % here for name in ("one", "two")} if known_from == "scripts" else {}
    old.add("tools", files={"bin/tool": b"#!/bin/sh\n", **files})
    if known_from == "history":
        old.history(f"# cmd: conda create -p {old.path} tools", "+lab::tools-1.0-0")
    old.pip("mine", files={"bin/mine": b"#!%s/bin/python\nDATA = '%s/share'\n" % (here, here)})
    old.write("bin/tool", b'#!/bin/sh\nexec %s/bin/python "$@"\n' % here)
    copied = SmallPrefix.__new__(SmallPrefix)
    copied.path, copied.like = tmp_path / "new/env", old.like
    shutil.copytree(old.path, copied.path, symlinks=True)
    if not exists:
        shutil.rmtree(old.path)
    found = collected(copied)
    assert found.text("bin/tool") == '#!/bin/sh\nexec /opt/env/bin/python "$@"\n'
    assert found.text("bin/mine") == "#!/opt/env/bin/python\nDATA = '/opt/env/share'\n"
    (message,) = (item.message for item in snapshot(copied.path).warnings if item.code == "copied-environment")
    assert message == f"The environment was at {old.path}, and was copied or moved to {copied.path}."


def test_one_script_that_names_another_environment_is_no_copy(prefix: SmallPrefix, tmp_path: Path) -> None:
    """The user may have edited it. Nor is the environment's own path under another name a copy."""
    (tmp_path / "link").symlink_to(prefix.path.parent)
    own = b"#!%s/link/demo/bin/python\n" % os.fsencode(tmp_path)
    prefix.add("tools", files={"bin/a": b"#!/other/env/bin/python\n", "bin/b": own, "bin/c": own})
    prefix.history(f"# cmd: conda create --prefix {tmp_path}/link/demo tools")
    assert snapshot(prefix.path).former == ()
