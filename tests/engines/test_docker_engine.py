"""The docker engine with a real engine: it makes the same environment as the layers engine, and uses its caches."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import docker
import pytest

from jupyter_condabuild.conda.formats import dump
from jupyter_condabuild.conda.locking import lock
from jupyter_condabuild.conda.packages import PipPackage
from jupyter_condabuild.conda.prefix.snapshot import snapshot
from jupyter_condabuild.engines.docker.preview import DockerPreview
from jupyter_condabuild.errors import (
    EngineFault,
    EngineUnavailable,
    LockfileError,
    NotReproducible,
    RegistryNotFound,
    SigningFailed,
)
from jupyter_condabuild.events import Event, Log, Phase, Progress
from jupyter_condabuild.jobs import plan
from jupyter_condabuild.oci.engine import builder
from jupyter_condabuild.oci.engine.daemon import Daemon
from jupyter_condabuild.oci.image import Digest
from jupyter_condabuild.oci.referrers import content, referrers
from jupyter_condabuild.oci.tag_list import tags_of
from jupyter_condabuild.sbom.documents import MEDIA_TYPES
from jupyter_condabuild.trust import dsse
from jupyter_condabuild.trust.receipt import Receipt
from tests.parts.builds import install, small_channel
from tests.parts.channel import prefix
from tests.parts.channel.channel import Channel, serve
from tests.parts.channel.package import File, Metadata
from tests.parts.engines import DockerWorkshop, steps, unexpected
from tests.parts.image_tree import SavedImage
from tests.parts.jobs import plan_request, silent
from tests.parts.own_engines import OwnEngine
from tests.parts.registry.pushing import connect, push_image
from tests.trust.test_signatures import allow, make_key

ENVIRONMENT = "RUN --mount=type=cache,id=condabuild-rattler"


def records(image: SavedImage) -> dict[str, tuple[str, str]]:
    """Returns each package's build and hash, from conda-meta of an image."""
    found = {}
    for path in image.tree():
        if re.fullmatch(r"conda-meta/[^/]*\.json", path):
            record = json.loads(image.read(f"opt/env/{path}"))
            found[record["name"]] = (f"{record['version']}-{record['build']}", record["sha256"])
    return found


def test_both_engines_make_the_same_environment(
    docker_workshop: DockerWorkshop, rattler_prefix: Path, base_reference: str
) -> None:
    """/opt/env has the same packages and files, except for bytecode and records.

    Both images are used in the same way.
    """
    ours = docker_workshop.image(rattler_prefix, "docker")
    theirs = docker_workshop.image(rattler_prefix, "layers", engine="layers", base=base_reference)
    assert unexpected(ours, theirs) == {}
    assert records(ours) == records(theirs) != {}
    one, other = ours.config["config"], theirs.config["config"]
    for member in ("Entrypoint", "Cmd", "User", "WorkingDir", "ExposedPorts"):
        assert one.get(member) == other.get(member)
    assert ours.environment == theirs.environment
    labels = {name: value for name, value in one["Labels"].items() if name != "org.jupyter.condabuild.engine"}
    assert labels == other["Labels"]


def test_files_that_belong_to_no_package_are_in_the_image(
    docker_workshop: DockerWorkshop, tmp_path: Path, channel_url: str, package_cache: Path, pip_wheel: Path
) -> None:
    """Files of pip, changed, added and deleted files, and variables are as in the image of the layers engine."""
    made = prefix.create(tmp_path / "env", ["python", "pip", "tqdm"], channel_url, package_cache)
    pip = [made / "bin/python", "-m", "pip", "install", "--no-index", "--no-deps", "--quiet", pip_wheel]
    subprocess.run(pip, check=True)
    (site,) = made.glob("lib/python3.*/site-packages")
    changed = site / "tqdm/version.py"
    text = changed.read_text()
    changed.unlink()  # the file is a hard link into the package cache
    changed.write_text(f"{text}# mine\n")
    (site / "tqdm/cli.py").unlink()
    (made / 'share/it\'s $(odd) "name"').parent.mkdir(exist_ok=True)
    (made / 'share/it\'s $(odd) "name"').write_text("odd\n")
    (made / "conda-meta/state").write_text(json.dumps({"env_vars": {"data": f"{made}/share $x", "PATH": "/nowhere"}}))
    ours = docker_workshop.image(made, "docker", variables=True)
    theirs = docker_workshop.image(made, "layers", engine="layers", variables=True)
    assert unexpected(ours, theirs) == {}
    assert ours.environment == theirs.environment
    assert ours.environment["DATA"] == "/opt/env/share $x"
    tree = ours.tree()
    where = str(site.relative_to(made))
    assert f"{where}/humanize/__init__.py" in tree
    assert f"{where}/tqdm/cli.py" not in tree
    assert 'share/it\'s $(odd) "name"' in tree
    with pytest.raises(NotReproducible):
        docker_workshop.build(made, reference=docker_workshop.name(), load=True, strict=True)


def test_the_image_works(docker_workshop: DockerWorkshop, rattler_prefix: Path) -> None:
    """A container runs as a user without privileges, with the activated environment, and prints its own lock file."""
    name = docker_workshop.name()
    docker_workshop.build(rattler_prefix, reference=name, load=True)
    with Daemon.connect() as engine:
        status, text = engine.run(name, ["python", "-c", "import tqdm, os; print(tqdm.__file__, os.getuid())"])
        assert (status, text.split()[-1]) == (0, "1000"), text
        assert text.startswith("/opt/env/lib/")
        status, text = engine.run(name, ["/opt/condabuild/lock"])
    assert status == 0
    assert text.replace("\r", "") == dump(lock(snapshot(rattler_prefix)), "explicit")


def test_a_build_without_changes_takes_less_than_two_seconds(
    docker_workshop: DockerWorkshop, rattler_prefix: Path
) -> None:
    """A second build finds every step CACHED, and takes less than two seconds."""
    name = docker_workshop.name()
    docker_workshop.build(rattler_prefix, reference=name, load=True)
    assert any(ENVIRONMENT in step for step in [*steps(docker_workshop.log), docker_workshop.log])
    docker_workshop.build(rattler_prefix, reference=name, load=True)
    log = docker_workshop.log
    made = [step for step in re.findall(r"^#\d+ (\[\S+ +\d+/\d+\] .*)$", log, re.MULTILINE) if "] FROM " not in step]
    assert len(made) >= 8
    assert [step for step in made if not step.endswith(" CACHED")] == []
    assert docker_workshop.finished.layers == docker_workshop.finished.layers_reused > 0
    assert docker_workshop.finished.seconds < 2


def test_a_change_of_code_does_not_install_again(
    docker_workshop: DockerWorkshop, rattler_prefix: Path, tmp_path: Path, docker_client: docker.DockerClient
) -> None:
    """With other workspace files, every step except the last ones is CACHED, and the new files are in /work."""
    work, name = tmp_path / "work", docker_workshop.name(what="code")
    work.mkdir()
    for text in ("one", "two"):
        (work / "notebook.py").write_text(text)
        docker_workshop.build(rattler_prefix, reference=name, load=True, include=str(work))
    cached = steps(docker_workshop.log)
    assert [step for step in cached if ENVIRONMENT in step]
    assert [step for step in cached if "COPY --from=environment" in step]
    assert not [step for step in cached if "COPY --chown=1000:1000 workspace/" in step]
    with Daemon.connect() as engine:
        command = ["sh", "-c", "cat notebook.py; stat -c :%u:%a . notebook.py; touch new"]
        assert engine.run(name, command) == (0, "two:1000:1777\n:1000:644\n")


def test_an_empty_engine_gets_the_environment_from_the_registry(
    docker_workshop: DockerWorkshop, rattler_prefix: Path, own_engine: OwnEngine, registry: str, tmp_path: Path
) -> None:
    """With --cache-from, an engine with an empty cache installs nothing, although the code has changed."""
    work, name = tmp_path / "work", docker_workshop.name(registry)
    work.mkdir()
    (work / "notebook.py").write_text("one")
    docker_workshop.build(rattler_prefix, reference=name, push=True, include=str(work))
    (work / "notebook.py").write_text("two")
    docker_workshop.docker_host = own_engine.host
    other = docker_workshop.name(registry, "other")
    docker_workshop.build(rattler_prefix, reference=other, push=True, include=str(work), cache_from=(name,))
    assert [step for step in steps(docker_workshop.log) if "COPY --from=environment" in step]
    assert "packages for linux-64" not in docker_workshop.log
    assert docker_workshop.finished.digest.startswith("sha256:")


def test_the_result_of_a_push_matches_the_registry(
    docker_workshop: DockerWorkshop, rattler_prefix: Path, registry: str, tmp_path: Path
) -> None:
    """The digest, size and number of bytes in the result are those of the registry, and near those of the plan.

    An image that somebody pushed meanwhile is replaced, and reported.
    """
    name = docker_workshop.name(registry, "pushed")
    (tmp_path / "work").mkdir()
    (tmp_path / "work/new").write_bytes(os.urandom(100_000))

    def report(event: Event) -> None:
        if event == Phase("push", "started"):
            with connect(registry) as connected:
                push_image(connected.repository(name.partition("/")[2].removesuffix(":v1")), "v1")

    given = {
        "prefix": rattler_prefix,
        "engine": "docker",
        "base": docker_workshop.base,
        "store_dir": tmp_path / "store",
    }
    said = plan.run(plan_request(**given, reference=name, include=str(tmp_path / "work")), silent)
    assert isinstance(said, DockerPreview)
    docker_workshop.build(rattler_prefix, report, reference=name, push=True, include=str(tmp_path / "work"))
    assert "Who made it is not known." in docker_workshop.warnings["tag-moved"]
    finished = docker_workshop.finished
    inspect = ["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{name.removesuffix(':v1')}"]
    found = subprocess.run([*inspect[:-1], f"{inspect[-1]}@{finished.digest}"], check=True, capture_output=True)
    manifest = json.loads(found.stdout)
    assert said.forecast.size == pytest.approx(finished.size, rel=0.1)
    assert said.bytes_to_push >= finished.bytes_pushed * 0.9
    assert finished.size == manifest["config"]["size"] + sum(layer["size"] for layer in manifest["layers"])
    assert [event for event in docker_workshop.events if isinstance(event, Progress) and event.subject == "build"]
    with connect(registry) as connected:
        repository = connected.repository(name.partition("/")[2].removesuffix(":v1"))
        types = {one.artifact_type for one in referrers(repository, Digest.parse(finished.digest))}
    assert types == {*MEDIA_TYPES, dsse.MEDIA_TYPE}


def test_a_signed_image_of_the_engine_is_a_cache_for_others(
    docker_workshop: DockerWorkshop, rattler_prefix: Path, registry: str, tmp_path: Path
) -> None:
    """The receipt of a pushed image names lock file and base. Another machine that trusts its signer may use the image.

    A build by a machine that trusts nobody does not use the image as a cache, and says why.
    """
    key, name = make_key(tmp_path), docker_workshop.name(registry, uuid.uuid4().hex)
    docker_workshop.build(rattler_prefix, reference=name, push=True, signing_key=str(key))
    made = docker_workshop.finished
    with connect(registry) as connected:
        repository = connected.repository(name.partition("/")[2].removesuffix(":v1"))
        [referrer] = referrers(repository, Digest.parse(made.digest), dsse.MEDIA_TYPE)
        receipt = Receipt.parse(dsse.Envelope.parse(content(repository, referrer, 1 << 20)))
    assert (receipt.engine, receipt.lockfile, str(receipt.image)) == ("docker", made.environment, made.digest)
    assert receipt.base_digest.startswith("sha256:")
    assert receipt.layers == ()
    signers = allow(tmp_path, ("ada@lab.org", key))
    for store, trusted, used in (("trusting", str(signers), True), ("strange", "", False)):
        settings: dict[str, Any] = {
            "store_dir": str(tmp_path / store),
            "trusted_signers": trusted,
            "trusted_repositories": (),
        }
        docker_workshop.build(rattler_prefix, reference=name, push=True, again=True, **settings)
        assert ("Not used as a cache" not in docker_workshop.log) is used


def test_a_key_that_cannot_sign_ends_the_build_before_the_push(
    docker_workshop: DockerWorkshop, rattler_prefix: Path, registry: str, tmp_path: Path
) -> None:
    """The engine makes an image visible before its receipt is signed, so the key is tried at the start."""
    name = docker_workshop.name(registry, uuid.uuid4().hex)
    with pytest.raises(SigningFailed, match="There is no SSH key"):
        docker_workshop.build(rattler_prefix, reference=name, push=True, signing_key=str(tmp_path / "none"))
    with connect(registry) as connected, pytest.raises(RegistryNotFound):
        tags_of(connected.repository(name.partition("/")[2].removesuffix(":v1")))


def test_packages_that_the_builder_cannot_download_are_in_the_context(
    docker_workshop: DockerWorkshop, tmp_path: Path, channel: Channel
) -> None:
    """An environment from a channel on this machine's disk is installed from the archives, and verified."""
    made = install(tmp_path / "env", channel, "python", "tqdm")
    ours = docker_workshop.image(made, "docker")
    assert unexpected(ours, docker_workshop.image(made, "layers", engine="layers")) == {}
    lockfile = ours.read("opt/condabuild/conda-lock.yml").decode()
    assert lockfile == dump(lock(snapshot(made)))


def test_a_login_in_a_packages_url_stays_on_this_machine(
    docker_workshop: DockerWorkshop, tmp_path: Path, channel_url: str, docker_client: docker.DockerClient
) -> None:
    """No secret of the environment is in Dockerfile, context, log, events, history, labels or layers."""
    canary = "canary-token-9d1f"
    private = channel_url.replace("http://", f"http://someone:{canary}@")
    made = prefix.create(tmp_path / "env", ["greet", "tqdm"], channel_url, tmp_path / "pkgs")
    for path in made.glob("conda-meta/*.json"):
        record = json.loads(path.read_text())
        record["url"] = record["url"].replace(channel_url, private)
        record["channel"] = private
        path.write_text(json.dumps(record))
    (made / "conda-meta/state").write_text(json.dumps({"env_vars": {"TOKEN": canary}}))
    (made / "conda-meta/history").write_text(f"# cmd: conda create -c {private}\n")
    image = docker_workshop.image(made)
    assert canary not in json.dumps([image.config, image.manifest])
    assert canary not in "".join(repr(event) for event in docker_workshop.events)
    with image._open() as tar:
        for digest in image.layers[image.base_layers :]:
            with image.layer(digest) as layer:
                for member in layer:
                    content = layer.extractfile(member) if member.isreg() else None
                    assert content is None or canary.encode() not in content.read(), member.name
        assert tar is not None


def test_pip_packages_of_a_lock_file_are_installed_by_pip(
    docker_workshop: DockerWorkshop, tmp_path: Path, channel_url: str, package_cache: Path
) -> None:
    """The docker engine can build from a lock file alone. A lock file with a local folder of a user is refused."""
    made = prefix.create(tmp_path / "env", ["python", "pip"], channel_url, package_cache)
    lockfile = lock(snapshot(made))
    file = tmp_path / "conda-lock.yml"
    file.write_text(dump(replace(lockfile, pip=(PipPackage("mine", "1.0", url="file:mine", editable=True),))))
    with pytest.raises(LockfileError, match="mine was installed from a local folder"):
        docker_workshop.build(file, reference=docker_workshop.name(), load=True)
    file.write_text(dump(lockfile))
    docker_workshop.build(file, reference=docker_workshop.name(what="locked"), load=True)
    assert docker_workshop.finished.reference == docker_workshop.name(what="locked")


def test_pip_checks_the_hashes_of_a_lock_file(
    docker_workshop: DockerWorkshop, tmp_path: Path, channel_url: str, package_cache: Path, pip_wheel: Path
) -> None:
    """pip installs from the index in the lock file. A wheel with another hash fails the build."""
    with Daemon.connect() as engine:
        if builder.network(engine) != "host":
            pytest.skip("builds of this engine cannot reach an index on loopback")
    made = prefix.create(tmp_path / "env", ["python", "pip"], channel_url, package_cache)
    folder = tmp_path / "index/simple/humanize"
    folder.mkdir(parents=True)
    shutil.copy(pip_wheel, folder)
    with serve(Channel(tmp_path / "index")) as url:
        for what, wrong in (("right", False), ("wrong", True)):
            sha256 = "0" * 64 if wrong else hashlib.sha256(pip_wheel.read_bytes()).hexdigest()
            package = PipPackage("humanize", pip_wheel.name.split("-")[1], index=f"{url}/simple", sha256=sha256)
            file = tmp_path / f"{what}-lock.yml"
            file.write_text(dump(replace(lock(snapshot(made)), pip=(package,))))
            if not wrong:
                tree = docker_workshop.image(file).tree()
                continue
            with pytest.raises(EngineFault):
                docker_workshop.image(file)
            assert "THESE PACKAGES DO NOT MATCH THE HASHES" in docker_workshop.log
    assert [path for path in tree if path.endswith("site-packages/humanize/__init__.py")]


def test_the_output_of_a_failed_step_is_in_the_log(docker_workshop: DockerWorkshop, tmp_path: Path) -> None:
    """If the channel has lost a package, the build fails and makes no image.

    The log has the message of the installer.
    """
    channel = small_channel(tmp_path / "channel", [(Metadata("gone", "1.0"), [File("share/gone", b"1")])])
    made = install(tmp_path / "env", channel, "gone")
    text = dump(lock(snapshot(made))).replace(channel.url, "http://127.0.0.1:9/lab")
    file = tmp_path / "conda-lock.yml"
    file.write_text(text)
    name = docker_workshop.name(what="gone")
    with pytest.raises(EngineFault, match="exit code") as caught:
        docker_workshop.build(file, reference=name, load=True)
    assert "channel" in caught.value.hint
    assert "127.0.0.1:9" in docker_workshop.log
    with Daemon.connect() as engine:
        assert engine.image_id(name) is None


def test_a_large_context_is_reported_before_it_is_sent(
    docker_workshop: DockerWorkshop, tmp_path: Path, channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The size of the context is reported. Above the limit, a warning names the largest folders."""
    monkeypatch.setattr("jupyter_condabuild.engines.docker.context.LARGE", 1000)
    made = install(tmp_path / "env", channel, "greet")
    (tmp_path / "work/images").mkdir(parents=True)
    (tmp_path / "work/images/a.bin").write_bytes(bytes(range(256)) * 400)
    docker_workshop.build(made, reference=docker_workshop.name(), load=True, include=str(tmp_path / "work"))
    assert re.search(r"The context has \d+ files, .* compressed", docker_workshop.log)
    assert "workspace/images 102 kB" in docker_workshop.warnings["large-context"]


def test_an_archive_leaves_no_name_in_the_engine(
    docker_workshop: DockerWorkshop, tmp_path: Path, channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the request asks only for an archive, no name of ours stays in the engine."""
    made, given = install(tmp_path / "env", channel, "greet"), uuid.uuid4()
    monkeypatch.setattr(uuid, "uuid4", lambda: given)
    docker_workshop.image(made, reference=docker_workshop.name(what="file"))
    assert re.search(given.hex, docker_workshop.log)
    with Daemon.connect() as engine:
        assert engine.image_id(f"condabuild/build:{given.hex}") is None
        assert engine.image_id(docker_workshop.name(what="file")) is None


def test_a_missing_engine_is_reported_at_once(
    docker_workshop: DockerWorkshop, tmp_path: Path, channel: Channel
) -> None:
    """Without an engine, the build ends before a context is made."""
    made = install(tmp_path / "env", channel, "greet")
    docker_workshop.docker_host = f"unix://{tmp_path}/none.sock"
    with pytest.raises(EngineUnavailable):
        docker_workshop.build(made, reference=docker_workshop.name(), load=True)
    assert not any(isinstance(event, Log) and "context" in event.text for event in docker_workshop.events)
