"""`diff` and `verify` find the differences between environments, and check that an image matches its lock file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from jupyter_condabuild.conda.formats import dump
from jupyter_condabuild.conda.lockfile import Lockfile
from jupyter_condabuild.conda.locking import lock
from jupyter_condabuild.conda.packages import PipPackage
from jupyter_condabuild.conda.prefix.snapshot import snapshot
from jupyter_condabuild.errors import BadImage, NotVerified
from jupyter_condabuild.jobs.diff import compare, locked
from jupyter_condabuild.oci import archive
from jupyter_condabuild.requests.job_context import JobContext
from jupyter_condabuild.requests.source import LockfileRequest
from tests.engines.test_dockerfile import HASH, conda, lockfile
from tests.parts.builds import Workshop, install, small_channel
from tests.parts.channel.channel import Channel
from tests.parts.channel.package import File, Metadata
from tests.parts.command_line import CommandLine
from tests.parts.engines import DockerWorkshop
from tests.parts.forged_image import Forgery, entry, packed
from tests.parts.image_tree import SavedImage
from tests.parts.jobs import exchange_layer, verified
from tests.parts.small_image import image, programs


def lines(one: Lockfile, other: Lockfile) -> list[str]:
    """Returns the text of a difference for people, without the last line."""
    return compare(one, other).text().splitlines()[:-1]


def test_each_kind_of_change_has_its_line() -> None:
    """Packages of conda and of pip can be added, removed, changed and rebuilt."""
    one = lockfile(conda("a"), conda("b"), conda("c"), pip=(PipPackage("p", "1"), PipPackage("q", "1", sha256=HASH)))
    other = lockfile(
        conda("b", version="2.0"),
        conda("c", sha256="cd" * 32),
        conda("d"),
        pip=(PipPackage("q", "1", sha256="cd" * 32), PipPackage("r", "1")),
    )
    assert lines(one, other) == [
        "- a 1.0-0",
        "~ b 1.0-0 -> 2.0-0",
        "~ c 1.0-0: the same version, another archive",
        "+ d 1.0-0",
        "- p 1 (pip)",
        "~ q 1: the same version, another archive (pip)",
        "+ r 1 (pip)",
    ]
    end = "7 changed, 1 package the same. Files that belong to no package were not compared."
    assert compare(one, other).text().endswith(end)


def test_the_same_packages_from_a_mirror_are_equal() -> None:
    """An equal hash decides. If a hash is unknown, the packages are not reported as different."""
    one = conda("a")
    mirrored = replace(one, url=one.url.replace("conda.example.org", "mirror.example.org"))
    assert lines(lockfile(one), lockfile(mirrored)) == []
    assert lines(lockfile(one), lockfile(replace(one, sha256=""))) == []


def test_environments_lock_files_and_images_are_compared(
    rattler_prefix: Path, rattler_image: SavedImage, job: JobContext, tmp_path: Path
) -> None:
    """An environment is equal to its lock file and to its image."""
    file = tmp_path / "conda-lock.yml"
    file.write_text(dump(lock(snapshot(rattler_prefix))))
    forms = [str(rattler_prefix), str(file), str(rattler_image.archive), f"oci-archive:{rattler_image.archive}"]
    assert len({locked(form, LockfileRequest(), job).digest for form in forms}) == 1


def test_diff_and_licenses_choose_from_a_lock_file(rattler_prefix: Path, tmp_path: Path) -> None:
    """They take the options of a build, and say what they leave out."""
    text = dump(lock(snapshot(rattler_prefix)))
    file = tmp_path / "conda-lock.yml"
    file.write_text(text.replace("category: main", "category: docs", 1))
    run = CommandLine(tmp_path)
    done = run("diff", rattler_prefix, file)
    assert done.out.splitlines()[-1].startswith("1 changed")
    assert "in the category docs are left out" in done.err
    done = run("diff", rattler_prefix, file, "--category", "docs", "--category", "main")
    assert done.out.startswith("No difference")
    assert len(run("licenses", file, "--category", "docs", "--json").json["packages"]) == 1


def test_diff_prints_text_or_json(rattler_image: SavedImage, rattler_prefix: Path, tmp_path: Path) -> None:
    """`diff` says that both are equal. With --json, it prints the result for programs."""
    run = CommandLine(tmp_path)
    done = run("diff", rattler_prefix, rattler_image.archive)
    assert done.status == 0, done.err
    assert done.out.startswith("No difference: ")
    assert run("diff", rattler_prefix, rattler_image.archive, "--json").json["equal"] is True
    assert run("diff", rattler_prefix, rattler_image.archive, "--events", "jsonl", "--json").events[-1]["equal"] is True
    assert run("diff", rattler_prefix, rattler_image.archive, "--events", "jsonl").out == ""


def test_an_image_of_another_tool_has_no_lock_file(job: JobContext, tmp_path: Path) -> None:
    """An image without a lock file is refused with the reason."""
    archive.write(image([programs()]), "", tmp_path / "other.tar")
    with pytest.raises(BadImage, match="was not made by"):
        locked(str(tmp_path / "other.tar"), LockfileRequest(), job)


def small(tmp_path: Path) -> tuple[Channel, Path]:
    """Two packages with a path each, and with a path that both have."""
    packages = [
        (Metadata("one", "1.0"), [File("share/one", b"1"), File("share/both", b"one")]),
        (Metadata("two", "1.0", depends=("one",)), [File("share/two", b"2"), File("share/both", b"two")]),
    ]
    channel = small_channel(tmp_path / "channel", packages)
    return channel, install(tmp_path / "env", channel, "two")


def test_an_image_of_the_layers_engine_is_verified_layer_by_layer(workshop: Workshop, tmp_path: Path) -> None:
    """Every package is the same, and so is the path of two packages. Files without a package are named."""
    _, made = small(tmp_path)
    (made / "share/mine").write_text("x")
    saved = workshop.image(made)
    found = verified(saved.archive, tmp_path / "verifying", base=workshop.base)
    assert {"one", "two", "entrypoint and home", "configuration"} <= {name.split("-")[0] for name in found.proved}
    assert found.differs == ()
    (reason,) = found.unproved
    assert "pip packages, changed and untracked files" in reason
    assert not found.is_verified


def test_the_compression_level_does_not_matter(workshop: Workshop, tmp_path: Path) -> None:
    """The content is compared, and not the compressed bytes."""
    _, made = small(tmp_path)
    saved = workshop.image(made, compression_level=3)
    assert verified(saved.archive, tmp_path / "verifying", 0, base=workshop.base).is_verified


def test_a_changed_layer_is_found(workshop: Workshop, tmp_path: Path) -> None:
    """If a layer is replaced, the image is not verified, although its manifest and configuration agree."""
    _, made = small(tmp_path)
    saved = workshop.image(made)
    exchange_layer(saved.archive, "one-", tmp_path / "evil.tar")
    with pytest.raises(NotVerified, match=r"one-1\.0"):
        verified(tmp_path / "evil.tar", tmp_path / "verifying")


def test_an_image_of_the_docker_engine_is_verified_file_by_file(
    docker_workshop: DockerWorkshop, tmp_path: Path, channel: Channel
) -> None:
    """Files of packages have the same content. A file that was changed in the image is named."""
    made = install(tmp_path / "env", channel, "greet", "python", "tqdm")
    saved = docker_workshop.image(made)
    found = verified(saved.archive, tmp_path / "verifying")
    assert found.engine == "docker"
    assert len(found.proved) > 100
    assert found.differs == ()
    assert {reason.partition(":")[0] for reason in found.unproved} <= {"bytecode", "records", "files of the user"}
    forged = Forgery.of(saved.archive)
    runtime = {"Entrypoint": ["/evil"], "User": "0", "Env": [*forged.runtime["Env"], "LD_PRELOAD=/evil.so"]}
    forged.runtime.update(runtime)
    evil = [entry("opt/env/bin/su", b"x", mode=0o4755), entry("etc/passwd", b"x"), entry("opt/condabuild/lock", b"x")]
    forged.insert(len(forged.layers), packed(evil), "x")
    with pytest.raises(NotVerified) as raised:
        verified(forged.write(tmp_path / "forged.tar"), tmp_path / "verifying")
    for part in ("Entrypoint", "User", "variable LD_PRELOAD", "bin/su: mode 4755", "/etc/passwd", "condabuild/lock"):
        assert part in raised.value.message
    (made / "share/greet/message.txt").unlink()
    (made / "share/greet/message.txt").write_text("changed\n")
    saved = docker_workshop.image(made, "changed")
    with pytest.raises(NotVerified, match=r"share/greet/message\.txt"):
        verified(saved.archive, tmp_path / "verifying")


def test_verify_has_an_exit_status_and_json(workshop: Workshop, tmp_path: Path) -> None:
    """The exit status says whether an image was verified. --json has the lists."""
    _, made = small(tmp_path)
    saved = workshop.image(made)
    run, base = CommandLine(tmp_path), ("--base", workshop.base)
    done = run("verify", saved.archive, *base, "--json")
    assert done.status == 0, done.err
    assert json.loads(done.out)["verified"] is True
    events = run("verify", saved.archive, *base, "--all", "--events", "jsonl").events
    assert [event["type"] for event in events if event["type"] in ("finished", "failed")] == ["finished"]
    assert (events[-1]["proved"], events[-1]["unproved"]) == (5, 0)  # packages, entrypoint, base, configuration
    without = run("verify", saved.archive)
    assert without.status == 3
    assert "not verified: 3 proved, " in without.out
    exchange_layer(saved.archive, "one-", tmp_path / "evil.tar")
    assert run("verify", tmp_path / "evil.tar", *base).status == 1
