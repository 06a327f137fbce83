"""jupyter condabuild kernel install, list and remove: kernelspecs for the kernels of an image."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import docker
import pytest
from jupyter_client.manager import KernelManager

from jupyter_condabuild.errors import UsageError
from jupyter_condabuild.oci import archive
from jupyter_condabuild.oci.engine.containers import LABEL_OWNER
from jupyter_condabuild.receive import kernelspecs
from tests.parts.builds import Workshop, install, small_channel
from tests.parts.channel.package import Entry, File, Metadata
from tests.parts.small_image import image, tar
from tests.receive.image_kernels import SECONDS, Labmate, leftovers, manifest_of, push_manifest, until


def test_a_kernel_is_installed_listed_and_removed(
    labmate: Labmate, kernel_image: str, docker_client: docker.DockerClient
) -> None:
    """Nothing of the image runs, and the user is asked. The launcher shows a name and an icon; an SVG is not copied.

    Kernels of others stay when the kernel is removed. Its name is enough, also with a registry in the settings, and so
    are its folder, and the name of the image without the tag ``latest``.
    """
    done = labmate.run("kernel", "install", kernel_image)
    assert done.status == 2
    assert "Unsigned: nobody says who built the image." in done.err
    since = f"{time.time():.6f}"
    process = labmate.run.start("kernel", "install", "--yes", kernel_image, "--json")
    name = json.loads(process.communicate(timeout=SECONDS)[0])["kernels"][0]["name"]
    events = docker_client.api.events(since=since, until=f"{time.time():.6f}", decode=True)
    owners = [(event["Action"], event["Actor"]["Attributes"].get(LABEL_OWNER, "")) for event in events]
    actions = {action for action, owner in owners if owner.split(":")[1:2] == [str(process.pid)]}
    assert "create" in actions
    assert "start" not in actions
    spec = labmate.kernelspecs.get_kernel_spec(name)
    assert spec.display_name == kernel_image.partition("/")[2]
    assert (spec.language, spec.interrupt_mode, spec.metadata["debugger"]) == ("python", "message", True)
    folder = Path(spec.resource_dir)
    assert {file.name for file in folder.iterdir()} == {"kernel.json", "logo-32x32.png", "logo-64x64.png"}
    other = folder.parent / "other"
    other.mkdir()
    (other / "kernel.json").write_text(json.dumps({"argv": ["x"], "display_name": "Other", "language": "x"}))
    assert [row["name"] for row in labmate.run("kernel", "list", "--json").json["kernels"]] == [name]
    done = labmate.run("kernel", "remove", kernel_image)
    assert done.status == 0
    assert "The engine may keep the image: docker image rm sha256:" in done.out
    assert [one.name for one in folder.parent.iterdir()] == ["other"]
    assert labmate.run("kernel", "remove", kernel_image).status == 2
    removed = labmate.run(
        "kernel", "remove", labmate.install(kernel_image), environ={"CONDABUILD_REGISTRY": "registry.lab.org/team"}
    )
    assert removed.status == 0, removed.err
    without_tag = kernel_image.removesuffix(":v1")
    push_manifest(f"{without_tag}:latest", manifest_of(kernel_image))
    labmate.install(f"{without_tag}:latest")
    labmate.install(kernel_image)
    for named in (without_tag, folder):
        removed = labmate.run("kernel", "remove", named)
        assert removed.status == 0, removed.err
    removed = labmate.run("kernel", "remove", other)
    assert (removed.status, f"No kernel of {other} is installed" in removed.err) == (2, True)


def tiny_kernel() -> tuple[Metadata, list[Entry]]:
    """A package with a kernelspec, whose program is missing. No other test has the same package."""
    spec = {"argv": ["program", "{connection_file}"], "display_name": uuid.uuid4().hex, "language": "tiny"}
    entries: list[Entry] = [File("share/jupyter/kernels/tiny/kernel.json", json.dumps(spec).encode())]
    return Metadata("tinykernel", "1", noarch="generic"), entries


def test_a_removed_image_is_pulled_again(
    labmate: Labmate, workshop: Workshop, registry: str, tmp_path: Path, docker_client: docker.DockerClient
) -> None:
    """A kernel starts with the image that the user has seen, although the engine has lost it. A failure is said."""
    reference = f"{registry}/removed-{uuid.uuid4().hex}/env:v1"
    channel = small_channel(tmp_path / "channel", [tiny_kernel()])
    workshop.build(install(tmp_path / "env", channel, "tinykernel"), reference=reference, push=True)
    name = labmate.install(reference)
    image = labmate.kernelspecs.get_kernel_spec(name).metadata["condabuild"]["image"]
    docker_client.images.remove(image, force=True)
    manager = KernelManager(**labmate.options(name))
    log = tmp_path / "log"
    with log.open("wb") as stderr:
        manager.start_kernel(cwd=str(labmate.folder), env=labmate.environ(), stderr=stderr)
    assert until(lambda: manager.provisioner.process.poll()) == 127  # type: ignore[union-attr]
    manager.shutdown_kernel(now=True)
    assert docker_client.images.get(image)
    pulled, failed = log.read_text().splitlines()
    assert "pulls" in pulled
    assert "exec /opt/condabuild/entrypoint failed: No such file" in failed  # the small base has no shell
    assert until(lambda: not any(leftovers(labmate, docker_client).values()))


def test_an_image_that_has_moved_is_noticed(
    labmate: Labmate, workshop: Workshop, registry: str, tmp_path: Path
) -> None:
    """The list names the number of changed packages. A kernel stays with its image until it is installed again."""
    reference = f"{registry}/moved-{uuid.uuid4().hex}/env:v1"
    kernel = tiny_kernel()
    more = [(Metadata(name, "1", noarch="generic"), [File(f"share/{name}", b"1")]) for name in ("one", "two")]
    channel = small_channel(tmp_path / "channel", [kernel, *more])
    workshop.build(install(tmp_path / "first", channel, "tinykernel"), reference=reference, push=True)
    name = labmate.install(reference)
    spec_file = Path(labmate.kernelspecs.get_kernel_spec(name).resource_dir, "kernel.json")
    before = json.loads(spec_file.read_text())
    assert (before["language"], before["interrupt_mode"]) == ("tiny", "signal")
    (row,) = labmate.run("kernel", "list", "--json").json["kernels"]
    assert row["news"] == ""
    workshop.build(install(tmp_path / "later", channel, "tinykernel", "one", "two"), reference=reference, push=True)
    (row,) = labmate.run("kernel", "list", "--json").json["kernels"]
    assert row["news"].startswith(f"{reference} has moved: 2 packages changed. To use it, install it again")
    assert _news(labmate, spec_file) == row["news"]
    assert f"({name}): {reference}, " in labmate.run("kernel", "list").out
    assert labmate.install(reference) == name
    assert json.loads(spec_file.read_text())["metadata"]["condabuild"]["digest"] != row["digest"]
    (row,) = labmate.run("kernel", "list", "--json").json["kernels"]
    assert (row["news"], _news(labmate, spec_file)) == ("", "")


def _news(labmate: Labmate, kernelspec: Path) -> str:
    """Returns what the program says that looks a starting kernel's image up."""
    command = [sys.executable, "-m", "jupyter_condabuild.receive.kernel_news", str(kernelspec)]
    return subprocess.run(command, env=labmate.environ(), capture_output=True, text=True, check=True).stdout


def test_an_image_without_a_kernel_is_refused_before_it_is_pulled(
    labmate: Labmate, workshop: Workshop, registry: str, tmp_path: Path, docker_client: docker.DockerClient
) -> None:
    """The error says how to add ipykernel, unless the lock file has it: then its files were deleted.

    An image of others is refused, too, if it has no valid kernelspec.
    """
    reference = f"{registry}/without-{uuid.uuid4().hex}/env:v1"
    channel = small_channel(tmp_path / "channel", [(Metadata("one", "1", noarch="generic"), [File("share/1", b"1")])])
    workshop.build(install(tmp_path / "env", channel, "one"), reference=reference, push=True)
    done = labmate.run("kernel", "install", "--yes", reference)
    assert done.status == 1
    assert "has no Jupyter kernel" in done.err
    assert "conda install ipykernel" in done.err
    assert not docker_client.images.list(name=reference.removesuffix(":v1"))
    packages = [(Metadata("ipykernel", "1", noarch="generic"), [File("share/2", b"2")])]
    channel = small_channel(tmp_path / "others", packages)
    saved = f"oci-archive:{tmp_path / 'without.tar'}"
    workshop.build(install(tmp_path / "emptied", channel, "ipykernel"), archive=saved)
    done = labmate.run("kernel", "install", "--yes", saved)
    assert (done.status, "although its lock file has a package" in done.err) == (1, True), done.err
    assert "--add-ipykernel" not in done.err
    place = "opt/conda/share/jupyter/kernels"
    bad: dict[str, Any] = {"list": [], "words": {"argv": [1]}, "none": {"argv": ["a"]}, "text": {"argv": "a"}}
    end = "{connection_file}"
    bad |= {"nul": {"argv": ["a\0", end]}, "surrogate": {"argv": ["\ud800", end]}, "object": {"argv": {end: 1}}}
    files = {f"{place}/{name}/kernel.json": json.dumps(value).encode() for name, value in bad.items()}
    file = tmp_path / "bad.tar"
    archive.write(image([tar(files)]), "", file)
    done = labmate.run("kernel", "install", "--yes", f"oci-archive:{file}")
    assert (done.status, "has no Jupyter kernel" in done.err) == (1, True)


def test_the_names_in_an_image_are_data(labmate: Labmate, tmp_path: Path) -> None:
    """Control sequences, paths and scripts in the kernelspecs of a stranger's image go nowhere."""
    specs = {
        "one": {"argv": ["x", "{connection_file}"], "display_name": "\x1b]0;evil\x07One\u202e", "language": "<script>"},
        "two": {"argv": ["x", "{connection_file}"], "metadata": [1], "interrupt_mode": "message"},
        "three": {"argv": ["x", "{connection_file}"], "metadata": {"supported_encryption": 5}},
    }
    files = {f"opt/env/share/jupyter/kernels/{name}/kernel.json": json.dumps(s).encode() for name, s in specs.items()}
    files["opt/env/share/jupyter/kernels/one/logo-32x32.png"] = b"<svg><script>alert(1)</script></svg>"
    files["opt/env/share/jupyter/kernels/one/logo-svg.svg"] = b"<svg/>"
    file = tmp_path / "strange.tar"
    archive.write(image([tar(files)]), "", file)
    done = labmate.run("kernel", "install", "--yes", f"oci-archive:{file}", "--json")
    assert done.status == 0, done.err
    rows = done.json["kernels"]
    assert [row["title"] for row in rows] == ["strange.tar (One\ufffd)", "strange.tar (three)", "strange.tar (two)"]
    assert {row["language"] for row in rows} == {"python"}
    for row in rows:
        assert [one.name for one in Path(row["folder"]).iterdir()] == ["kernel.json"]
    modes = [json.loads(Path(row["folder"], "kernel.json").read_text())["interrupt_mode"] for row in rows]
    assert modes == ["signal", "signal", "message"]


def test_a_kernelspec_of_another_version_is_refused() -> None:
    """Each member must have its type: a kernelspec that somebody has changed gives an error, not a container."""
    good = {"reference": "a", "digest": "", "pinned": "", "image": "", "kernel": "", "command": [], "folders": []}
    good |= {"variables": [], "gpus": "none", "network": "none", "memory": 0, "docker_host": ""}
    assert kernelspecs.ImageKernel.parse(good).network == "none"
    for name, value in {"command": "sh", "memory": True, "folders": [1], "network": None}.items():
        with pytest.raises(UsageError, match=f"no valid {name}"):
            kernelspecs.ImageKernel.parse({**good, name: value})
    with pytest.raises(UsageError):
        kernelspecs.ImageKernel.parse([])
