"""Versions of Debian packages are in the order of dpkg."""

from __future__ import annotations

import subprocess
from itertools import pairwise

import pytest

from jupyter_condabuild.debian.versions import sort_key

ORDERED = [
    "1.0~rc1-1",
    "1.0-1",
    "1.0-1+b1",
    "1.0-1+deb12u9",
    "1.0-1+deb12u10",
    "1.0a-1",
    "1.0+x",
    "1.2",
    "1.10-0",
    "1:0.1",
]


def test_versions_are_sorted_as_dpkg_sorts_them() -> None:
    """Each version is older than the next one, for this program and for dpkg."""
    backwards = ORDERED[::-1]
    assert sorted(backwards, key=sort_key) == ORDERED
    for older, newer in pairwise(ORDERED):
        subprocess.run(["dpkg", "--compare-versions", older, "lt", newer], check=True)


@pytest.mark.parametrize("same", [("1.0", "1.0-0"), ("0:1.0", "1.0"), ("1.01", "1.1")])
def test_equal_versions_are_equal(same: tuple[str, str]) -> None:
    """No epoch is epoch 0, no revision is revision 0, and numbers are numbers."""
    assert sort_key(same[0]) == sort_key(same[1])
    subprocess.run(["dpkg", "--compare-versions", same[0], "eq", same[1]], check=True)
