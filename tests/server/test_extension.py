"""The extension in Jupyter is enabled after the installation, idle at the start, and configured as the command line."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest
from traitlets import TraitError
from traitlets.config import Config

from jupyter_condabuild.server.extension import CondaBuild
from jupyter_condabuild.settings import Settings
from tests.parts.jupyter_process import Home, Server
from tests.server.conftest import Api


def test_the_extension_is_enabled_after_the_installation(tmp_path: Path) -> None:
    """`jupyter server extension list` shows it as enabled and loadable."""
    done = subprocess.run(
        [sys.executable, "-m", "jupyter", "server", "extension", "list"],
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    lines = [line for line in (done.stdout + done.stderr).splitlines() if "jupyter_condabuild" in line]
    assert "enabled" in lines[0]
    assert "OK" in lines[-1]


def test_the_extension_loads_no_large_module() -> None:
    """The import loads neither rattler nor docker nor an HTTP client, which would delay the server's start."""
    program = "import sys, jupyter_condabuild.server.extension; print(*sys.modules, sep='\\n')"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert not {"rattler", "docker", "httpx", "isal"} & set(loaded)


async def test_the_extension_does_no_work_at_the_start(api: Api) -> None:
    """The extension creates no file, thread or task before the first request."""
    assert not (Path(api.app.data_dir) / "condabuild").exists()
    extension = api.app.extension_manager.extension_apps["jupyter_condabuild"]
    assert [app.current_activity() for app in extension] == [0]


def test_every_setting_is_a_trait_with_the_same_default_and_help() -> None:
    """The command line and the server have the same list of settings."""
    traits = CondaBuild.class_traits(config=True)
    for item in fields(Settings):
        assert item.default is not MISSING
        default = traits[item.name].default()
        assert (tuple(default) if isinstance(default, list) else default) == item.default, item.name
        assert traits[item.name].help == item.metadata["help"]
        assert f"--CondaBuild.{item.name}" in CondaBuild.class_get_help()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("layer_budget", "many"),
        ("layer_budget", 500),
        ("compression_level", -1),
        ("engine", "steam"),
        ("allow_prefixes", 5),
        ("max_concurrent_builds", 0),
        ("registry", 5),
        ("base_image", None),
    ],
)
def test_the_error_for_a_wrong_value_names_the_trait(name: str, value: object) -> None:
    """The error names the trait for a wrong type, a value out of bounds, and an unknown choice."""
    with pytest.raises(TraitError, match=name):
        CondaBuild(config=Config({"CondaBuild": {name: value}}))


@pytest.mark.parametrize(
    ("arguments", "settings", "name"),
    [
        (["--CondaBuild.allow_prefixes=5", "--CondaBuild.layer_budget=500"], {}, "layer_budget"),
        ([], {"layer_budget": "many"}, "CONDABUILD_LAYER_BUDGET"),
    ],
)
def test_with_a_wrong_value_the_server_starts_without_the_extension(
    tmp_path: Path, arguments: list[str], settings: dict[str, str], name: str
) -> None:
    """The log names the setting. No route works with the other values, because the setting can be a restriction."""
    with Server(Home(tmp_path, settings), *arguments) as server:
        assert server.client.get("api/status").status_code == 200
        assert server.client.get("condabuild/status").status_code == 404
        lines = [line for line in server.log.splitlines() if "jupyter_condabuild" in line and name in line]
        assert any("failed loading" in line for line in lines), server.log


class TestWithConfiguration:
    """Settings from the server's configuration, a configuration file and the environment."""

    @pytest.fixture
    def config(self, server_store: Path, monkeypatch: pytest.MonkeyPatch, jp_config_dir: Path) -> dict[str, Any]:
        """One setting comes from each source, and one setting from two sources."""
        (jp_config_dir / "jupyter_condabuild_config.py").write_text(
            "c.CondaBuild.cache_from = ['registry.lab.org/cache']\nc.CondaBuild.base_image = 'from-the-file'\n"
        )
        monkeypatch.setenv("CONDABUILD_BASE_IMAGE", "from-the-environment")
        return {"store_dir": str(server_store), "registry": "registry.lab.org/team"}

    async def test_settings_are_the_same_for_the_server_and_the_command_line(self, api: Api) -> None:
        """The environment has priority."""
        settings = (await api("GET", "condabuild/status")).json["settings"]
        assert settings["registry"] == "registry.lab.org/team"
        assert settings["cache_from"] == ["registry.lab.org/cache"]
        assert settings["base_image"] == "from-the-environment"
