"""A build without changes is recognised by the state of its files. It needs two requests, and reports its result."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jupyter_condabuild.conda.formats import dump
from jupyter_condabuild.conda.locking import lock
from jupyter_condabuild.conda.prefix.snapshot import snapshot
from jupyter_condabuild.conda.prefix.verification import expectations
from jupyter_condabuild.engines.result import BuildResult
from jupyter_condabuild.errors import EnvironmentChanged, RegistryError
from jupyter_condabuild.events import Event, Layer, Log, Phase, Report, Warning
from jupyter_condabuild.jobs import snapshot as snapshot_job
from jupyter_condabuild.jobs import up_to_date
from jupyter_condabuild.oci.image import Digest
from jupyter_condabuild.oci.layout import Store
from jupyter_condabuild.planning import verified_packages
from tests.parts.builds import Package, Workshop, install, small_channel
from tests.parts.channel.package import File, Metadata
from tests.parts.jobs import build_request, plan_request, silent
from tests.parts.registry.faults import FakeRegistry, spec_error
from tests.parts.small_image import image, programs, tar


class Place:
    """An environment whose image is in a registry, on a base in the same registry."""

    def __init__(self, workshop: Workshop, fake: FakeRegistry, folder: Path) -> None:
        data = [File("share/data", b"data"), File("share/other", b"other")]
        packages: list[Package] = [
            (Metadata("data", "1", noarch="generic"), data),
            (Metadata("python", "3.11.1"), [File("bin/python3.11", b"", 0o755)]),
        ]
        self.prefix = install(folder / "env", small_channel(folder / "channel", packages), "data", "python")
        self.work = folder / "work"
        self.work.mkdir()
        (self.work / "notebook.ipynb").write_text("{}")
        self.workshop = workshop
        self.fake = fake
        self.reference = f"{fake.host}/team/env:v1"
        self.base(b"1")

    def base(self, content: bytes) -> None:
        """Moves the base's tag to another image."""
        made = image([programs(), tar({"etc/base": content})])
        for descriptor in (made.manifest.config, *made.manifest.layers):
            self.fake.put("base", b"".join(made.read(descriptor)))
        self.fake.put_manifest("base", "latest", made.manifest.media_type, made.manifest.raw)

    def build(self, source: Path | None = None, report: Report = silent, **request: Any) -> BuildResult:
        """Builds and pushes. Only the requests of the last build are recorded. `report` gets its events, too."""
        self.fake.seen.clear()
        given = {"reference": self.reference, "push": True, "base": f"{self.fake.host}/base:latest", **request}
        return self.workshop.build(source or self.prefix, report, **given)

    def top_layer(self, built: BuildResult) -> dict[str, bytes]:
        """Returns the files of the highest layer of an image in the registry."""
        assert built.image
        blob = self.fake.blobs["team/env"][str(built.image.manifest.layers[-1].digest)]
        with tarfile.open(fileobj=io.BytesIO(blob), mode="r:gz") as layer:
            return {member.name: layer.extractfile(member).read() for member in layer if member.isfile()}  # type: ignore[union-attr]

    @property
    def worked(self) -> bool:
        """Whether the last build planned an image."""
        return any(isinstance(event, Phase) and event.name == "plan" for event in self.workshop.events)


@pytest.fixture
def place(workshop: Workshop, fake_registry: FakeRegistry, tmp_path: Path) -> Place:
    return Place(workshop, fake_registry, tmp_path)


def test_two_requests_are_enough(place: Place) -> None:
    """The requests ask for the digests of the image and of the base.

    The build then reports that it reused everything.
    """
    (place.prefix / "share/untracked").write_text("x")
    first = place.build()
    told = list(place.workshop.events)
    again = place.build()
    assert [seen.method for seen in place.fake.seen] == ["HEAD", "HEAD"]
    assert not place.worked
    assert (again.event.digest, again.event.size) == (first.event.digest, first.event.size)
    assert (again.event.bytes_pushed, again.event.layers_reused) == (0, first.event.layers)
    layers = [event for event in place.workshop.events if isinstance(event, Layer)]
    assert {layer.packages for layer in layers} == {event.packages for event in told if isinstance(event, Layer)}
    assert {layer.state for layer in layers} == {"reused-remote"}
    assert Log("Nothing has changed since the last build.") in place.workshop.events
    warnings = [event for event in told if isinstance(event, Warning)]
    assert "untracked-files" in {warning.code for warning in warnings}
    assert [event for event in place.workshop.events if isinstance(event, Warning)] == warnings


CHANGES: dict[str, Callable[[Place], object]] = {
    "a file is changed": lambda place: (place.prefix / "share/data").write_text("DATA"),
    "a file is added": lambda place: (place.prefix / "share/new").write_text(""),
    "a file is removed": lambda place: (place.prefix / "share/other").unlink(),
    "a file gets another mode": lambda place: (place.prefix / "share/data").chmod(0o755),
    "a record is changed": lambda place: (place.prefix / "conda-meta/history").write_text("# cmd: conda\n"),
    "the user's folder changes": lambda place: (place.work / "notebook.ipynb").write_text('{"cells": []}'),
    "the tag has another image": lambda place: place.fake.put_manifest(
        "team/env", "v1", *(place.fake.manifests["base"]["latest"])
    ),
    "the image was deleted": lambda place: place.fake.manifests.pop("team/env"),
    "the base is newer": lambda place: place.base(b"2"),
    "the store was pruned": lambda place: _prune(place),
    "the stored result is damaged": lambda place: [
        path.write_text('{"finished": {}}') for path in (place.workshop.store / "finished").iterdir()
    ],
}


def _prune(place: Place) -> None:
    with Store(place.workshop.store) as store:
        store.prune()


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_is_built(place: Place, change: str) -> None:
    """The change is in the environment, in the user's folder, in the registry or in the store."""
    place.build(include=str(place.work))
    CHANGES[change](place)
    place.build(include=str(place.work))
    assert place.worked


def test_a_change_of_the_only_file_is_built(place: Place) -> None:
    """If the user includes one file, the image has this file alone, and only its changes count."""
    notebook, other = place.work / "notebook.ipynb", place.work / "data"
    other.mkdir()
    assert place.top_layer(place.build(include=str(notebook))) == {"work/notebook.ipynb": b"{}"}
    assert "left-out" not in {event.code for event in place.workshop.events if isinstance(event, Warning)}
    (other / "x.csv").write_text("1")
    place.build(include=str(notebook))
    assert not place.worked
    notebook.write_text('{"cells": []}')
    assert place.top_layer(place.build(include=str(notebook))) == {"work/notebook.ipynb": b'{"cells": []}'}


@pytest.mark.parametrize("given", [{"again": True}, {"variables": True}, {"compression_level": 2}])
def test_every_other_request_is_built(place: Place, given: dict[str, Any]) -> None:
    """With `again`, the same request is built again."""
    place.build()
    place.build(**given)
    assert place.worked


def test_another_release_builds_again(place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Another release can make another image from the same environment."""
    place.build()
    monkeypatch.setattr(up_to_date, "_PACKAGE", tmp_path / "work")
    place.build()
    assert place.worked


def test_a_lock_file_is_recognised_by_its_content(place: Place, tmp_path: Path) -> None:
    """If it is written again with the same content, it is the same lock file."""
    path = tmp_path / "conda-lock.yml"
    text = dump(lock(snapshot(place.prefix)))
    path.write_text(text)
    place.build(path)
    os.utime(path, (1, 1))
    place.build(path)
    assert not place.worked
    path.write_text(f"{text}\n")
    place.build(path)
    assert place.worked


def _editable_install(place: Place, folder: Path) -> Path:
    """Returns a module in its own folder. pip has installed it into the environment as editable."""
    site = place.prefix / "lib/python3.11/site-packages"
    info = site / "mine-1.dist-info"
    info.mkdir(parents=True)
    source = folder / "source"
    source.mkdir()
    (source / "mine.py").write_text("x = 1\n")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1\n")
    (info / "INSTALLER").write_text("pip\n")
    (info / "direct_url.json").write_text(f'{{"url": "{source.as_uri()}", "dir_info": {{"editable": true}}}}')
    listed = [f"mine-1.dist-info/{name},," for name in ("METADATA", "INSTALLER", "RECORD")]
    (info / "RECORD").write_text("\n".join(listed))
    return source / "mine.py"


def test_the_sources_of_an_editable_install_count(place: Place, tmp_path: Path) -> None:
    """The sources are outside of the environment, and the image has a copy of them."""
    module = _editable_install(place, tmp_path)
    first = place.build()
    place.build()
    assert not place.worked
    module.write_text("x = 2\n")
    assert place.build().event.digest != first.event.digest


def test_files_outside_of_the_environment_count(place: Place, tmp_path: Path) -> None:
    """Packages that appear in the user's site-packages change the warnings, and a taken file changes the image."""
    user, data = tmp_path / "home/.local/lib/python3.11/site-packages", tmp_path / "data"
    (data / "models").mkdir(parents=True)
    (data / "models/a").write_text("1")
    (place.prefix / "share/models").symlink_to(data / "models")
    given = {"launch": [f"HOME={tmp_path}/home"], "include_outside": [str(data)]}
    first = place.build(**given)
    place.build(**given)
    assert not place.worked
    assert "outside-prefix" not in place.workshop.warnings
    user.mkdir(parents=True)
    (user / "mine.py").write_text("x = 1\n")
    assert place.build(**given).event.digest == first.event.digest
    assert "mine" not in place.workshop.warnings["outside-prefix"]
    place.build(**given)
    assert not place.worked
    (user / "mine-1.dist-info").mkdir()
    (user / "mine-1.dist-info/METADATA").write_text("Name: mine\nVersion: 1\n")
    place.build(**given)
    assert "mine 1" in place.workshop.warnings["outside-prefix"]
    (data / "models/a").write_text("2")
    assert place.build(**given).event.digest != first.event.digest


def test_a_source_saved_during_the_upload_is_built_next(place: Place, tmp_path: Path) -> None:
    """The image has the module without the change. The next build must not say that nothing has changed."""
    module = _editable_install(place, tmp_path)

    def save(event: Event) -> None:
        if event == Phase("push", "started"):
            module.write_text("x = 2\n")

    first = place.build(report=save)
    assert module.read_text() == "x = 2\n"
    assert place.build().event.digest != first.event.digest


def test_a_registry_that_does_not_answer_is_reported_by_the_build(place: Place) -> None:
    """Without an answer, the image must not be reported as finished."""
    place.build()
    place.fake.on("HEAD", "team/env/manifests", *[spec_error(500, "UNKNOWN", "no")] * 2)
    place.fake.on("GET", "team/env/manifests", *[spec_error(400, "UNKNOWN", "no")] * 20)
    with pytest.raises(RegistryError, match="UNKNOWN: no"):
        place.build()


@pytest.mark.parametrize(
    "more", [{"load": True}, {"archive": "x.tar"}, {"engine": "docker"}, {"base": "oci-archive:x"}]
)
def test_archives_and_loaded_images_are_always_built(place: Place, more: dict[str, Any]) -> None:
    """The build does not know whether they still exist."""
    given: dict[str, Any] = {"prefix": place.prefix, "reference": place.reference, "push": True}
    assert up_to_date.applies(build_request(**given))
    assert not up_to_date.applies(build_request(**given, **more))


def _kept(place: Place) -> list[Path]:
    return list((place.workshop.store / "finished").iterdir())


def test_a_stored_result_belongs_to_one_base(place: Place) -> None:
    """The result has the digest of the base's name, not the digest of the image below."""
    place.build()
    [memory] = filter(None, (up_to_date.Memory.parse(path.read_bytes()) for path in _kept(place)))
    assert memory.base == str(Digest.of(place.fake.manifests["base"]["latest"][1]))


def test_the_next_build_uses_the_verified_packages(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The verified packages are used with and without other drift in the environment."""
    place.build()
    with Store(place.workshop.store) as store:
        assert verified_packages.read(store, str(place.prefix)).keys() == {"data-1-0", "python-3.11.1-0"}
    (place.prefix / "share/data").write_text("changed")
    looked_at: list[str] = []
    monkeypatch.setattr(
        "jupyter_condabuild.conda.prefix.drift.expectations",
        lambda prefix, records, **more: [
            looked_at.extend(record.name for record in records),
            expectations(prefix, records, **more),
        ][1],
    )
    place.build()
    assert looked_at == ["data"]
    assert "modified-files" in place.workshop.warnings


def test_a_build_refuses_another_environment_than_the_user_has_seen(place: Place) -> None:
    """The environment changed after its snapshot, also if an image of the changed environment is up to date already."""

    def seen() -> dict[str, Any]:
        return snapshot_job.run(plan_request(prefix=place.prefix, store_dir=place.workshop.store), silent)

    before = seen()
    place.build(identity=before["identity"])
    (place.prefix / "share" / "foreign.txt").write_text("foreign")
    place.build()
    for engine in ("layers", "docker"):
        with pytest.raises(EnvironmentChanged, match="has changed since"):
            place.build(identity=before["identity"], engine=engine)
    after = seen()
    place.build(identity=after["identity"])
    assert after["digest"] == before["digest"]
    assert after["identity"] != before["identity"]


def test_a_build_imports_no_module_that_it_does_not_need(tmp_path: Path) -> None:
    """Each module costs time. Only a base of Debian's packages, and --apt, need those that read such packages."""
    code = "import sys; from jupyter_condabuild.jobs import build; list(build._imports())"
    code += "; from jupyter_condabuild.conda.package_cache import default_folders; default_folders()"
    code += "; print(*sys.modules)"
    (tmp_path / ".condarc").write_text("channels: [conda-forge]\n")
    command, environ = [sys.executable, "-c", code], {**os.environ, "HOME": str(tmp_path)}
    names = subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stdout.split()
    assert "jupyter_condabuild.engines.layers.build" in names
    own = ("debian", "engines.docker", "engines.layers.stacking", "image.opener", "oci.engine", "receive")
    others = ("packageurl", "rattler", "yaml")
    assert not [name for name in names if name.startswith((*(f"jupyter_condabuild.{room}" for room in own), *others))]
