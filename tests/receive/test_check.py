"""jupyter condabuild check: the modules of an image are imported in a container; what is missing is named."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from jupyter_condabuild.errors import NotThere, UsageError
from jupyter_condabuild.receive.host_libraries import debian_package, missing_library
from jupyter_condabuild.receive.imports import imports_of
from jupyter_condabuild.server.history import Record
from jupyter_condabuild.server.receive import checks
from jupyter_condabuild.settings import Settings
from tests.parts.builds import Workshop
from tests.parts.command_line import CommandLine


def notebook(file: Path, *cells: str) -> Path:
    """Writes a notebook with cells of code."""
    made = [{"cell_type": "code", "source": cell.splitlines(keepends=True)} for cell in cells]
    file.write_text(json.dumps({"cells": [{"cell_type": "markdown", "source": "import no"}, *made]}))
    return file


@pytest.mark.parametrize("how", ["with an engine", "--without-engine"])
def test_the_imports_of_a_notebook_are_tried_in_the_image(changed_image: Path, how: str, tmp_path: Path) -> None:
    """What fails is named, with the Debian package of a library and the next step. The network is not there."""
    command = CommandLine(tmp_path)
    used = notebook(tmp_path / "a.ipynb", "import tqdm, json\n", "from needsgl import x\nimport no_such_module")
    words = ("check", "--notebook", used, f"oci-archive:{changed_image}")
    more = ("--without-engine",) if how == "--without-engine" else ()
    refused = command(*words, *more)
    assert (refused.status, "Unsigned" in refused.err) == (2, True)
    done = command(*words, *more, "--yes")
    assert done.status == 1, done.err
    lines = done.out.splitlines()
    assert lines[0].endswith(": 2 modules can be imported.")
    assert lines[1] == (
        "needsgl cannot be imported: OSError: libGL.so.1: cannot open shared object file: No such file or directory"
    )
    assert "libGL.so.1, which Debian has in the package libgl1" in lines[2]
    assert "--base" in lines[2]
    assert "no_such_module cannot be imported: ModuleNotFoundError" in lines[3]


def test_without_a_notebook_the_requested_packages_are_imported(changed_image: Path, tmp_path: Path) -> None:
    """Their modules are those of their records. Status 0 says that all can be imported."""
    done = CommandLine(tmp_path)("check", "--without-engine", "--yes", f"oci-archive:{changed_image}", "--json")
    assert done.status == 0, done.err
    assert {"tqdm", "pip"} <= set(done.json["imported"])
    assert done.json["failed"] == []


def test_a_build_can_be_checked_at_once(
    changed_environment: Path, session_workshop: Workshop, base_reference: str, tmp_path: Path
) -> None:
    """The build stays, and the exit status says that a module cannot be imported. Without an engine, a sandbox runs."""
    environ = {"CONDABUILD_STORE_DIR": str(session_workshop.store), "DOCKER_HOST": "unix:///nowhere.sock"}
    command = CommandLine(tmp_path, environ)
    used = notebook(tmp_path / "a.ipynb", "import tqdm, needsgl")
    words = ("build", changed_environment, "--base", base_reference, "--check")
    done = command(*words, "--notebook", used, "-o", tmp_path / "image.tar", "--json")
    assert done.status == 1, done.err
    assert done.json["check"]["imported"] == ["tqdm"]
    (failed,) = done.json["check"]["failed"]
    assert (failed["module"], failed["debian_package"]) == ("needsgl", "libgl1")
    assert (tmp_path / "image.tar").exists()
    done = command(*words, "-o", tmp_path / "image.sif")
    assert (done.status, "--check needs" in done.err) == (2, True)


def test_the_server_checks_the_image_of_a_build(
    changed_environment: Path,
    session_workshop: Workshop,
    base_reference: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The engine gets a large image only after a confirmation. A result stays until another check or its removal.

    A notebook without imports is as good as none.
    """
    used = notebook(tmp_path / "a.ipynb", "import tqdm, needsgl")
    empty = notebook(tmp_path / "empty.ipynb", "1 + 1")
    (tmp_path / "included").mkdir()
    (tmp_path / "included" / "noise").write_bytes(os.urandom(2 << 20))  # the engine may have all other layers
    name = f"checked-{tmp_path.parent.name}-{os.getpid()}"
    session_workshop.image(changed_environment, name, base=base_reference, include=str(tmp_path / "included"))
    asked = {"push": False, "load": False, "archive": f"oci-archive:{session_workshop.folder / name}.tar"}
    ending = {"type": "finished", "reference": "", "digest": ""}
    build = Record(1, "ab" * 8, "", "build", "finished", asked, {}, 0.0, *(None,) * 8, ending)
    all_checks = checks.Checks(replace(Settings(), store_dir=str(tmp_path / "store")))

    async def checked(file: Path, *, download: bool) -> dict[str, Any]:
        view, new = await all_checks.start(build, file, download=download)
        assert (view["state"], new) == ("running", True)
        assert (await all_checks.start(build, file, download=download))[1] is False
        while view["state"] == "running":
            await asyncio.sleep(0.05)
            [view] = all_checks.all()["checks"]
        return view

    async def promises() -> None:
        with pytest.raises(NotThere, match="no image"):
            await all_checks.start(replace(build, ending={"type": "failed"}), used, download=False)
        monkeypatch.setattr(checks, "MOST_MISSING", 0)
        view = await checked(used, download=False)
        assert (view["state"], view["missing"] > 2 << 20, view["imported"]) == ("too_large", True, [])
        view = await checked(used, download=True)
        assert (view["state"], view["notebook"], view["imported"]) == ("finished", "a.ipynb", ["tqdm"]), view
        [failed] = view["failed"]
        assert [failed[name] for name in ("module", "library", "debian_package")] == ["needsgl", "libGL.so.1", "libgl1"]
        assert await all_checks.start(build, used, download=False) == (view, False)
        view = await checked(empty, download=True)
        assert ({"tqdm", "pip"} <= set(view["imported"]), view["failed"], view["notebook"]) == (True, [], "")
        assert (await all_checks.start(build, used, download=True))[1] is True
        assert (await all_checks.end(build.id))["state"] == "cancelled"
        assert all_checks.all() == {"checks": []}
        with pytest.raises(NotThere):
            await all_checks.end(build.id)

    asyncio.run(promises())


KILLED = """
import asyncio, sys, time
from pathlib import Path
from jupyter_condabuild.oci.location import ImageLocation
from jupyter_condabuild.requests.receive import CheckRequest
from jupyter_condabuild.server.receive.child import Child

image, store = ImageLocation.parse_any(sys.argv[1]), Path(sys.argv[2])
request = CheckRequest(reference=image, store_dir=store, yes=True)
print(asyncio.run(Child.start("check", request.to_json())).process.pid, flush=True)
time.sleep(600)
"""


def test_a_check_ends_with_a_server_that_is_killed(tmp_path: Path) -> None:
    """Even while it waits for a registry that does not answer."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        name = f"localhost:{silent.getsockname()[1]}/team/env:v1"
        command = [sys.executable, "-c", KILLED, name, str(tmp_path / "store")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout
            check = psutil.Process(int(server.stdout.readline()))
            silent.settimeout(60)
            with silent.accept()[0]:
                server.kill()
                check.wait(30)


def test_the_imports_of_a_notebook(tmp_path: Path) -> None:
    """Magics, other languages, relative imports and modules beside the notebook are no packages of the image."""
    (tmp_path / "mine.py").touch()
    (tmp_path / "folder").mkdir()
    cells = (
        "%matplotlib inline\nimport numpy.linalg as la, mine\n!pip install evil\nx = %timeit 1\nfolder?",
        "%%bash\nimport bash_is_no_python",
        "import broken +",
        "def f():\n    from pandas import x\n    from . import y\n    import folder.z",
        "%%time\nif True:\n    !pip install a \\\n  b\n    import timed",
        f"import {'x' * 300}",
    )
    assert imports_of(notebook(tmp_path / "a.ipynb", *cells)) == {"numpy", "pandas", "timed", "x" * 300}
    for text in ("[]", "{}", '{"cells": [{}]}', "no", '{"cells": [{"cell_type": "code", "source": 1}]}'):
        (tmp_path / "bad.ipynb").write_text(text)
        with pytest.raises(UsageError, match="no notebook that can be read: its content"):
            imports_of(tmp_path / "bad.ipynb")
    with pytest.raises(UsageError, match="no notebook that can be read: No such file"):
        imports_of(tmp_path / "missing.ipynb")


def test_libraries_of_the_system() -> None:
    """The name is found in the words of the dynamic linker, and its package in a table."""
    error = "ImportError: libgthread-2.0.so.0: cannot open shared object file: No such file or directory"
    assert missing_library(error) == "libgthread-2.0.so.0"
    assert debian_package("libgthread-2.0.so.0") == "libglib2.0-0"
    assert debian_package("libunknown.so.1") == ""
    assert missing_library("ImportError: cannot open shared object file") == ""
