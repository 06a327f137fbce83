"""Runs the tests in tests/ui/display, in a process beside the other tests in a browser."""

from __future__ import annotations

from tests.ui.browser import Browser


def test_the_panel_in_a_browser(browser: Browser) -> None:
    """The panel displays each state, in each theme and language, and never slows down JupyterLab."""
    browser.run("display")
