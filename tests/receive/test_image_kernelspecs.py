"""The kernelspecs inside an image, which a stranger has written."""

from __future__ import annotations

import json

import pytest

from jupyter_condabuild.errors import BadImage
from jupyter_condabuild.receive.image_kernelspecs import MOST, kernelspecs_in

SPEC = json.dumps({"argv": ["python", "-f", "{connection_file}"]}).encode()


def found(names: list[str], other: bytes = SPEC) -> list[str]:
    """Returns the names of the kernelspecs of an image with these, and one with other content."""
    files = {f"{name}/kernel.json": SPEC for name in names} | {"other/kernel.json": other}
    return sorted(kernelspecs_in(lambda folder, limit: files if folder.startswith("/opt/env/") else {}))


def test_an_image_does_not_fill_the_launcher() -> None:
    """A stranger's kernels would hide the user's own. What is no kernelspec does not count."""
    most = [f"k{number:02}" for number in range(MOST)]
    assert found(most, b"[]") == most
    with pytest.raises(BadImage, match=f"has {MOST + 1} kernels; at most {MOST}"):
        found(most)
