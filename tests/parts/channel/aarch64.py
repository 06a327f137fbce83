"""Real programs for ARM processors: Debian's packages as a base image and as conda packages, and a container for them.

Nothing of the machine is changed: the programs run under ``qemu-user-static``, which only a user namespace of the test
knows (binfmt_misc belongs to a user namespace since Linux 6.7).
"""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from jupyter_condabuild.oci import archive
from tests.conftest import missing
from tests.parts import small_image
from tests.parts.channel import platforms
from tests.parts.channel.channel import Channel
from tests.parts.channel.package import Entry, File, Metadata, Symlink
from tests.parts.channel.platforms import PlainPackage

PLATFORM = "linux-aarch64"
_QEMU = "/usr/bin/qemu-aarch64-static"
_PACKAGES = "bash,dash,coreutils,python3.11-minimal,libpython3.11-stdlib,libexpat1,zlib1g"
_PYTHON = re.compile(r"usr/(?:bin/python3[^/]*|lib/python3(?:\.11)?(?:/.*)?)")
_SITE = "lib/python3.11/site-packages"
_MAGIC = (
    r":qemu-aarch64:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
    r":\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
)
"""The header of programs for ARM processors, and its mask: docs.kernel.org/admin-guide/binfmt-misc.html and elf(5)."""

_RUN = f"""
mount -t binfmt_misc none /proc/sys/fs/binfmt_misc &&
printf '%s' '{_MAGIC}:{_QEMU}:OCF' > /proc/sys/fs/binfmt_misc/register &&
exec "$@"
"""
_CONTAINER = (
    "bwrap",
    "--unshare-ipc",
    "--unshare-net",
    "--unshare-pid",
    "--unshare-uts",
    "--proc",
    "/proc",
    "--dev",
    "/dev",
)


def check_programs() -> None:
    """Skips the test if a program is missing, or if the kernel does not let a namespace have its own interpreters."""
    for program in ("mmdebstrap", "bwrap", "umoci", "unshare", _QEMU):
        if not shutil.which(program):
            missing(f"No {program}: scripts/system-packages installs it")
    mount = ["unshare", "-Urm", "mount", "-t", "binfmt_misc", "none", "/proc/sys/fs/binfmt_misc"]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        missing("The kernel has no binfmt_misc for user namespaces")


def debian(cache: Path) -> Path:
    """Returns the files of Debian packages for ARM, as a tar. apt checks their signatures; no program of them runs."""
    kept = cache / f"debian-arm64-{sha256(_PACKAGES.encode()).hexdigest()[:8]}.tar"
    if not kept.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            made = Path(folder) / "root.tar"
            choice = ["--quiet", "--variant=extract", "--arch=arm64", f"--include={_PACKAGES}"]
            subprocess.run(["mmdebstrap", *choice, "bookworm", made], check=True, stdin=subprocess.DEVNULL)
            with suppress(OSError):  # another run has made it
                made.rename(kept)
    return kept


def base(root: Path, file: Path) -> str:
    """Writes an image of the packages without their Python, and returns it as a value of `--base`."""
    out = io.BytesIO()
    with tarfile.open(root) as source, tarfile.open(fileobj=out, mode="w") as layer:
        for member in source:
            member.name = member.name.removeprefix("./")
            if member.name not in ("", ".") and not _PYTHON.fullmatch(member.name) and not member.isdev():
                layer.addfile(member, source.extractfile(member) if member.isreg() else None)
    image = small_image.image([out.getvalue()], "arm64", Env=["PATH=/usr/bin:/bin"])
    archive.write(image, "", file)
    return f"oci-archive:{file}"


def channel(folder: Path, root: Path, mixed: Channel) -> Channel:
    """Makes a channel with the packages of `mixed` that are not for ARM, and Debian's Python for ARM."""
    for file in mixed.archives:
        if file.parent.name != PLATFORM:
            place = folder / file.parent.name
            place.mkdir(parents=True, exist_ok=True)
            (place / file.name).hardlink_to(file)
    python = Metadata("python", "3.11.2", "h0_cpython", site_packages=_SITE, platform=PLATFORM)
    packages = [
        PlainPackage(python, tuple(_python(root))),
        PlainPackage(
            Metadata("fastlib", "1.0", "h0_0", depends=("python",), platform=PLATFORM),
            (File("lib/fastlib.bin", platforms.ELF_ARM),),
        ),
    ]
    return platforms.made(folder, packages)


def _python(root: Path) -> Iterator[Entry]:
    """Yields Debian's Python at the places where conda's is. Debian's looks for packages in another folder."""
    with tarfile.open(root) as source:
        for member in source:
            name = member.name.removeprefix("./")
            if not _PYTHON.fullmatch(name):
                continue
            path = name.removeprefix("usr/")
            if member.isreg():
                data = source.extractfile(member)
                assert data
                yield File(path, data.read(), 0o755 if member.mode & 0o100 else 0o644)
            elif member.issym() and not member.linkname.startswith("/"):
                yield Symlink(path, member.linkname)
    yield Symlink("bin/python", "python3.11")
    yield File("lib/python3/dist-packages/site-packages.pth", b"../../python3.11/site-packages\n")


def run(image: Path, command: Sequence[str], folder: Path) -> str:
    """Runs a command in a container of an OCI archive, with its entrypoint and variables; returns what it prints."""
    layout, bundle = folder / "layout", folder / "bundle"
    if not bundle.exists():
        layout.mkdir()
        with tarfile.open(image) as opened:
            opened.extractall(layout, filter="data")
        index = json.loads((layout / "index.json").read_text())
        index["manifests"][0]["annotations"] = {"org.opencontainers.image.ref.name": "image"}
        (layout / "index.json").write_text(json.dumps(index))
        unpack = ["umoci", "unpack", "--rootless", "--image", f"{layout}:image", str(bundle)]
        subprocess.run(unpack, check=True, capture_output=True)
    process = json.loads((bundle / "config.json").read_text())["process"]
    variables = [part for pair in process["env"] for part in ("--setenv", *pair.split("=", 1))]
    container = [
        *_CONTAINER,
        "--bind",
        str(bundle / "rootfs"),
        "/",
        "--clearenv",
        *variables,
        "--chdir",
        process["cwd"],
    ]
    start = ["unshare", "-Urm", "sh", "-c", _RUN, "sh", *container, process["args"][0], *command]
    done = subprocess.run(start, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    return done.stdout
