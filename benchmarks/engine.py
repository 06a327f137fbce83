"""The Docker Engine of the benchmarks: builds with BuildKit through the Engine API, pushes, pulls, saves, runs.

The benchmarks remove all images of the engine again and again, so nobody else may use it. `make bench` starts an engine
of its own unless DOCKER_HOST names one.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import tarfile
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import docker

from benchmarks import registry
from benchmarks.measure import Sample, measured

SECONDS = 1800
"""The time limit of one request to the engine."""


class Engine:
    """A Docker Engine that only the benchmarks use: that of DOCKER_HOST, or of the usual socket."""

    def __init__(self) -> None:
        self._client = docker.from_env(timeout=SECONDS)
        self._api = self._client.api
        self.version = self._client.version()["Version"]
        self.pid = _owner(os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://"))

    def build(self, context: Mapping[str, bytes | Path], tag: str, cache_from: Sequence[str] = ()) -> None:
        """Builds an image.

        Args:
            context: names in the build context, each with its bytes, or with a file or folder to copy.
            tag: the name of the image.
            cache_from: names of images whose steps may be reused.
        """
        parameters = {
            "version": "2",
            "t": tag,
            "networkmode": "host",
            "cachefrom": json.dumps(list(cache_from)),
            "buildargs": json.dumps({"BUILDKIT_INLINE_CACHE": "1"}),
        }
        answer = self._api._post(
            self._api._url("/build"),
            data=_tar(context),
            params=parameters,
            headers={"Content-Type": "application/x-tar"},
            stream=True,
        )
        self._api._raise_for_status(answer)
        for line in self._api._stream_helper(answer, decode=True):
            _check(line)

    def push(self, reference: str) -> int:
        """Pushes an image to its registry. Returns the compressed bytes of the layers that were sent."""
        sent: set[str] = set()
        for line in self._api.push(reference, stream=True, decode=True):
            _check(line)
            if line.get("status") == "Pushed":
                sent.add(line["id"])
        return sum(layer.size for layer in registry.layers(reference) if _short(layer.diff_id) in sent)

    def pull(self, reference: str) -> Sample:
        """Pulls an image. `moved` of the sample is the compressed size of the layers that the engine did not have."""
        kept: set[str] = set()
        with measured(self.pid) as sample:
            for line in self._api.pull(reference, stream=True, decode=True):
                _check(line)
                if line.get("status") == "Already exists":
                    kept.add(line["id"])
        sample.moved = sum(layer.size for layer in registry.layers(reference) if _short(layer.digest) not in kept)
        return sample

    def save(self, reference: str, path: Path) -> None:
        """Writes an image to a file, as `docker save` does."""
        with path.open("wb") as file:
            for chunk in self._api.get_image(reference, 1 << 20):
                file.write(chunk)

    def run(self, reference: str, command: Sequence[str], user: str) -> str:
        """Runs a command in a new container and returns its standard output."""
        output: bytes = self._client.containers.run(
            reference, list(command), user=user, remove=True, network_mode="host", environment={"HOME": "/tmp"}
        )
        return output.decode()

    def size(self, reference: str) -> int:
        """Returns the bytes of the unpacked image."""
        return int(self._client.images.get(reference).attrs["Size"])

    def forget(self, *, keep: Sequence[str] = ()) -> None:
        """Removes all images except `keep`, and BuildKit's cache. Pulls the images of `keep` that are missing."""
        kept = {self._client.images.get(name).id for name in keep if self._has(name)}
        for image in self._client.images.list():
            if image.id not in kept:
                self._api.remove_image(image.id, force=True)
        self._api.prune_builds(all=True)
        for name in keep:
            if not self._has(name):
                self.pull(name)

    def _has(self, name: str) -> bool:
        try:
            self._client.images.get(name)
        except docker.errors.ImageNotFound:
            return False
        return True


def _short(digest: str) -> str:
    """Returns the short form of a digest, which the engine uses in its messages."""
    return digest.removeprefix("sha256:")[:12]


def _check(line: Mapping[str, Any]) -> None:
    if "error" in line:
        raise RuntimeError(line["error"])


def _tar(context: Mapping[str, bytes | Path]) -> BytesIO:
    out = BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in context.items():
            if isinstance(content, Path):
                tar.add(content, name)
            else:
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, BytesIO(content))
    out.seek(0)
    return out


def _owner(path: str) -> int:
    """Returns the number of the process that listens on a Unix socket."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        pid, _, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        return int(pid)
