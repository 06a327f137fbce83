"""The same environment gives the same image, for any user, machine, time and prefix."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from jupyter_condabuild.system import process_tree
from tests.parts.builds import Package, Workshop, install, small_channel
from tests.parts.channel import prefix as prefixes
from tests.parts.channel.package import File, Metadata
from tests.parts.image_tree import SavedImage

SPECS = ("python", "requests", "tqdm", "greet", "textprefix", "templated", "changing=1.0", "clobber-a", "clobber-b")


@dataclass(frozen=True)
class Circumstances:
    """Conditions that must not matter:

    `umask` and `uid` of the process, its variables, its number of processors, and whether folders list their names
    from the last to the first.
    """

    umask: int = 0o022
    uid: int = 0
    environ: Mapping[str, str] = field(default_factory=dict)
    processors: int | None = None
    backward: bool = False


CIRCUMSTANCES = {
    "plain": Circumstances(),
    "umask": Circumstances(umask=0o077),
    "open umask": Circumstances(umask=0o000),
    "time zone": Circumstances(environ={"TZ": "Pacific/Kiritimati", "SOURCE_DATE_EPOCH": "1"}),
    "locale": Circumstances(environ={"LC_ALL": "C", "LANG": "C"}),
    "hash seed": Circumstances(environ={"PYTHONHASHSEED": "12345"}),
    "python options": Circumstances(environ={"PYTHONOPTIMIZE": "2", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUTF8": "0"}),
    "one processor": Circumstances(processors=1),
    "another user": Circumstances(uid=12345, umask=0o027),
}

RUN = """
import json, os, sys
how = json.loads(sys.argv[1])
if how["processors"]:
    os.sched_setaffinity(0, list(os.sched_getaffinity(0))[:how["processors"]])
os.umask(how["umask"])
assert how["backward"] == (os.listdir.__name__ == "backward")
from pathlib import Path
from jupyter_condabuild.jobs import build
from jupyter_condabuild.requests.build import BuildRequest
result = build.run(BuildRequest.parse(how["request"]), lambda event: None)
print(result.event.digest)
"""


BACKWARD = """
import os

class Entries:
    def __init__(self, found):
        self.left = iter(found)

    def __iter__(self):
        return self

    def __next__(self):
        return next(self.left)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        pass

def backward(*arguments, of=os.listdir):
    return sorted(of(*arguments), reverse=True)

def entries(*arguments, of=os.scandir):
    with of(*arguments) as found:
        return Entries(sorted(found, key=lambda entry: entry.name, reverse=True))

os.listdir, os.scandir = backward, entries
"""
"""A module that each Python process of a build imports at its start."""


def as_user(uid: int) -> list[str]:
    """Returns the prefix of a command that runs it as another user, who can read the folder of the tests' Python."""
    may = "+dac_read_search"
    options = [f"--reuid={uid}", f"--regid={uid}", "--clear-groups", f"--inh-caps={may}", f"--ambient-caps={may}"]
    return ["setpriv", *options] if uid else []


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, channel_url: str, small_base: str) -> Path:
    """A prefix, its package cache and the base."""
    folder = tmp_path_factory.mktemp("shared")
    prefixes.create(folder / "env", SPECS, channel_url, folder / "pkgs")
    shutil.copy(small_base.removeprefix("oci-archive:"), folder / "base.tar")
    return folder


@pytest.fixture(scope="module")
def built(shared: Path) -> Callable[[str, Circumstances], SavedImage]:
    """Builds the image under some conditions."""

    def make(name: str, how: Circumstances, prefix: Path = shared / "env", **options: Any) -> SavedImage:
        place = shared / "places" / name
        place.mkdir(parents=True)
        if how.uid:
            os.chown(place, how.uid, how.uid)
        request = {
            "prefix": str(prefix),
            "archive": str(place / "image.tar"),
            "base": f"oci-archive:{shared / 'base.tar'}",
            "store_dir": str(place / "store"),
            **options,
        }
        if how.backward:
            (place / "site").mkdir()
            (place / "site/sitecustomize.py").write_text(BACKWARD)
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(place),
            "PYTHONPATH": os.pathsep.join([str(place / "site"), *sys.path]),
            **how.environ,
        }
        given = {"request": request, "umask": how.umask, "processors": how.processors, "backward": how.backward}
        command = [sys.executable, "-c", RUN, json.dumps(given)]
        subprocess.run([*as_user(how.uid), *command], env=environ, check=True, stdout=subprocess.DEVNULL, cwd="/")
        return SavedImage(place / "image.tar")

    return make


@pytest.fixture(scope="module")
def reference(built: Callable[..., SavedImage]) -> SavedImage:
    return built("reference", Circumstances())


@pytest.mark.parametrize("name", CIRCUMSTANCES)
def test_the_conditions_do_not_matter(built: Callable[..., SavedImage], reference: SavedImage, name: str) -> None:
    """Layers, configuration and manifest have the same bytes."""
    if CIRCUMSTANCES[name].uid and os.getuid():
        pytest.skip("only root can become another user")
    found = built(name.replace(" ", "-"), CIRCUMSTANCES[name])
    assert found.layers == reference.layers
    assert found.config == reference.config
    assert found.digest == reference.digest


@pytest.mark.parametrize("place", ["/tmp/e", "deep/" * 30 + "env", "with space/\u00e9nv"])
def test_the_path_of_the_prefix_does_not_matter(
    shared: Path, reference: SavedImage, channel_url: str, tmp_path: Path, small_base: str, place: str
) -> None:
    """The path can be short, long (scripts then start in another way) or odd.

    The order of the files does not matter either.
    """
    prefix = Path(f"{place}{os.getpid()}") if place.startswith("/") else tmp_path / place
    try:
        prefixes.create(prefix, SPECS[::-1], channel_url, shared / "pkgs")
        image = Workshop(tmp_path, small_base).image(prefix)
    finally:
        shutil.rmtree(prefix)
    assert (image.layers, image.digest) == (reference.layers, reference.digest)


def test_the_order_in_which_folders_list_their_names_does_not_matter(
    built: Callable[..., SavedImage], tmp_path: Path
) -> None:
    """Neither for packages, nor for the user's own files, nor for a folder that the image includes."""
    prefix = install(tmp_path / "env", small_channel(tmp_path / "channel", packages()), "a", "b", "f")
    for number in range(4):
        for place in (prefix / f"share/own{number}", tmp_path / f"work/folder{number}"):
            place.mkdir(parents=True)
            (place / "a").write_text(f"{number}")
            (place / "b").write_text(str(prefix))
    images = [
        built(f"backward-{backward}", Circumstances(backward=backward), prefix, include=str(tmp_path / "work"))
        for backward in (False, True)
    ]
    assert images[0].layers == images[1].layers
    assert images[0].digest == images[1].digest
    assert {"share/f", "share/own3/a", "share/own3/b"} <= images[0].tree().keys()


def test_the_installer_does_not_matter(
    reference: SavedImage, channel_url: str, tmp_path: Path, small_base: str
) -> None:
    """A prefix of conda gives the same package layers, although conda has its own bytecode and records.

    The reference has one more layer: py-rattler leaves another file at the path of two packages.
    """
    prefix = prefixes.conda_made(tmp_path / "mini/envs/demo", tmp_path / "mini/pkgs", SPECS, channel_url)
    image = Workshop(tmp_path, small_base).image(prefix)
    assert image.layers == reference.layers[:-1]


def test_the_number_of_writers_does_not_matter(
    shared: Path, reference: SavedImage, tmp_path: Path, small_base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The packages that a writer has written before do not matter either."""
    for number in (1, 5):
        monkeypatch.setattr(process_tree, "processors", lambda number=number: number)
        place = tmp_path / str(number)
        place.mkdir()
        image = Workshop(place, small_base).image(shared / "env")
        assert image.digest == reference.digest, number


def test_a_partly_filled_store_does_not_matter(
    shared: Path, reference: SavedImage, tmp_path: Path, small_base: str
) -> None:
    """The image is the same for any existing layers, and for any layers that are made together."""
    workshop = Workshop(tmp_path, small_base)
    workshop.image(shared / "env")
    records = sorted((workshop.store / "layers").iterdir())
    for record in records[::2]:
        record.unlink()
    again = workshop.image(shared / "env", "again")
    assert workshop.layers("built")
    assert workshop.layers("reused-local")
    assert again.digest == reference.digest


def test_compression_changes_only_the_blobs(
    shared: Path, reference: SavedImage, tmp_path: Path, small_base: str
) -> None:
    """The tars are the same."""
    image = Workshop(tmp_path, small_base).image(shared / "env", compression_level=3)
    assert image.layers != reference.layers
    assert image.diff_ids == reference.diff_ids


BIG = 70_000


def packages(**versions: tuple[str, bytes]) -> list[Package]:
    """Six packages, some of them large, and some with another version or content."""
    made: list[Package] = []
    for number, name in enumerate(("a", "b", "c", "d", "e", "f")):
        version, content = versions.get(name, ("1.0", b"x"))
        data = content * 10 + bytes((number * 7 + at * at) % 251 for at in range(BIG if number < 3 else 50))
        noarch: Any = "generic" if number % 2 else None
        made.append((Metadata(name, version, noarch=noarch), [File(f"share/{name}", data)]))
    return made


def layers_of(workshop: Workshop, folder: Path, number: int, made: list[Package], budget: int) -> SavedImage:
    """Builds the image of these packages, from a channel with a constant URL."""
    shutil.rmtree(folder / "channel", ignore_errors=True)
    channel = small_channel(folder / "channel", made)
    specs = [f"{metadata.name}={metadata.version}" for metadata, _ in made]
    return workshop.image(install(folder / f"{number}/env", channel, *specs), str(number), layer_budget=budget)


@pytest.mark.parametrize("name", ["a", "b", "e", "f"])
@pytest.mark.parametrize("budget", [96, 4])
def test_a_changed_package_changes_one_layer(workshop: Workshop, tmp_path: Path, name: str, budget: int) -> None:
    """Its layer, the configuration and the manifest change, for a large or small, noarch, own or shared layer."""
    before = layers_of(workshop, tmp_path, 0, packages(), budget)
    after = layers_of(workshop, tmp_path, 1, packages(**{name: ("2.0", b"y")}), budget)
    pairs = list(zip(before.layers, after.layers, strict=True))
    assert [one == other for one, other in pairs].count(False) == 1
    changed = {item for item in after.package_layers if f"{name}-2.0-" in item}
    assert len(changed) == 1
    assert workshop.layers("built") == set(next(iter(changed)).split())
    assert before.manifest["config"] != after.manifest["config"]


@pytest.mark.parametrize("name", ["a", "b", "e", "f"])
@pytest.mark.parametrize("budget", [96, 24])
def test_an_added_or_removed_package_changes_no_other_layer(
    workshop: Workshop, tmp_path: Path, name: str, budget: int
) -> None:
    """There is a layer more or less, or a shared layer changes. The other layers are the same, in the same order."""
    whole = layers_of(workshop, tmp_path, 0, packages(), budget)
    fewer = [item for item in packages() if item[0].name != name]
    without = layers_of(workshop, tmp_path, 1, fewer, budget)
    ((names, own),) = [item for item in whole.package_layers.items() if f"{name}-1.0-" in item[0]]
    rest = [one for one in names.split() if not one.startswith(f"{name}-1.0-")]
    others = [digest for digest in whole.layers if digest != own]
    assert [digest for digest in without.layers if digest != without.package_layers.get(" ".join(rest))] == others
    assert workshop.layers("built") == set(rest)
    back = layers_of(workshop, tmp_path, 2, packages(), budget)
    assert back.digest == whole.digest
    assert workshop.layers("built") == set()
