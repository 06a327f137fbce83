"""Credential helpers are found as each system names programs: ``docker-credential-wincred.exe`` on Windows."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from jupyter_condabuild.oci.logins.credential_helper import Helper, HelperProblem


@pytest.mark.parametrize("name", ["osxkeychain", "desktop", "wincred"])
def test_a_helper_is_found_by_the_name_of_the_system(tmp_path: Path, name: str) -> None:
    """Windows adds the end of a program's name (PATHEXT) to the name in Docker's configuration."""
    environ = {**os.environ, "PATH": str(tmp_path)}
    with pytest.raises(HelperProblem, match="is not installed"):
        Helper(name, "registry.lab.org", environ).run("get", "registry.lab.org")
    answer = '{"Username": "ada", "Secret": "pin"}'
    if sys.platform == "win32":
        (tmp_path / f"docker-credential-{name}.bat").write_text(f"@echo {answer}\n")
    else:
        program = tmp_path / f"docker-credential-{name}"
        program.write_text(f"#!/bin/sh\necho '{answer}'\n")
        program.chmod(0o755)
    assert json.loads(Helper(name, "registry.lab.org", environ).run("get", "registry.lab.org")) == json.loads(answer)
