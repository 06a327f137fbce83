"""An image on a base that is made of Debian's packages, from the plan to the running container."""

from __future__ import annotations

import uuid
from pathlib import Path

import docker
import pytest

from jupyter_condabuild.jobs import plan
from jupyter_condabuild.jobs.plan import LayersPreview
from tests.parts.builds import Workshop
from tests.parts.debian.mirror import SmallMirror, deb, members
from tests.parts.jobs import plan_request, silent, verified

BASE = "debian-packages:bookworm"
CONTAINER = """
set -e
cat /etc/debian_version
locale charmap
date +%Z
getent passwd root
echo abc | awk '{ print $1 }'
python -c 'import ssl
for path in ("/etc/ssl/certs/ca-certificates.crt", "/usr/lib/ssl/cert.pem"):
    print(len(ssl.create_default_context(cafile=path).get_ca_certs()) > 100)'
openssl verify /usr/share/ca-certificates/mozilla/ISRG_Root_X1.crt
dpkg-query --show --showformat='${Status}\\n' bash libopengl0
dpkg --audit
python -c 'import ctypes
print(ctypes.CDLL("libOpenGL.so.0").glGetString is not None)'
"""


def test_the_real_base_runs_in_an_engine(
    workshop: Workshop, rattler_prefix: Path, debian_mirrors: tuple[str, ...], docker_client: docker.DockerClient
) -> None:
    """The entrypoint, bash, Python, the locale, the time zone, the certificates, dpkg and an added library work."""
    name = f"localhost/debian-base:{uuid.uuid4().hex}"
    given = {"base": BASE, "debian_mirrors": debian_mirrors, "apt": ["libopengl0"]}
    planned = plan.run(plan_request(prefix=rattler_prefix, store_dir=workshop.store, **given), silent)
    made = workshop.build(rattler_prefix, reference=name, load=True, **given)
    assert isinstance(planned, LayersPreview)
    assert made.image
    assert planned.forecast.parts[0].size == pytest.approx(made.image.manifest.layers[0].size, rel=0.1)
    try:
        out = docker_client.containers.run(name, ["bash", "-c", CONTAINER], network_mode="none", remove=True)
        labels = docker_client.images.get(name).labels
    finally:
        docker_client.images.remove(name, force=True)
    lines = out.decode().splitlines()
    assert lines[0].startswith("12.")
    assert lines[1:] == [
        "UTF-8",
        "UTC",
        "root:*:0:0:root:/root:/bin/bash",
        "abc",
        "True",
        "True",
        "/usr/share/ca-certificates/mozilla/ISRG_Root_X1.crt: OK",
        "install ok installed",
        "install ok installed",
        "True",
    ]
    assert labels["org.opencontainers.image.base.name"] == BASE
    assert labels["org.jupyter.condabuild.debian"].startswith("bookworm 12.")


def test_a_plan_counts_the_base_and_a_verification_makes_it_again(
    workshop: Workshop, rattler_prefix: Path, tmp_path: Path
) -> None:
    """When the mirror has other packages, the layer of the base is not proved; nothing says that it is another.

    The same holds for the layer of added packages.
    """
    mirror = SmallMirror(tmp_path / "mirror")
    mirror.add("libgl1", deb("libgl1", members({"lib/libGL.so.1": b"GL"})))
    mirror.publish()
    given = {"base": BASE, "debian_mirrors": [mirror.url], "store_dir": workshop.store, "apt": ["libgl1"]}

    def planned() -> tuple[str, str, int]:
        made = plan.run(plan_request(prefix=rattler_prefix, **given), silent)
        assert isinstance(made, LayersPreview)
        *_, part = (part for part in made.forecast.parts if part.kind == "base")
        return part.title, part.state, part.size

    before = planned()
    assert before[:2] == (BASE, "built")
    image = tmp_path / "image.tar"
    workshop.build(rattler_prefix, archive=f"{image}", base=BASE, debian_mirrors=[mirror.url], apt=["libgl1"])
    assert planned()[:2] == ("base layer 2", "kept")
    found = verified(image, tmp_path / "other", debian_mirrors=[mirror.url])
    assert found.is_verified
    assert {BASE in line for line in found.proved if line.startswith("the base")} == {True}
    assert "the packages of Debian (libgl1)" in found.proved
    mirror.add("libgl1", deb("libgl1", members({"lib/libGL.so.1": b"newer"})))
    mirror.publish()
    found = verified(image, tmp_path / "other", debian_mirrors=[mirror.url])
    assert "the packages of Debian (libgl1): The mirror of Debian has other packages now" in found.unproved
    assert found.differs == ()
    mirror.add("bash", deb("bash", members({"bin/bash": b"newer"})))
    mirror.publish()
    found = verified(image, workshop.store, debian_mirrors=[mirror.url])
    assert "other packages now" in " ".join(found.unproved)
    assert found.differs == ()
