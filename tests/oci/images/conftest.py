"""Gives the tests of archives a small image, and archives of it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args

import pytest

from jupyter_condabuild.oci import archive
from jupyter_condabuild.oci.archive import Kind
from jupyter_condabuild.oci.image import Image
from tests.parts.small_image import NAME, run, three_layers


@pytest.fixture
def small() -> Image:
    """An image with three layers."""
    return three_layers()


@pytest.fixture(params=get_args(Kind))
def kind(request: pytest.FixtureRequest) -> Kind:
    """Each kind of archive."""
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def written(small: Image, kind: Kind, tmp_path: Path) -> Path:
    """An archive of each kind with the small image."""
    archive.write(small, NAME, tmp_path / "image.tar", kind)
    return tmp_path / "image.tar"


@pytest.fixture
def oci(small: Image, tmp_path: Path) -> Path:
    """An OCI archive with the small image."""
    archive.write(small, NAME, tmp_path / "image.tar")
    return tmp_path / "image.tar"


@pytest.fixture
def podman() -> Iterator[Callable[..., str]]:
    """Returns the podman command with a store of its own. The store's path has only characters that podman accepts."""
    with tempfile.TemporaryDirectory() as folder:
        store = ("--root", f"{folder}/store", "--runroot", f"{folder}/run", "--storage-driver", "vfs")
        yield lambda *arguments: run("podman", *store, *arguments)
