"""An environment of macOS, Windows or another processor becomes an image for Linux. Nothing of the image runs here."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import docker
import pytest

from jupyter_condabuild.conda.formats import load
from jupyter_condabuild.conda.platforms import linux_platform
from jupyter_condabuild.errors import (
    LockfileError,
    NotCompatible,
    NotReproducible,
    PackageMismatch,
    PlatformNeeded,
    UsageError,
)
from jupyter_condabuild.events import Log
from jupyter_condabuild.image.platforms import host_architecture
from jupyter_condabuild.jobs import diff, export, plan, snapshot
from jupyter_condabuild.oci import archive
from jupyter_condabuild.planning import translation
from jupyter_condabuild.requests.others import DiffRequest, ExportRequest
from tests.parts import small_image
from tests.parts.builds import Workshop
from tests.parts.channel import platforms
from tests.parts.channel import prefix as prefixes
from tests.parts.channel.bytecode import SITE_PACKAGES as SITE
from tests.parts.channel.channel import Channel
from tests.parts.channel.wheel_index import WheelIndex
from tests.parts.engines import DockerWorkshop
from tests.parts.jobs import plan_request, silent

ENTRY_POINT = {"fast-1.0.dist-info/entry_points.txt": b"[console_scripts]\nfast = fast:main\n"}


@pytest.fixture
def windows(tmp_path: Path, mixed: Channel) -> Path:
    """A Windows environment as rattler links it there."""
    return platforms.installed(tmp_path / "windows", "win-64", platforms.SPECS, mixed.url, tmp_path / "pkgs")


def write(prefix: Path, files: dict[str, bytes]) -> None:
    """Writes files of no package."""
    for path, data in files.items():
        (prefix / path).parent.mkdir(parents=True, exist_ok=True)
        (prefix / path).write_bytes(data)


def pip_install(
    prefix: Path, site: str, name: str, files: dict[str, bytes] | None = None, version: str = "1.0"
) -> None:
    """Installs a distribution as pip does on that system, with its commands as they are there."""
    info = f"{site}/{name}-{version}.dist-info"
    content = {**(files or {}), f"{info}/METADATA": f"Name: {name}\nVersion: {version}\n".encode()}
    content |= {f"{info}/INSTALLER": b"pip\n"}
    up = "/".join([".."] * len(site.split("/")))
    names = [path.removeprefix(f"{site}/") if path.startswith(site) else f"{up}/{path}" for path in content]
    content[f"{info}/RECORD"] = "".join(
        f"{path},,\n" for path in [*names, f"{name}-{version}.dist-info/RECORD"]
    ).encode()
    write(prefix, content)


def from_index(prefix: Path, index: WheelIndex) -> None:
    """Makes the index that of the environment."""
    name = "pip.ini" if (prefix / "python.exe").exists() else "pip.conf"
    (prefix / name).write_text(f"[global]\nindex-url = {index.url}\n")


def test_the_image_has_the_layers_of_a_linux_environment(
    mac: Path, workshop: Workshop, mixed: Channel, tmp_path: Path
) -> None:
    """A labmate on Linux with these packages shares every layer, the bytecode of noarch packages included."""
    linux = prefixes.create(tmp_path / "linux", platforms.SPECS, mixed.url, tmp_path / "cache")
    expected = workshop.image(linux, "linux")
    other = Workshop(tmp_path / "second", workshop.base)
    (tmp_path / "second").mkdir()
    image = other.image(mac, platform="linux-64")
    assert image.layers == expected.layers
    assert image.package_layers == expected.package_layers
    assert f"{SITE}/tqdm/__pycache__/__init__.cpython-{sys.version_info[0]}{sys.version_info[1]}.pyc" in image.tree()
    assert image.config["architecture"] == "amd64"


def test_without_a_platform_the_image_has_the_one_of_the_base(mac: Path, workshop: Workshop, tmp_path: Path) -> None:
    """The table is shown. Of a base for several platforms, it is this machine's; the plan chooses the same one."""
    arm = tmp_path / "arm.tar"
    archive.write(small_image.image([small_image.tar({"etc/base": b"1\n"})], "arm64"), "", arm)
    two = small_image.two_platforms(tmp_path / "two.tar")
    for base, platform, processor in (
        (f"oci-archive:{arm}", "linux-aarch64", "arm64"),
        (two, linux_platform(), host_architecture()),
    ):
        image = workshop.image(mac, base=base)
        assert image.config["architecture"] == processor
        lines = [event.text for event in workshop.events if isinstance(event, Log)]
        assert f"The image is for {platform}, as its base is. Another one: --platform." in lines
        assert any(line.startswith(f"osx-arm64 to {platform}: of 5 packages, ") for line in lines)
        planned = plan.run(plan_request(prefix=mac, base=base, store_dir=workshop.store), silent)
        assert planned.inputs.lockfile.platform == platform


def test_without_a_platform_and_without_the_base_the_environment_is_refused(mac: Path, workshop: Workshop) -> None:
    """No channel is read; the hint names the option."""
    with pytest.raises(LockfileError, match="is for osx-arm64") as caught:
        workshop.image(mac, base="localhost:1/base:v1")
    assert "--platform linux-64" in caught.value.hint


def test_a_snapshot_without_a_platform_names_that_of_the_base(mac: Path, workshop: Workshop, tmp_path: Path) -> None:
    """It solves nothing. The hint is what the panel chooses first."""
    arm = tmp_path / "arm.tar"
    archive.write(small_image.image([small_image.tar({"etc/base": b"1\n"})], "arm64"), "", arm)
    for base, platform in ((f"oci-archive:{arm}", "linux-aarch64"), ("localhost:1/base:v1", linux_platform())):
        with pytest.raises(PlatformNeeded) as caught:
            snapshot.run(plan_request(prefix=mac, base=base, store_dir=workshop.store), silent)
        assert caught.value.hint.endswith(f"--platform {platform}.")
        assert caught.value.platform == platform


def test_the_table_is_shown_before_the_build_and_is_in_the_plan(mac: Path, workshop: Workshop) -> None:
    """The plan has it as data, too."""
    workshop.image(mac, platform="linux-64")
    lines = [event.text for event in workshop.events if isinstance(event, Log)]
    assert any(line.startswith("osx-arm64 to linux-64: of 5 packages, ") for line in lines)
    preview = plan.run(
        plan_request(prefix=mac, base=workshop.base, store_dir=workshop.store, platform="linux-64"), silent
    )
    assert preview.summary()["substitution"]["counts"]["left-out"] == 1
    assert preview.text().startswith("osx-arm64 to linux-64: ")


def test_files_of_no_package_are_taken_if_linux_can_use_them(mac: Path, workshop: Workshop) -> None:
    """In text, the prefix of the image takes the place of the Mac's. Programs of macOS are named, and left out."""
    write(
        mac,
        {
            "share/notes.txt": f"data in {mac}/share/data.bin".encode(),
            "share/data.bin": b"\0\1\2",
            "share/.DS_Store": b"\0",
            f"{SITE}/own.py": b"VALUE = 1\n",
            "lib/libown.dylib": platforms.MACH_O,
            "lib/libarm.so": platforms.ELF_ARM,
            "share/Some.class": bytes.fromhex("cafebabe00000034") + bytes(20),
        },
    )
    (mac / "share/link").symlink_to(mac / "share/data.bin")
    (mac / "lib/fastlib.bin").write_bytes(b"changed")
    image = workshop.image(mac, platform="linux-64")
    tree = image.tree()
    assert image.read("opt/env/share/notes.txt") == b"data in /opt/env/share/data.bin"
    assert image.read("opt/env/share/data.bin") == b"\0\1\2"
    assert tree["share/link"].target == "/opt/env/share/data.bin"
    assert f"{SITE}/own.py" in tree
    assert "share/Some.class" in tree  # the magic number of Java is that of macOS
    assert not {"lib/libown.dylib", "lib/libarm.so", "share/.DS_Store"} & tree.keys()
    assert image.read("opt/env/lib/fastlib.bin") == b"x"
    assert "lib/libarm.so (Linux on aarch64), lib/libown.dylib (macOS)" in workshop.warnings["foreign-files"]
    assert "lib/fastlib.bin" in workshop.warnings["changes-not-carried"]
    with pytest.raises(NotReproducible, match=r"libown\.dylib"):
        workshop.image(mac, platform="linux-64", strict=True)


def test_credentials_stay_on_the_mac(mac: Path, workshop: Workshop) -> None:
    """The same files are left out as in an image of the environment's own platform."""
    write(mac, {".netrc": b"machine h login ada password s3cret", "share/readme": b"text"})
    image = workshop.image(mac, platform="linux-64")
    assert "share/readme" in image.tree()
    assert ".netrc" not in image.tree()
    assert str(mac / ".netrc") in workshop.warnings["credentials-left-out"]


def test_pip_packages_get_the_wheels_of_the_platform(mac: Path, workshop: Workshop, index: WheelIndex) -> None:
    """The files of the wheel are in the image, not those of the Mac; commands name the image's Python."""
    index.wheel("fast", tag="cp311-abi3-macosx_11_0_arm64")
    tag = f"cp{sys.version_info[0]}{sys.version_info[1]}"
    index.wheel("fast", tag=f"{tag}-{tag}-manylinux2014_x86_64", files=ENTRY_POINT, requires=("helper",))
    index.wheel("helper", files={"helper-1.0.data/data/share/helper.txt": b"help"})
    pip_install(mac, SITE, "fast", {f"{SITE}/fast.py": b"TAG = 'mac'", f"{SITE}/_fast.so": platforms.MACH_O})
    from_index(mac, index)
    image = workshop.image(mac, platform="linux-64")
    tree = image.tree()
    assert b"manylinux2014_x86_64" in image.read(f"opt/env/{SITE}/fast.py")
    assert f"{SITE}/_fast.so" not in tree
    assert image.read("opt/env/bin/fast").startswith(b"#!/opt/env/bin/python\n")
    assert tree["bin/fast"].executable
    assert image.read("opt/env/share/helper.txt") == b"help"
    assert image.read(f"opt/env/{SITE}/fast-1.0.dist-info/INSTALLER") == b"jupyter-condabuild\n"
    assert workshop.image(mac, "again", platform="linux-64").diff_ids == image.diff_ids


def test_a_wheel_with_another_hash_is_refused(mac: Path, workshop: Workshop, index: WheelIndex) -> None:
    """The index says the hash, and sends other bytes."""
    index.wheel("pure")
    index.host.files["/files/pure-1.0-py3-none-any.whl"] += b"more"
    pip_install(mac, SITE, "pure")
    from_index(mac, index)
    with pytest.raises(PackageMismatch, match=r"pure-1\.0-py3-none-any\.whl"):
        workshop.image(mac, platform="linux-64")


def test_sources_without_a_wheel_are_refused_with_the_way_to_build_them(
    mac: Path, workshop: Workshop, index: WheelIndex
) -> None:
    """The layers engine runs no build of a package."""
    index.sdist("odd")
    pip_install(mac, SITE, "odd")
    from_index(mac, index)
    with pytest.raises(NotCompatible, match="no wheel for linux-64 of odd") as caught:
        workshop.image(mac, platform="linux-64")
    assert "--engine docker" in caught.value.hint
    assert "--leave-out odd" in caught.value.hint
    workshop.image(mac, platform="linux-64", leave_out=["odd"])


def test_pure_packages_from_a_folder_are_copied_and_others_refused(mac: Path, workshop: Workshop) -> None:
    """No index has them."""
    info = f"{SITE}/local-1.0.dist-info/direct_url.json"
    local = {f"{SITE}/local.py": b"x = 1\n", info: b'{"url": "file:///Users/ada/local", "dir_info": {}}'}
    pip_install(mac, SITE, "local", local)
    image = workshop.image(mac, platform="linux-64")
    assert f"{SITE}/local.py" in image.tree()
    pip_install(mac, SITE, "local", {**local, f"{SITE}/_local.so": platforms.MACH_O})
    with pytest.raises(
        NotCompatible, match=r"local comes from no package index, .* _local\.so|local comes from no"
    ) as caught:
        workshop.image(mac, platform="linux-64")
    assert "--leave-out local" in caught.value.hint


def test_an_editable_install_of_a_mac_is_in_the_image(mac: Path, workshop: Workshop, tmp_path: Path) -> None:
    """Its sources are, too; sources with programs of macOS are refused."""
    source = tmp_path / "project"
    write(source, {"project.py": b"x = 1\n"})
    url = json.dumps({"url": source.as_uri(), "dir_info": {"editable": True}}).encode()
    info = f"{SITE}/project-1.0.dist-info/direct_url.json"
    pip_install(mac, SITE, "project", {f"{SITE}/project.pth": f"{source}\n".encode(), info: url})
    image = workshop.image(mac, platform="linux-64")
    assert image.read(f"opt/env/{SITE}/project.pth") == b"/opt/src/project\n"
    assert image.read("opt/src/project/project.py") == b"x = 1\n"
    write(source, {"_project.so": platforms.MACH_O})
    with pytest.raises(NotCompatible, match=r"editable install project has files of another system .*_project\.so"):
        workshop.image(mac, platform="linux-64")


def test_a_windows_environment_has_its_files_at_the_places_of_linux(
    windows: Path, workshop: Workshop, index: WheelIndex
) -> None:
    """site-packages is elsewhere there, libraries have a folder of their own, and commands are programs."""
    index.wheel("pure", files={"pure-1.0.dist-info/entry_points.txt": b"[console_scripts]\npure = pure:main\n"})
    site = "Lib/site-packages"
    points = {f"{site}/local-1.0.dist-info/entry_points.txt": b"[console_scripts]\nlocal = local:main\n"}
    where = {f"{site}/local-1.0.dist-info/direct_url.json": b'{"url": "file:///C:/ada/local", "dir_info": {}}'}
    local = {f"{site}/local.py": b"x = 1\n", "Scripts/local.exe": platforms.PE, **points, **where}
    pip_install(windows, site, "local", local)
    pip_install(windows, site, "pure")
    from_index(windows, index)
    write(
        windows,
        {f"{site}/own.py": b"x", "Library/share/data.txt": b"d", "Scripts/own.exe": platforms.PE, "desktop.ini": b""},
    )
    image = workshop.image(windows, platform="linux-64")
    tree = image.tree()
    assert {f"{SITE}/{name}.py" for name in ("local", "own", "pure")} < tree.keys()
    assert {"share/data.txt", "bin/local", "bin/pure", "bin/tqdm"} < tree.keys()
    assert image.read("opt/env/bin/local").startswith(b"#!/opt/env/bin/python\n")
    assert not [path for path in tree if path.startswith(("Lib/", "Scripts/", "Library/")) or path.endswith(".exe")]
    assert "Scripts/own.exe (Windows)" in workshop.warnings["foreign-files"]


def test_an_image_for_another_processor_has_bytecode_and_runs_nothing(
    mac: Path, workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our own interpreter compiles: its bytecode is that of the same Python on any processor."""
    started: list[Any] = []
    popen = subprocess.Popen.__init__

    def record(self: Any, command: Any, *rest: Any, **options: Any) -> None:
        started.append(command[0] if isinstance(command, list) else command)
        popen(self, command, *rest, **options)

    monkeypatch.setattr(subprocess.Popen, "__init__", record)
    write(mac, {f"{SITE}/own.py": b"VALUE = 1\n"})
    base = workshop.folder / "arm.tar"
    archive.write(small_image.image([small_image.programs()], architecture="arm64"), "", base)
    image = workshop.image(mac, platform="linux-aarch64", base=f"oci-archive:{base}")
    assert image.config["architecture"] == "arm64"
    assert image.read("opt/env/lib/fastlib.bin") == platforms.ELF_ARM
    version = f"{sys.version_info[0]}{sys.version_info[1]}"
    assert f"{SITE}/tqdm/__pycache__/__init__.cpython-{version}.pyc" in image.tree()
    assert f"{SITE}/__pycache__/own.cpython-{version}.pyc" in image.tree()
    assert {name for name in started if "python" in str(name)} <= {sys.executable}


def test_another_python_gives_no_bytecode_and_a_warning(
    mac: Path, workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its magic number is another one."""
    monkeypatch.setattr(translation, "is_like_ours", lambda python: False)
    image = workshop.image(mac, platform="linux-64")
    assert not [path for path in image.tree() if path.startswith(f"{SITE}/tqdm/") and path.endswith(".pyc")]
    assert "The image gets no bytecode" in workshop.warnings["no-bytecode"]


def test_the_docker_engine_takes_a_lock_file(mac: Path, workshop: Workshop) -> None:
    """The message has the two commands."""
    with pytest.raises(UsageError, match="docker engine copies files") as caught:
        workshop.image(mac, platform="linux-64", engine="docker")
    assert "lock --platform linux-64" in caught.value.hint


def test_a_mac_is_compared_with_an_image_of_it(mac: Path, workshop: Workshop) -> None:
    """The packages are compared, and the platforms are named. Files of macOS are not compared with those of Linux."""
    write(mac, {"share/notes.txt": b"text"})
    workshop.image(mac, platform="linux-64")
    names = {"before": str(mac), "after": f"oci-archive:{workshop.folder / 'image.tar'}"}
    found = diff.run(DiffRequest.parse({**names, "store_dir": str(workshop.store)}), silent)
    assert found.platforms == ("osx-arm64", "linux-64")
    assert "- libcxx 17.0-h0_0" in found.text()
    assert "notes.txt" not in found.text()


def test_a_dockerfile_of_a_mac_is_for_linux(mac: Path, index: WheelIndex) -> None:
    """Its lock file has the packages of Linux."""
    request = ExportRequest.parse({"kind": "dockerfile", "prefix": str(mac), "platform": "linux-64"})
    exported = export.run(request, silent)
    (lockfile,) = (text for name, text in exported.files.items() if name.endswith("conda-lock.yml"))
    assert load(lockfile).platform == "linux-64"
    assert "libcxx" not in lockfile


def test_an_image_of_a_mac_runs_in_a_container(
    mac: Path,
    index: WheelIndex,
    docker_workshop: DockerWorkshop,
    docker_client: docker.DockerClient,
    base_reference: str,
) -> None:
    """Packages of conda, a wheel of pip and a file of no package are imported, and commands of both start."""
    tag = f"cp{sys.version_info[0]}{sys.version_info[1]}"
    code = {"fast.py": b"def main():\n    print('fast is here')\n"}
    index.wheel("fast", tag=f"{tag}-{tag}-manylinux2014_x86_64", files={**code, **ENTRY_POINT})
    pip_install(mac, SITE, "fast", {f"{SITE}/_fast.so": platforms.MACH_O})
    from_index(mac, index)
    write(mac, {f"{SITE}/own.py": b"VALUE = 42\n"})
    name = f"localhost/mac:{uuid.uuid4().hex}"
    docker_workshop.build(mac, reference=name, engine="layers", load=True, base=base_reference, platform="linux-64")
    try:
        program = "import platform, idna, tqdm, fast, own; print(platform.system(), own.VALUE, idna.__name__)"
        command = ["sh", "-c", f'python -c "{program}" && fast && tqdm --version']
        found = docker_client.containers.run(name, command, network_mode="none", remove=True).decode().splitlines()
    finally:
        docker_client.images.remove(name, force=True)
    assert found[:2] == ["Linux 42 idna", "fast is here"]
    assert found[2][0].isdigit()
