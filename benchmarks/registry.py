"""Reads images from a registry on loopback, to compute the bytes that a push or a pull moves."""

from __future__ import annotations

import json
import urllib.request
from dataclasses import dataclass

_ACCEPT = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"


@dataclass(frozen=True)
class Layer:
    """A layer: the digest of its compressed bytes, its diff_id (the digest of its tar), and its compressed size."""

    digest: str
    diff_id: str
    size: int


def layers(reference: str) -> list[Layer]:
    """Returns the layers of an image, the lowest first."""
    manifest = json.loads(_get(reference, "manifests")[1])
    config = json.loads(_get(f"{_repository(reference)}:{manifest['config']['digest']}", "blobs")[1])
    pairs = zip(manifest["layers"], config["rootfs"]["diff_ids"], strict=True)
    return [Layer(layer["digest"], diff_id, layer["size"]) for layer, diff_id in pairs]


def tag(reference: str, name: str) -> str:
    """Gives an image another tag in its repository. Returns the reference with that tag."""
    media_type, raw = _get(reference, "manifests")
    result = f"{_repository(reference)}:{name}"
    request = urllib.request.Request(_url(result, "manifests"), raw, {"Content-Type": media_type}, method="PUT")
    with urllib.request.urlopen(request):
        return result


def _get(reference: str, kind: str) -> tuple[str, bytes]:
    request = urllib.request.Request(_url(reference, kind), headers={"Accept": _ACCEPT})
    with urllib.request.urlopen(request) as answer:
        return answer.headers["Content-Type"], answer.read()


def _url(reference: str, kind: str) -> str:
    host, _, path = _repository(reference).partition("/")
    return f"http://{host}/v2/{path}/{kind}/{reference.removeprefix(_repository(reference))[1:]}"


def _repository(reference: str) -> str:
    host, _, rest = reference.partition("/")
    return f"{host}/{rest.partition(':')[0]}"
