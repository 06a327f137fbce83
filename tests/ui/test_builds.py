"""Runs the tests in tests/ui/builds, in a process beside the other tests in a browser."""

from __future__ import annotations

from tests.ui.browser import Browser


def test_the_panel_in_a_browser(browser: Browser) -> None:
    """A person makes an image in the panel, from nothing to a command for a labmate."""
    browser.run("builds")
