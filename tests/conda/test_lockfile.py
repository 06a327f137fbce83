"""A lock file has the content of an environment and nothing else, in formats that other programs read."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import subprocess
import sys
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest
import rattler.explicit_environment

from jupyter_condabuild.conda.formats import dump, load
from jupyter_condabuild.conda.lockfile import Lockfile, of_packages
from jupyter_condabuild.conda.locking import lock
from jupyter_condabuild.conda.packages import CondaPackage, PipPackage
from jupyter_condabuild.conda.prefix.snapshot import snapshot
from jupyter_condabuild.errors import BrokenRecord, LockfileError
from tests.parts.small_prefix import SmallPrefix

SAMPLES = Path(__file__).parents[1] / "samples"
SHA = "ab" * 32
PIP = (
    PipPackage("editable", "1.0", url="file:project", editable=True),
    PipPackage("from-git", "1.0", url="git+https://h/a.git@c0ffee#subdirectory=py"),
    PipPackage("from-index", "1.0", index="pypi"),
    PipPackage("from-lab", "1.0", index="https://pypi.lab.org/simple"),
    PipPackage("known", "1.0", url="https://h/known-1.0-py3-none-any.whl", index="pypi", sha256=SHA),
    PipPackage("wheel", "1.0", url="https://h/wheel-1.0-py3-none-any.whl", sha256=SHA),
)


@pytest.fixture
def small(tmp_path: Path) -> SmallPrefix:
    """A prefix with Python and a noarch package."""
    made = SmallPrefix(tmp_path / "demo")
    made.python()
    made.add(
        "six", subdir="noarch", depends=["python >=3.8", "numpy 1.02.*", "python <4"], noarch="python", build="pyhd_0"
    )
    return made


@pytest.fixture
def locked(small: SmallPrefix) -> Lockfile:
    """The lock file of a prefix, with each kind of pip package."""
    plain = lock(snapshot(small.path))
    return of_packages(plain.platform, plain.conda, PIP)


def installed(prefix: Path) -> list[tuple[str, str]]:
    """Returns the packages in the records of a prefix."""
    return sorted((record.dist, record.sha256) for record in snapshot(prefix).records)


def install(path: Path, prefix: Path, cache_dir: Path) -> None:
    """Runs py-rattler as its users do with a lock file."""
    records = _of_explicit_file(path) if path.suffix == ".txt" else _of_lock_file(path)
    asyncio.run(rattler.install(records, prefix, cache_dir=cache_dir, show_progress=False))


def _of_lock_file(path: Path) -> list[rattler.RepoDataRecord]:
    ((_, environment),) = rattler.LockFile.from_path(path).environments()
    (platform,) = environment.platforms()
    return environment.conda_repodata_records_for_platform(platform) or []


def _of_explicit_file(path: Path) -> list[rattler.RepoDataRecord]:
    spec = rattler.explicit_environment.ExplicitEnvironmentSpec.from_path(path)
    assert str(spec.platform) == "linux-64"
    records = []
    for entry in spec.packages:
        url, _, sha256 = entry.url.partition("#")
        archive = path.parent / url.rpartition("/")[2]
        with urllib.request.urlopen(url) as response:
            archive.write_bytes(response.read())
        assert hashlib.sha256(archive.read_bytes()).hexdigest() == sha256
        record = asyncio.run(rattler.RepoDataRecord.from_package_archive(archive))
        record.url, record.channel = url, url.rsplit("/", 2)[0]
        records.append(record)
    return records


def test_conda_and_rattler_prefixes_with_the_same_packages_have_the_same_lock_file(
    conda_prefix: Path, rattler_prefix: Path
) -> None:
    """The bytes are the same in any folder, except for the requested specs, which both tools record differently."""
    conda, rattler_made = lock(snapshot(conda_prefix)), lock(snapshot(rattler_prefix))
    assert dump(replace(conda, requested=())) == dump(replace(rattler_made, requested=()))
    assert [re.split("[ =]", spec)[0] for spec in conda.requested] == [
        re.split("[ =]", spec)[0] for spec in rattler_made.requested
    ]
    assert conda.digest == rattler_made.digest


def test_the_dump_is_the_same_in_every_process(conda_prefix: Path) -> None:
    """The text depends on no locale, time zone or hash seed, and contains no path of this machine and no time."""
    code = "import sys, pathlib\nfrom jupyter_condabuild.conda import formats, locking\n"
    code += "from jupyter_condabuild.conda.prefix import snapshot\n"
    code += "sys.stdout.write(formats.dump(locking.lock(snapshot.snapshot(pathlib.Path(sys.argv[1])))))"
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code, str(conda_prefix)],
            capture_output=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed, "LC_ALL": locale, "TZ": zone},
        ).stdout.decode()
        for seed, locale, zone in [("0", "C", "UTC"), ("7", "C.UTF-8", "Asia/Tokyo"), ("random", "tr_TR.UTF-8", "")]
    }
    (text,) = outputs
    assert str(conda_prefix.parent) not in text
    assert not re.search(r"created_at|20\d\d-\d\d-\d\dT", text)


def test_the_digest_depends_on_the_content(locked: Lockfile) -> None:
    """Any change of a package, hash, origin or platform changes it. Later repodata patches of channels do not."""

    def with_first(**changes: object) -> Lockfile:
        return replace(locked, conda=(replace(locked.conda[0], **changes), *locked.conda[1:]))  # type: ignore[arg-type]

    assert re.fullmatch(r"sha256:[0-9a-f]{64}", locked.digest)
    others = [
        with_first(sha256=SHA),
        with_first(url=locked.conda[0].url.replace("lab", "fork")),
        replace(locked, conda=locked.conda[1:]),
        replace(locked, pip=locked.pip[1:]),
        replace(locked, pip=(replace(locked.pip[0], version="2"), *locked.pip[1:])),
        replace(locked, platform="linux-aarch64"),
    ]
    assert len({locked.digest, *(other.digest for other in others)}) == 7
    assert with_first(depends=("other",), size=5).digest == locked.digest


def test_a_written_lock_file_is_read_again(locked: Lockfile) -> None:
    """The canonical format keeps all values, with sizes.

    The other formats keep the values that they have a field for.
    """
    assert load(dump(locked)) == locked
    assert load(dump(locked)).digest == locked.digest
    for format in ("explicit", "pixi"):
        again = load(dump(locked, format))
        assert [(package.dist, package.url, package.sha256) for package in again.conda] == [
            (package.dist, package.url, package.sha256) for package in locked.conda
        ]
        assert [package.name for package in again.pip] == [package.name for package in locked.pip]
    assert load(dump(locked, "pixi")).conda == locked.conda
    assert again.conda[1].is_noarch_python


@pytest.mark.parametrize("name", ["conda-lock.yml", "explicit-md5.txt", "explicit-sha256.txt", "pixi.lock"])
def test_lock_files_of_conda_are_read(name: str) -> None:
    """Each export format of a real conda gives the same packages, recognised by content, from a path or a text."""
    expected = [(package.name, package.version, package.build) for package in lock(snapshot(SAMPLES / "demo")).conda]
    found = load(SAMPLES / name)
    assert [(package.name, package.version, package.build) for package in found.conda] == expected
    assert load((SAMPLES / name).read_text()) == found
    assert found.platform == "linux-64"
    assert found.site_packages == "lib/python3.11/site-packages"


def test_a_pixi_lock_of_conda_gives_the_same_lock_file_as_its_prefix() -> None:
    """Among conda's exports, only this format has sizes and both hashes."""
    assert load(SAMPLES / "pixi.lock") == lock(snapshot(SAMPLES / "demo"))


def test_conda_lock_reads_our_lock_file(locked: Lockfile, tmp_path: Path) -> None:
    """Its parser accepts the file with the pip packages, and its renderer makes an explicit file."""
    path = tmp_path / "conda-lock.yml"
    path.write_text(dump(locked))
    code = """
import json, pathlib, sys
from conda_lock.lockfile import parse_conda_lock_file
found = parse_conda_lock_file(pathlib.Path(sys.argv[1]))
print(json.dumps([[package.manager, package.name, package.version, package.url] for package in found.package]))
"""
    run = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    found = sorted((manager, name, version, url) for manager, name, version, url in json.loads(run.stdout))
    assert [(name, version, url) for manager, name, version, url in found if manager == "conda"] == [
        (package.name, package.version, package.url) for package in locked.conda
    ]
    assert [(name, version) for manager, name, version, _ in found if manager == "pip"] == [
        (package.name, package.version) for package in locked.pip
    ]
    render = [sys.executable, "-m", "conda_lock", "render", "-k", "explicit", "-p", "linux-64", str(path)]
    subprocess.run(render, cwd=tmp_path, capture_output=True, check=True)
    rendered = (tmp_path / "conda-linux-64.lock").read_text()
    assert all(f"{package.url}#{package.md5}" in rendered for package in locked.conda)
    assert f"# pip wheel @ {PIP[-1].url}#sha256={SHA}" in rendered


@pytest.mark.parametrize("format", ["conda-lock", "pixi"])
def test_rattler_reads_our_lock_file(format: str, locked: Lockfile, tmp_path: Path) -> None:
    """py-rattler finds every package, also those of pip, with URL and hash."""
    path = tmp_path / ("conda-lock.yml" if format == "conda-lock" else "pixi.lock")
    path.write_text(dump(locked, format))  # type: ignore[arg-type]
    (environment,) = (environment for _, environment in rattler.LockFile.from_path(path).environments())
    (platform,) = environment.platforms()
    packages = environment.packages(platform) or []
    assert sorted(package.name for package in packages) == sorted(
        package.name for package in (*locked.conda, *locked.pip)
    )
    of_conda = {package.name for package in locked.conda}
    hashes = {
        package.location: package.hashes.sha256 for package in packages if package.name in of_conda and package.hashes
    }
    assert hashes == {package.url: bytes.fromhex(package.sha256) for package in locked.conda}


@pytest.mark.parametrize("format", ["conda-lock", "pixi", "explicit"])
def test_a_prefix_installed_from_our_lock_file_has_the_same_packages(
    format: str, conda_prefix: Path, package_cache: Path, tmp_path: Path
) -> None:
    """py-rattler installs from the file. Names, builds and hashes agree, and so does a lock file of the new prefix."""
    original = lock(snapshot(conda_prefix))
    path = tmp_path / {"conda-lock": "conda-lock.yml", "pixi": "pixi.lock", "explicit": "explicit.txt"}[format]
    path.write_text(dump(original, format))  # type: ignore[arg-type]
    install(path, tmp_path / "again", package_cache)
    assert installed(tmp_path / "again") == installed(conda_prefix)
    assert lock(snapshot(tmp_path / "again")).digest == original.digest


def test_explicit_files_have_dependencies_first_and_the_requested_hash(locked: Lockfile) -> None:
    """Python comes before packages that need it.

    The hash is sha256, or md5 for old condas. Comments name pip packages.
    """
    first = CondaPackage.of_url("https://h/noarch/aaa-1-0.conda", sha256=SHA, depends=("bbb", "six"))
    second = CondaPackage.of_url("https://h/noarch/bbb-1-0.conda", sha256=SHA, depends=("aaa", "six", "__glibc >=2.17"))
    tangled = of_packages("linux-64", [first, second, *locked.conda], [])
    urls = [line for line in dump(tangled, "explicit").splitlines() if line.startswith("https://")]
    assert [CondaPackage.of_url(url.split("#")[0]).name for url in urls] == ["python", "six", "bbb", "aaa"]
    lines = dump(locked, "explicit").splitlines()
    urls = [line for line in lines if line.startswith("https://")]
    assert [url.split("#")[1] for url in urls] == [locked.conda[0].sha256, locked.conda[1].sha256]
    assert "# pip: from-index==1.0" in lines
    assert any("NOT INSTALLED by conda: 6 pip packages" in line for line in lines)
    assert f"#{locked.conda[0].md5}" in dump(locked, "explicit", hash="md5")


def test_an_environment_yml_is_written_for_people(locked: Lockfile) -> None:
    """The file has versions without builds, channels in order, a pip section with pip itself, and no prefix."""
    text = dump(
        locked, "environment", name="demo", channels=["https://conda.anaconda.org/conda-forge", "https://h/lab"]
    )
    assert "prefix" not in text
    assert text.startswith(
        "name: demo\nchannels:\n  - conda-forge\n  - https://h/lab\ndependencies:\n  - python=3.11.7\n"
    )
    assert "  - pip\n  - pip:\n" in text
    assert "from-index==1.0\n" in text
    asked = replace(locked, requested=("six", "python 3.11.*"))
    assert dump(asked, "environment").count("six") == 1


def test_requested_specs_are_kept_and_do_not_change_the_digest(locked: Lockfile) -> None:
    """conda-lock.yml has them for the label of the image. The environment is the same for any requested specs."""
    asked = replace(locked, requested=("python 3.11.*", "six"))
    assert load(dump(asked)).requested == ("python 3.11.*", "six")
    assert load(dump(locked)).requested == ()
    assert (asked, asked.digest) == (locked, locked.digest)
    broken = re.sub("requested: .*", "requested: python six", dump(asked))
    with pytest.raises(LockfileError, match="is not a complete conda-lock file"):
        load(broken)


def test_a_lock_file_contains_no_credentials(small: SmallPrefix) -> None:
    """No format contains a credential from any place in records and in pip's metadata."""
    url = "https://me:s3cret@conda.example.org/t/tk-s3cret/lab/noarch/private-1.0-0.conda?token=s3cret"
    small.add("private", url=url, channel="https://me:s3cret@conda.example.org/t/tk-s3cret/lab/noarch", subdir="noarch")
    small.pip("a", direct_url={"url": "https://s3cret@h/a.whl", "archive_info": {}})
    small.pip("b", direct_url={"url": "https://me:s3cret@h/b.git", "vcs_info": {"vcs": "git", "commit_id": "c0ffee"}})
    (small.path / "pip.conf").write_text("[global]\nindex-url = https://me:s3cret@pypi.lab.org/simple\n")
    small.pip("c")
    small.history("# update specs: ['https://me:s3cret@conda.example.org/t/tk-s3cret/lab::private']")
    environment = snapshot(small.path)
    for format in ("conda-lock", "explicit", "pixi", "environment"):
        text = dump(lock(environment), format, channels=environment.channels)
        assert "s3cret" not in text
        assert "private" in text
    texts = [
        dump(lock(environment), format).replace("//", "//me:s3cret@") for format in ("conda-lock", "pixi", "explicit")
    ]
    assert ["s3cret" in dump(load(text)) for text in texts] == [False] * 3


def test_a_lock_file_contains_no_folder_of_this_machine(small: SmallPrefix) -> None:
    """Local and editable installs have only the name of their folder, so that two machines give the same lock file."""
    small.pip("a", direct_url={"url": "file:///home/me/secret-project/a", "dir_info": {"editable": True}})
    small.pip("b", direct_url={"url": f"file://{small.path}/b-1.0-py3-none-any.whl", "archive_info": {}})
    locked = lock(snapshot(small.path))
    assert [(package.url, package.editable) for package in locked.pip] == [
        ("file:a", True),
        ("file:b-1.0-py3-none-any.whl", False),
    ]


def test_dependencies_with_the_same_name_are_joined(small: SmallPrefix) -> None:
    """Lock files have a mapping. Leading zeros in versions are removed, as in rattler."""
    six = next(package for package in lock(snapshot(small.path)).conda if package.name == "six")
    assert six.depends == ("numpy 1.2.*", "python >=3.8,<4")


def test_odd_records_are_locked(tmp_path: Path) -> None:
    """A record without URL, hash or size, with a channel's name, or with an odd file name is accepted."""
    made = SmallPrefix(tmp_path / "odd")
    made.add("a", url="", channel="conda-forge", md5=None, sha256=None, size=None)
    made.add("b", url="file:///tmp/my%20channel/noarch/b-1.0-0.tar.bz2", subdir="noarch", fn="b-1.0-0.tar.bz2")
    made.add("c", url=None, channel="<unknown>")
    made.add("d", url="https://h/lab/linux-64/d-1!0%2B1-0.conda#abc", version="1!0+1", fn=None)
    locked = lock(snapshot(made.path))
    assert [package.url for package in locked.conda] == [
        "https://conda.anaconda.org/conda-forge/linux-64/a-1.0-0.conda",
        "file:///tmp/my%20channel/noarch/b-1.0-0.tar.bz2",
        "file:///unknown/linux-64/c-1.0-0.conda",
        "https://h/lab/linux-64/d-1!0%2B1-0.conda",
    ]
    assert load(dump(locked)) == locked


@pytest.mark.parametrize("url", ["https://h/lab/noarch/odd.conda", "https://h/lab/noarch/a-1.0-0.zip"])
def test_a_record_that_no_lock_file_can_name_is_refused(url: str, tmp_path: Path) -> None:
    """Before, the lock file of such an environment could not be written or read."""
    made = SmallPrefix(tmp_path / "odd")
    made.add("a", url=url)
    with pytest.raises(BrokenRecord, match=r"a-1.0-0.json is not a record of a package \(https://h.* is not the URL"):
        lock(snapshot(made.path))


def test_an_environment_yml_names_no_unknown_channel(tmp_path: Path) -> None:
    """A package from a file has no channel. conda cannot read a file with a channel ``<unknown>``."""
    made = SmallPrefix(tmp_path / "odd")
    made.add("a", url="<unknown>/linux-64/a-1.0-0.conda", channel="<unknown>/linux-64")
    environment = snapshot(made.path)
    text = dump(lock(environment), "environment", channels=environment.channels)
    assert "channels:\n  - nodefaults\n" in text
    made.add("b", url="https://conda.anaconda.org/lab/noarch/b-1.0-0.conda", subdir="noarch")
    environment = snapshot(made.path)
    text = dump(lock(environment), "environment", channels=environment.channels)
    assert "channels:\n  - lab\ndependencies:" in text
