"""Kernels of an image, started and killed again and again: nothing is left of them."""

from __future__ import annotations

import docker

from tests.receive.image_kernels import Labmate
from tests.torture.kernels import run


def test_nothing_is_left_after_many_cycles(
    labmate: Labmate, kernel_image: str, docker_client: docker.DockerClient
) -> None:
    """Containers, processes, folders and ports are gone, however the kernels end. `tests.torture.kernels` does 200."""
    ends, left = run(labmate, labmate.install(kernel_image), docker_client, 15)
    assert len(ends) >= 4
    assert not any(left.values()), left
