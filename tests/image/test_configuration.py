"""The image's configuration: the base's values, the settings of the environment, and the data for a rebuild."""

from __future__ import annotations

import base64
import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jupyter_condabuild.conda.lockfile import Lockfile, of_packages
from jupyter_condabuild.conda.packages import CondaPackage, PipPackage
from jupyter_condabuild.errors import BadDigest, BadImage, LockfileError
from jupyter_condabuild.image.configuration import LOCKFILE, Ours, command, configuration, lockfile_in, runtime_layer
from jupyter_condabuild.oci.documents import read_document
from jupyter_condabuild.oci.image import Descriptor, Digest, ImageConfig, canonical_json
from jupyter_condabuild.oci.layout import Store
from tests.parts.small_image import Memory

DIGEST = Digest.of(b"base")


def lock(*names: str, pip: tuple[str, ...] = ()) -> Lockfile:
    packages = [
        CondaPackage.of_url(f"https://lab.org/linux-64/{name}-3.11.7-0.conda", sha256="0" * 64, size=1)
        for name in names
    ]
    return of_packages("linux-64", packages, [PipPackage(name, "1.0", index="pypi") for name in pip])


def base(**value: Any) -> ImageConfig:
    rootfs = {"type": "layers", "diff_ids": [str(Digest.of(b"one")), str(Digest.of(b"two"))]}
    return ImageConfig.parse(canonical_json({"architecture": "amd64", "os": "linux", "rootfs": rootfs, **value}))


def made(base: ImageConfig, lockfile: Lockfile, **more: Any) -> dict[str, Any]:
    ids = [*base.diff_ids, Digest.of(b"three")]
    config = configuration(base, "lab.org/base:1", DIGEST, ids, ["numpy"], lockfile, **more)
    return dict(json.loads(config.raw))


@pytest.mark.parametrize(
    ("lockfile", "expected"),
    [
        (lock("python", "jupyterlab"), "jupyter"),
        (lock("python", pip=("jupyterlab",)), "jupyter"),
        (lock("python"), "python"),
        (lock("r-base"), "R"),
        (lock("julia"), "julia"),
        (lock("zlib"), "sh"),
        (lock(), "sh"),
    ],
)
def test_the_command_depends_on_the_environment(lockfile: Lockfile, expected: str) -> None:
    """The command is JupyterLab, else Python, else R, else a shell."""
    assert command(lockfile)[0] == expected


def test_jupyterlab_has_its_port() -> None:
    """Container engines and hubs read the port in the configuration."""
    config = made(base(config={"ExposedPorts": {"80/tcp": {}}}), lock("python", "jupyterlab"))["config"]
    assert config["ExposedPorts"].keys() == {"80/tcp", "8888/tcp"}
    assert "ExposedPorts" not in made(base(), lock("python"))["config"]


def test_values_of_the_base_are_kept() -> None:
    """Variables, labels and unknown members are kept. Our folders come first in PATH."""
    runtime = {"Env": ["PATH=/opt/bin:/bin", "A=b=c"], "Labels": {"x": "y"}, "StopSignal": "SIGINT", "Cmd": ["old"]}
    config = made(base(config=runtime, variant="v2", created="2026-01-01T00:00:00Z"), lock("python"))
    env = dict(item.split("=", 1) for item in config["config"]["Env"])
    assert (env["PATH"], env["A"], env["CONDA_PREFIX"]) == ("/opt/env/bin:/opt/bin:/bin", "b=c", "/opt/env")
    assert config["config"]["Labels"]["x"] == "y"
    assert (config["config"]["StopSignal"], config["variant"]) == ("SIGINT", "v2")


def test_a_base_with_an_empty_configuration_is_accepted() -> None:
    """Such a base was made from a tar."""
    config = made(base(), lock("python"))
    env = dict(item.split("=", 1) for item in config["config"]["Env"])
    assert env["PATH"].startswith("/opt/env/bin:/usr/local/sbin:")
    assert len(config["history"]) == len(config["rootfs"]["diff_ids"]) == 3
    assert "created" not in config


def test_an_image_has_the_data_to_make_its_configuration_again() -> None:
    """The data are the lock file, history, requested specs, variables, and the number of the base's layers."""
    lockfile = replace(lock("python", "numpy", pip=("mine",)), requested=("numpy >=1",))
    config = made(base(), lockfile, variables={"MODE": "a=b"})
    ours = Ours.read(ImageConfig.parse(canonical_json(config)))
    assert (ours.lockfile.digest, ours.base_layers, ours.base_name) == (lockfile.digest, 2, "lab.org/base:1")
    assert (ours.history, ours.lockfile.requested, ours.variables) == (("numpy",), ("numpy >=1",), {"MODE": "a=b"})


@pytest.mark.parametrize("missing", ["org.jupyter.condabuild.lockfile", "history", "config"])
def test_an_image_without_this_data_is_not_ours(missing: str) -> None:
    """Such an image gives an error, and no guess."""
    config = made(base(), lock("python"))
    config.pop(missing)
    with pytest.raises(BadImage, match="was not made by"):
        Ours.read(ImageConfig.parse(canonical_json(config)))


def test_the_runtime_layer_is_always_the_same(tmp_path: Path) -> None:
    """The layer is pushed and pulled once for all images, and written once to the store."""
    with Store(tmp_path) as store:
        one, other = runtime_layer(store, 1), runtime_layer(store, 1)
        assert one == other
        assert store.has(one.descriptor)


@pytest.mark.parametrize(
    ("packed", "said"),
    [
        (gzip.compress(bytes(65 << 20), 1, mtime=0), "more than 67"),
        (gzip.compress(b"@EXPLICIT\n", mtime=0)[:-6], "no readable lock file"),
        (b"no gzip", "no readable lock file"),
        (gzip.compress(b"\xff\xfe", mtime=0), "no readable lock file"),
    ],
)
def test_a_lock_file_in_an_image_is_decompressed_up_to_a_limit(packed: bytes, said: str) -> None:
    """A bomb in a configuration, and data that is not gzip, are refused."""
    config = base(**{LOCKFILE: base64.b64encode(packed).decode()})
    with pytest.raises((BadImage, LockfileError), match=said):
        lockfile_in(config)


def test_a_document_of_an_image_has_at_most_4_mib() -> None:
    """A descriptor with a larger size is refused before a byte is read. A larger body is refused, too."""
    with pytest.raises(BadImage, match="4194305 bytes"):
        read_document(Memory({}), Descriptor("application/json", DIGEST, (4 << 20) + 1))
    with pytest.raises(BadImage, match="limit"):
        ImageConfig.parse(b" " * ((4 << 20) + 1))


@pytest.mark.parametrize(
    ("runtime", "said"),
    [
        ({"Env": 5}, "'Env'"),
        ({"Env": [5]}, "'Env'"),
        ({"Entrypoint": "/bin/sh"}, "'Entrypoint'"),
        ({"Cmd": ["a\0b"]}, "'Cmd'"),
        ({"Cmd": ["\ud800"]}, "not JSON"),
        ({"Labels": ["a"]}, "'Labels'"),
        ({"Labels": {"a": 1}}, "A label"),
        ({"ExposedPorts": [1]}, "'ExposedPorts'"),
        ([], ""),
    ],
)
def test_a_configuration_has_the_types_of_the_specification(runtime: Any, said: str) -> None:
    """What reads a configuration meets no number where a text must be. A text can be given to a program."""
    raw = json.dumps({"config": runtime, "rootfs": {"diff_ids": []}}).encode()
    if not said:
        assert ImageConfig.parse(raw).runtime == {}
        return
    with pytest.raises(BadImage, match=said):
        ImageConfig.parse(raw)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"size": True}, "not valid"),
        ({"size": 1 << 70}, "not valid"),
        ({"mediaType": "x" * 100_000, "size": -1}, "not valid"),
        ({"digest": "sha256:" + "z" * 100_000}, "A digest in the manifest"),
    ],
)
def test_a_text_of_a_registry_does_not_fill_a_message(change: dict[str, Any], said: str) -> None:
    """The error contains the first characters of a bad descriptor, and the hint for a bad image."""
    good = {"mediaType": "a", "digest": str(DIGEST), "size": 1}
    with pytest.raises((BadImage, BadDigest), match=said) as caught:
        Descriptor.parse({**good, **change})
    assert len(caught.value.message) < 500
    assert "again" in caught.value.hint
