"""Gives the tests of the panel the parts that they need in a browser."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.parts.channel import platforms
from tests.parts.channel.channel import Channel
from tests.ui.browser import Browser


@pytest.fixture
def browser(
    registry: str,
    kernel_prefix: Path,
    mixed: Channel,
    small_base: str,
    base_reference: str,
    debian_mirrors: tuple[str, ...],
    test_cache: Path,
    tmp_path: Path,
) -> Browser:
    """The browser, with the parts that JupyterLab in it needs."""
    specs = ("python", "fastlib", "idna", "tqdm")
    mac = platforms.installed(tmp_path / "mac", "osx-arm64", specs, mixed.url, tmp_path / "pkgs")
    return Browser(kernel_prefix, mac, registry, small_base, base_reference, debian_mirrors, test_cache, tmp_path)
