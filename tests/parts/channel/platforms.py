"""Packages for several platforms: a channel with the names of conda-forge, and prefixes of macOS and Windows."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import md5, sha256
from pathlib import Path
from typing import Any

import rattler
from rattler import GenericVirtualPackage, PackageName, Version
from rattler.package import BuildString
from rattler.platform import Subdir

from tests.parts.channel import channel as channels
from tests.parts.channel.bytecode import SITE_PACKAGES as SITE
from tests.parts.channel.bytecode import VERSION
from tests.parts.channel.channel import Channel
from tests.parts.channel.package import Entry, File, Metadata, Symlink, write

SAMPLES = Path(__file__).parents[2] / "samples/platforms"
"""Records of a macOS prefix that rattler made, and of a Windows prefix that micromamba made, without lists of files.

They are test data of rattler (github.com/conda/rattler, BSD-3-Clause).
"""

GCC = ("libgcc-ng >=12", "__glibc >=2.17,<3.0.a0")
SO = ("libstdcxx-ng >=12", *GCC)
PYTHON = ("python >=3.11,<3.12.0a0 *_cpython", "python_abi 3.11.* *_cp311")


@dataclass(frozen=True)
class PlainPackage:
    """A package with these entries."""

    metadata: Metadata
    entries: tuple[Entry, ...] = ()

    @property
    def key(self) -> str:
        return repr((self.metadata, self.metadata.platform, self.entries))

    def make(self, folder: Path) -> Path:
        """Writes the package into `folder`."""
        return write(self.metadata, self.entries, folder)


def plain(
    name: str, version: str, build: str, *depends: str, platform: str = "linux-64", **fields: Any
) -> PlainPackage:
    """Returns a package without files. Its build number is the last number in its build."""
    parts = build.split("_")
    number = next((part for part in reversed(parts) if part.isdecimal()), "0")
    metadata = Metadata(name, version, build, int(number), depends, platform=platform, **fields)
    return PlainPackage(metadata)


def records(platform: str) -> list[dict[str, Any]]:
    """Returns the sample records of a platform."""
    found: list[dict[str, Any]] = json.loads((SAMPLES / f"{platform}.json").read_text())
    return found


def prefix_of(
    prefix: Path, found: Iterable[dict[str, Any]], channel_url: str = "", requested: Sequence[str] = ()
) -> Path:
    """Makes the metadata of a prefix. With `channel_url`, the records say that the packages are from there.

    A package that the channel has under the same name, such as a noarch package, gets its hashes.
    """
    meta = prefix / "conda-meta"
    meta.mkdir(parents=True)
    for record in found:
        value = dict(record)
        if channel_url:
            subdir, fn = value["subdir"], value["url"].rsplit("/", 1)[-1]
            value |= {"channel": channel_url, "url": f"{channel_url}/{subdir}/{fn}"}
            archive = Path(channel_url.removeprefix("file://"), subdir, fn)
            if archive.exists():
                data = archive.read_bytes()
                value |= {"sha256": sha256(data).hexdigest(), "md5": md5(data).hexdigest(), "size": len(data)}
        asked = [spec for spec in requested if spec.split("=")[0].split(" ")[0] == value["name"]]
        value |= {"requested_specs": asked} if asked else {}
        (meta / f"{value['name']}-{value['version']}-{value['build']}.json").write_text(json.dumps(value))
    return prefix


def forge(folder: Path) -> Channel:
    """Makes a channel with the Linux builds of the macOS sample, with gaps as a real channel has them.

    linux-64 has no libclang 16.0, another build of scipy 1.11.4, and two builds of libblas; linux-aarch64 has scipy
    1.11.3 only, and no libclang at all.
    """
    both: list[PlainPackage] = []
    for platform, blas in (("linux-64", "linux64"), ("linux-aarch64", "linuxaarch64")):

        def add(name: str, version: str, build: str, *depends: str, platform: str = platform) -> None:
            both.append(plain(name, version, build, *depends, platform=platform))

        add("_libgcc_mutex", "0.1", "conda_forge_0")
        add("libgomp", "13.2.0", "h77fa898_7", "_libgcc_mutex 0.1 conda_forge_0")
        add("libgcc-ng", "13.2.0", "h77fa898_7", "libgomp 13.2.0")
        add("libstdcxx-ng", "13.2.0", "hc0a3c3a_7")
        for name, version, build in (
            *(("bzip2", "1.0.8", "hd590300_5"), ("icu", "73.2", "h59595ed_0"), ("libexpat", "2.6.2", "h59595ed_0")),
            *(("libffi", "3.4.2", "h7f98852_5"), ("libiconv", "1.17", "hd590300_2"), ("xz", "5.2.6", "h166bdaf_0")),
            *(("libsqlite", "3.45.3", "h2797004_0"), ("libzlib", "1.2.13", "h4ab18f5_5"), ("tk", "8.6.13", "noxft_1")),
            *(("ncurses", "6.5", "h59595ed_0"), ("openssl", "3.3.0", "h4ab18f5_3"), ("readline", "8.2", "h8228510_1")),
            *(("zstd", "1.5.6", "ha6fb4c9_0"), ("libuuid", "2.38.1", "h0b41bf4_0"), ("libnsl", "2.0.1", "hd590300_0")),
            *(("ca-certificates", "2024.2.2", "hbcca054_0"), ("llvm-openmp", "18.1.6", "ha31de31_0")),
        ):
            add(name, version, build, *GCC)
        add("openssl", "3.4.0", "h0000000_0", *GCC)
        add("bzip2", "1.0.9", "h0000000_0", *GCC)
        own = (
            "bzip2 >=1.0.8,<2",
            "libexpat",
            "libffi >=3.4,<4",
            "libnsl",
            "libsqlite",
            "libuuid",
            "libzlib",
            "ncurses",
        )
        own += ("openssl >=3.3.0,<4.0a0", "readline", "tk", "tzdata", "xz", *GCC)
        add("python", "3.11.9", "hb806964_0_cpython", *own)
        add("python", "3.12.3", "hab00c5b_0_cpython", *own)
        for python, tag in (("3.11", "cp311"), ("3.12", "cp312")):
            add("python_abi", python, f"4_{tag}")
            needs = (f"python {python}.* *_cpython", f"python_abi {python}.* *_{tag}", *SO)
            short = tag.replace("cp", "py")
            add("numpy", "1.26.4", f"{short}h64a7726_0", "libblas >=3.9.0,<4.0a0", *needs)
            if platform == "linux-64":
                add("scipy", "1.11.4", f"{short}h64a7726_1", "numpy <1.28", "libgfortran5", *needs)
            add("scipy", "1.11.3", f"{short}h64a7726_1", "numpy <1.28", "libgfortran5", *needs)
        add("libgfortran5", "13.2.0", "hca663fb_7", *GCC)
        add("libgfortran-ng", "13.2.0", "h69a702a_7", "libgfortran5 13.2.0 hca663fb_7")
        for build in ("pthreads_h413a1c8_0", "openmp_hd680484_0"):
            add("libopenblas", "0.3.25", build, "libgfortran5", *GCC)
        for name in ("libblas", "libcblas", "liblapack"):
            add(name, "3.9.0", f"20_{blas}_openblas", "libopenblas >=0.3.25,<1.0a0")
        if platform == "linux-64":
            add("libblas", "3.9.0", "20_linux64_mkl", "mkl >=2023")
            add("mkl", "2023.2.0", "h84fe81f_50496", "llvm-openmp")
            add("libllvm17", "17.0.6", "hb3ce162_1", *SO)
            add("libclang13", "17.0.6", "default_hf1a6b42_2", "libllvm17", *SO)
            add("libclang", "17.0.6", "default_hb11cfb5_2", "libclang13 17.0.6 default_hf1a6b42_2", *SO)
    both.append(plain("tzdata", "2024a", "h0c530f3_0", noarch="generic"))
    both.append(plain("tzdata", "2025a", "h0c530f3_0", noarch="generic"))
    return made(folder, both)


def made(folder: Path, packages: Iterable[PlainPackage]) -> Channel:
    """Makes a channel of these packages, without a process for each."""
    channel = Channel(folder.absolute())
    for package in packages:
        place = folder / package.metadata.subdir
        place.mkdir(parents=True, exist_ok=True)
        package.make(place)
    asyncio.run(channels.index(channel))
    return channel


MACH_O = bytes.fromhex("cffaedfe0c000001") + bytes(56)
ELF_ARM = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x03\x00\xb7\x00" + bytes(44)
PE = b"MZ" + bytes(58) + (64).to_bytes(4, "little") + b"PE\0\0" + bytes(20)
"""The starts of a library of macOS on an Apple processor, of Linux on an ARM processor, and of Windows."""

SPECS = ("python", "fastlib", "idna", "tqdm")
"""Specs that have solutions on each platform of `mixed`."""

_PROGRAMS = {"osx-arm64": MACH_O, "linux-aarch64": ELF_ARM, "win-64": PE}


def mixed(folder: Path, linux: Channel) -> Channel:
    """Makes a channel with the packages of `linux`, and with some of them for other platforms.

    Only the Python of linux-64 runs. ``fastlib`` is for all platforms, with another version on linux-aarch64.
    """
    for archive in linux.archives:
        place = folder / archive.parent.name
        place.mkdir(parents=True, exist_ok=True)
        (place / archive.name).hardlink_to(archive)
    packages = []
    version = ".".join(map(str, sys.version_info[:3]))
    for platform, program in _PROGRAMS.items():
        python = f"bin/python{VERSION}"
        entries: tuple[Entry, ...] = (File(python, program, 0o755), Symlink("bin/python", f"python{VERSION}"))
        if platform == "win-64":
            entries = (File("python.exe", program, 0o755), File("Lib/os.py", b"# the standard library"))
        metadata = Metadata(
            "python", version, "h0_cpython", site_packages=None if platform == "win-64" else SITE, platform=platform
        )
        packages.append(PlainPackage(metadata, entries))
        number = "1.1" if platform == "linux-aarch64" else "1.0"
        needs = {"osx-arm64": ("libcxx",), "win-64": ("vc",)}.get(platform, ())
        library = Metadata("fastlib", number, "h0_0", depends=("python", *needs), platform=platform)
        packages.append(PlainPackage(library, (File("lib/fastlib.bin", program),)))
    packages.append(
        PlainPackage(Metadata("fastlib", "1.0", "h1_0", depends=("python",)), (File("lib/fastlib.bin", b"x"),))
    )
    packages += [plain("libcxx", "17.0", "h0_0", platform="osx-arm64"), plain("vc", "14.3", "h0_0", platform="win-64")]
    return made(folder, packages)


def installed(prefix: Path, platform: str, specs: Sequence[str], channel_url: str, cache_dir: Path) -> Path:
    """Makes a prefix of another platform, as rattler links it there."""
    system: Any = [
        GenericVirtualPackage(PackageName(name), Version("14"), BuildString("0")) for name in ("__osx", "__win")
    ]
    subdir: Any = platform

    async def work() -> None:
        gateway = rattler.Gateway(cache_dir=cache_dir / "repodata")
        found = await rattler.solve(
            [channel_url], list(specs), gateway, platforms=[subdir, "noarch"], virtual_packages=system
        )
        await rattler.install(
            found,
            prefix,
            cache_dir=cache_dir,
            platform=Subdir(platform),
            requested_specs=[rattler.MatchSpec(spec)._match_spec for spec in specs],
            show_progress=False,
        )

    asyncio.run(work())
    return prefix
