"""Gives the tests of the panel the parts that they need in a browser."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.ui.browser import Browser


@pytest.fixture
def browser(
    registry: str, kernel_prefix: Path, small_base: str, base_reference: str, test_cache: Path, tmp_path: Path
) -> Browser:
    """The browser, with the parts that JupyterLab in it needs."""
    return Browser(kernel_prefix, registry, small_base, base_reference, test_cache, tmp_path)
