"""Each lock file that we write gives the same packages, keys and image again, whatever the records are like."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import rattler
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from jupyter_condabuild.conda.formats import dump, load
from jupyter_condabuild.conda.lockfile import Format, Lockfile
from jupyter_condabuild.conda.locking import lock
from jupyter_condabuild.conda.packages import PYPI, PipPackage, canonical_name
from jupyter_condabuild.conda.prefix.environment import Environment
from jupyter_condabuild.conda.prefix.pip import PipDistribution
from jupyter_condabuild.conda.prefix.records import PrefixRecord
from jupyter_condabuild.errors import BrokenRecord
from jupyter_condabuild.image.configuration import configuration, lockfile_in
from jupyter_condabuild.oci.image import Digest, ImageConfig
from jupyter_condabuild.planning.layer_plan import layer_key

BARE = "0" * 32
ODD = Path("record.json")
WHOLE: list[Format] = ["conda-lock", "pixi"]
DIGEST = Digest.parse("sha256:" + "0" * 64)

SHA256 = st.text("0123456789abcdef", min_size=64, max_size=64)
MD5 = st.text("0123456789abcdef", min_size=32, max_size=32)
NAMES = st.from_regex(r"[a-z_][a-z0-9_.-]{0,8}", fullmatch=True)
VERSIONS = st.sampled_from(["1.0", "1!2.0", "2023.03", "1.0+cu118", "1.0_1", "0.0.0.dev0", "1e5", "true", "1"])
BUILDS = st.sampled_from(["0", "py311_0", "h0_cpython", "h0_cp313t", "pyhd8ed1ab_0", "1.2.3", "a~b", "0+x!y", "null"])
SUBDIRS = st.sampled_from(["linux-64", "noarch"])
CHANNELS = st.sampled_from(
    [
        *("conda-forge", "conda-forge/linux-64", "conda-forge/noarch", "defaults", "pkgs/main/linux-64", "<unknown>"),
        *("https://h/lab", "https://h/lab/linux-64/", "https://me:s3cret@h/t/tk-s3cret/lab/noarch", "/srv/my channel"),
        *("file:///srv/lab/noarch", "s3://bucket/lab", "https://conda.anaconda.org/<unknown>"),
    ]
)
DEPENDS = st.lists(
    st.sampled_from(
        [
            *("python", "python >=3.8,<4.0a0", "python 3.12.* *_cpython", "numpy >=1.02", "numpy <2", "__glibc >=2.17"),
            *("x[version='>=1,<2',build=h0]", "conda-forge::y >=1", "z 1.0|2.0", "w  >=1 ", "_python_abi3_support 1.*"),
        ]
    ),
    max_size=4,
)
LICENSES = st.sampled_from(["MIT", {"name": "MIT", "url": "https://h"}, ["MIT"], "", None])
SITES = st.sampled_from(["lib/python3.12/site-packages", "lib/python3.13t/site-packages", "site-packages"])


@st.composite
def records(draw: st.DrawFn) -> dict[str, Any]:
    """Draws the JSON object of a record, in which everything but the name, the version and the build may be missing."""
    name, version, build = draw(NAMES), draw(VERSIONS), draw(BUILDS)
    suffix = draw(st.sampled_from([".conda", ".tar.bz2"]))
    fn = f"{name}-{version}-{build}{suffix}"
    subdir = draw(SUBDIRS)
    quoted = draw(st.sampled_from([fn, fn.replace("+", "%2B").replace("!", "%21"), f"other-{name}-1-0{suffix}"]))
    folder = draw(
        st.sampled_from(
            [
                *("https://h/lab", "https://u:s3cret@h/t/tk-s3cret/lab", "file:///srv/a%20b", "s3://b"),
                *("https://h/a b", "https://h/a\nhttps://evil", "https://h/\udc80"),
            ]
        )
    )
    optional = {
        "fn": st.just(fn),
        "url": st.sampled_from([f"{folder}/{subdir}/{quoted}", f"{folder}/{subdir}/{quoted}#{'0' * 32}", ""]),
        "subdir": st.just(subdir),
        "channel": CHANNELS,
        "sha256": SHA256,
        "md5": MD5,
        "size": st.sampled_from([0, 1, 1 << 40]),
        "depends": DEPENDS,
        "constrains": DEPENDS,
        "features": st.sampled_from(["", "mkl", ["mkl"]]),
        "track_features": st.sampled_from(["", "mkl vc14", ["mkl"]]),
        "noarch": st.sampled_from(["python", "generic", True, None]),
        "license": LICENSES,
        "python_site_packages_path": SITES,
        "build_number": st.integers(0, 3),
        "timestamp": st.integers(0, 1 << 41),
    }
    fields = draw(st.fixed_dictionaries({}, optional=optional))
    return {"name": name, "version": version, "build": build, **fields}


TEXTS = st.sampled_from(["mine", "my project", "a+b", "ünï", "x#y", "100%", "it's"])
PIPS = st.builds(
    PipPackage,
    name=st.from_regex(r"[a-z0-9]([a-z0-9.]{0,5}[a-z0-9])?", fullmatch=True).map(canonical_name),
    version=st.sampled_from(["1.0", "1!2.0", "2024.1.post1+x"]),
    url=st.one_of(
        st.just(""),
        TEXTS.map(lambda text: Path("/home/me", text).as_uri()),
        st.sampled_from(
            [
                *("https://h/x-1.0-py3-none-any.whl", "https://files.pythonhosted.org/packages/x-1.0.tar.gz"),
                *("git+https://h/a.git@c0ffee#subdirectory=py", "git+ssh://git@h/a.git@c0ffee", "https://h/a b.zip"),
                *("https://h/a\nhttps://evil/noarch/a-1-0.conda", "https://h/\ud800\u2028\udc80.whl"),
            ]
        ),
    ),
    index=st.sampled_from([PYPI, "https://pypi.lab.org/simple"]),
    sha256=st.one_of(st.just(""), SHA256),
)


def _shared(url: str) -> str:
    """Returns a URL that only one package can have: folders on two disks may have the same name."""
    return "" if url.startswith("file:") else url


@st.composite
def lockfiles(draw: st.DrawFn) -> Lockfile:
    """Draws the lock file of an environment with odd records and pip packages."""
    raws = draw(st.lists(records(), min_size=1, max_size=4, unique_by=lambda raw: raw["name"]))
    python = {"name": "python", "version": "3.12.1", "build": "h0_cpython"}
    python["url"] = "https://h/l/linux-64/python-3.12.1-h0_cpython.conda"
    python |= draw(st.fixed_dictionaries({}, optional={"python_site_packages_path": SITES, "sha256": SHA256}))
    try:
        parsed = [PrefixRecord.parse(raw, ODD) for raw in [*raws, *([python] if draw(st.booleans()) else [])]]
    except ValueError:  # a site-packages folder that is none
        assume(False)
        raise
    pips = draw(st.lists(PIPS, max_size=3, unique_by=(lambda one: one.name, lambda one: _shared(one.url) or one.name)))
    known = [
        replace(package, index="" if package.url else package.index, editable=package.url.startswith("file:"))
        for package in pips
    ]
    distributions = [PipDistribution(replace(p, sha256="" if "git+" in p.url else p.sha256), "", ()) for p in known]
    environment = Environment(
        Path("/env"), "env", "linux-64", tuple(parsed), ("numpy >=1.2", "a'b: c"), pip=tuple(distributions)
    )
    try:
        return lock(environment)
    except BrokenRecord:
        assume(False)
        raise


def keys(lockfile: Lockfile) -> list[str]:
    """Returns the key of each package's layer."""
    return [layer_key([package], lockfile.site_packages, True) for package in lockfile.conda]


def config(lockfile: Lockfile) -> bytes:
    """Returns the configuration of an image with this lock file."""
    base = ImageConfig({"architecture": "amd64", "os": "linux"}, ())
    return configuration(base, "base", DIGEST, [DIGEST], ["layer"], lockfile).raw


@pytest.mark.parametrize("format", WHOLE)
@given(made=lockfiles())
def test_the_packages_and_the_image_are_the_same(format: Format, made: Lockfile) -> None:
    """conda-lock.yml and pixi.lock have everything that decides the image."""
    text = dump(made, format)
    assert "s3cret" not in text
    assert text.encode()
    again = load(text)
    assert again == made
    assert (again.digest, keys(again)) == (made.digest, keys(made))
    assert dump(again, format) == (text if format == "pixi" else dump(replace(made, requested=again.requested)))
    assert config(replace(again, requested=made.requested)) == config(made)


@given(made=lockfiles())
def test_the_lock_file_in_an_image_is_the_same(made: Lockfile) -> None:
    """So verify makes the packages of the environment."""
    assert lockfile_in(ImageConfig.parse(config(made))) == made


@given(made=lockfiles())
def test_an_explicit_file_names_the_same_packages(made: Lockfile) -> None:
    """It has one hash, and neither sizes nor dependencies. Noarch Python packages stay what they are."""
    text = dump(made, "explicit")
    assert text.encode()
    again = load(text)
    assert again.pip == made.pip
    assert {(item.url, item.sha256 or item.md5) for item in again.conda} == {
        (item.url, item.sha256 or item.md5) for item in made.conda
    }
    found = {item.url: item for item in again.conda}
    assert all(found[item.url].is_noarch_python for item in made.conda if item.kind == "python")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("format", WHOLE)
@given(made=lockfiles())
def test_rattler_reads_the_same_packages(format: Format, made: Lockfile, tmp_path: Path) -> None:
    """Names and URLs are ours; in a pixi.lock also builds and subdirs, which rattler reads from the URL otherwise."""
    if format == "conda-lock":  # rattler refuses packages without a hash, and two pip packages with one URL
        conda = (item if item.sha256 or item.md5 else replace(item, md5=BARE) for item in made.conda)
        made = replace(made, conda=tuple(conda), pip=made.pip[:1])
    path = tmp_path / ("conda-lock.yml" if format == "conda-lock" else "pixi.lock")
    path.write_text(dump(made, format))
    ((_, environment),) = rattler.LockFile.from_path(path).environments()
    (platform,) = environment.platforms()
    found = environment.conda_repodata_records_for_platform(platform) or []
    assert sorted((record.name.normalized, unquote(record.url)) for record in found) == sorted(
        (package.name, unquote(package.url)) for package in made.conda
    )
    assert format == "conda-lock" or sorted((str(record.build), record.subdir) for record in found) == sorted(
        (package.build, package.subdir) for package in made.conda
    )
