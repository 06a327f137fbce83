"""What a lock file says is read, or refused with a clear message; nothing is dropped or guessed."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from jupyter_condabuild.conda.foreign.findings import findings
from jupyter_condabuild.conda.formats import dump, load
from jupyter_condabuild.conda.lockfile import of_packages
from jupyter_condabuild.conda.locking import lock
from jupyter_condabuild.conda.packages import PYPI, CondaPackage, PipPackage
from jupyter_condabuild.conda.prefix.snapshot import snapshot
from jupyter_condabuild.errors import LockfileError
from jupyter_condabuild.image.configuration import LOCKFILE, _pack, lockfile_in
from jupyter_condabuild.oci.image import ImageConfig, canonical_json
from jupyter_condabuild.planning.inputs import IRREPRODUCIBLE
from tests.parts.small_prefix import SmallPrefix

SHA = "ab" * 32
MD5 = "cd" * 16
COMMIT = "c0ffee" + "0" * 34


def conda_url(name: str, version: str = "1", subdir: str = "linux-64") -> str:
    return f"https://h/lab/{subdir}/{name}-{version}-0.conda"


def conda_lock(*entries: dict[str, Any], platforms: Sequence[str] = ("linux-64",)) -> str:
    return json.dumps({"version": 1, "metadata": {"platforms": list(platforms)}, "package": entries})


def entry(name: str, category: str = "main", version: str = "1", **more: Any) -> dict[str, Any]:
    known = {"name": name, "version": version, "manager": "conda", "platform": "linux-64", "category": category}
    return {**known, "url": conda_url(name, version), "hash": {"md5": MD5, "sha256": SHA}, **more}


def pip_entry(name: str, url: str, **more: Any) -> dict[str, Any]:
    return {**entry(name), "manager": "pip", "url": url, **more}


def pixi(environments: dict[str, Sequence[dict[str, str]]], *packages: dict[str, Any], version: int = 6) -> str:
    """Returns a pixi.lock for linux-64: the references of each environment, and the descriptions of packages."""
    named = {
        name: {"channels": [], "packages": {"linux-64": references} if references else {}}
        for name, references in environments.items()
    }
    return json.dumps({"version": version, "environments": named, "packages": packages})


def pixi_conda(name: str) -> tuple[dict[str, str], dict[str, str]]:
    return {"conda": conda_url(name)}, {"conda": conda_url(name), "sha256": SHA}


def names(text: str, **options: Any) -> list[str]:
    lockfile = load(text, **options)
    return [package.name for package in (*lockfile.conda, *lockfile.pip)]


def test_the_pip_packages_of_an_explicit_file_of_conda_lock_are_read(tmp_path: Path) -> None:
    """conda-lock writes them as comments, with and without a hash."""
    url = "https://files.pythonhosted.org/packages/x/tiny-1.0-py3-none-any.whl"
    (tmp_path / "conda-lock.yml").write_text(
        dump(of_packages("linux-64", [CondaPackage.of_url(conda_url("a"), sha256=SHA, md5=MD5)], []))
    )
    whole = json.loads(conda_lock(entry("a"), pip_entry("tiny", url), pip_entry("bare", url, hash={})))
    whole["metadata"] |= {"content_hash": {"linux-64": SHA}, "channels": [], "sources": []}
    for one in whole["package"]:
        one |= {"dependencies": {}, "optional": False}
    (tmp_path / "conda-lock.yml").write_text(json.dumps(whole))
    render = [sys.executable, "-m", "conda_lock", "render", "-k", "explicit", "-p", "linux-64", "conda-lock.yml"]
    subprocess.run(render, cwd=tmp_path, capture_output=True, check=True)
    text = (tmp_path / "conda-linux-64.lock").read_text()
    assert f"# pip tiny @ {url}#sha256={SHA}\n" in text
    found = load(text)
    assert [(package.name, package.url, package.sha256) for package in found.pip] == [
        ("bare", url, ""),
        ("tiny", url, SHA),
    ]
    assert [package.name for package in found.conda] == ["a"]


@pytest.mark.parametrize(
    ("line", "package"),
    [
        (f"# pip x @ https://h/x.whl#sha256={SHA}", PipPackage("x", "", url="https://h/x.whl", sha256=SHA)),
        (f"# pip x == 1.0 --hash=sha256:{SHA}", PipPackage("x", "1.0", index=PYPI, sha256=SHA)),
        ("# pip x === 1.0", PipPackage("x", "1.0", index=PYPI)),
        (f"# pip X.y @ git+https://h/x.git@{COMMIT}", PipPackage("x-y", "", url=f"git+https://h/x.git@{COMMIT}")),
        (
            f"# pip x @ https://h/x.zip#subdirectory=a&sha256={SHA}",
            PipPackage("x", "", url="https://h/x.zip#subdirectory=a", sha256=SHA),
        ),
        ("# pip x @ file:///home/me/x", PipPackage("x", "", url="file:x")),
        ("# pip packages are not listed here", None),
        ("# pip", None),
    ],
)
def test_each_form_of_a_pip_line_is_read(line: str, package: PipPackage | None) -> None:
    """Other comments stay comments. A package has the same values after it is written again."""
    found = load(f"@EXPLICIT\n{conda_url('a')}#{SHA}\n{line}\n")
    assert found.pip == ((package,) if package else ())
    assert load(dump(found, "explicit")).pip == found.pip


@pytest.mark.parametrize("line", ["# pip x @ not a url", "# pip: x", "# pip x == ", "# pip ../x @ https://h/x"])
def test_a_pip_line_that_cannot_be_read_is_refused(line: str) -> None:
    """The message has the number of the line."""
    with pytest.raises(LockfileError, match=r"line 3: .* is not a pip package"):
        load(f"@EXPLICIT\n{conda_url('a')}#{SHA}\n{line}\n")


def test_an_explicit_file_for_several_platforms_is_refused() -> None:
    """The URLs decide the platform. The comment, and the platform that the user asked for, must agree with them."""
    mac, linux = conda_url("a", subdir="osx-arm64"), conda_url("b")
    assert load(f"@EXPLICIT\n{mac}\n").platform == "osx-arm64"
    assert load(f"@EXPLICIT\n{conda_url('a', subdir='noarch')}\nhttps://h/pkgs/b-1-0.conda", "linux-64").platform == (
        "linux-64"
    )
    with pytest.raises(LockfileError, match="is for linux-64, but a-1-0 is for osx-arm64"):
        load(f"@EXPLICIT\n{mac}\n{linux}\n")
    for text in (f"# platform: linux-64\n@EXPLICIT\n{mac}", f"@EXPLICIT\n{mac}\n{linux}"):
        with pytest.raises(LockfileError, match="is for linux-64, but a-1-0 is for osx-arm64"):
            load(text, "linux-64")
    with pytest.raises(LockfileError, match="is for osx-arm64, not for linux-64"):
        load(f"@EXPLICIT\n{mac}\n", "linux-64")


def test_a_package_of_another_platform_is_refused() -> None:
    """A package is for the platform under which the lock file lists it."""
    wrong = conda_url("x", subdir="win-64")
    texts = [
        conda_lock(entry("x", url=wrong)),
        pixi({"default": [{"conda": wrong}]}, {"conda": wrong, "sha256": SHA}),
    ]
    for text in texts:
        with pytest.raises(LockfileError, match="is for linux-64, but x-1-0 is for win-64"):
            load(text)


def test_the_categories_of_conda_lock_are_chosen() -> None:
    """The default is that of ``conda-lock install``. A package in several categories counts once."""
    text = conda_lock(
        entry("a"),
        *(entry("shared", category) for category in ("main", "dev", "docs")),
        entry("b", "dev"),
        entry("c", "docs"),
        pip_entry("d", "https://h/d.whl", category="docs"),
    )
    assert names(text) == ["a", "b", "shared"]
    assert load(text).choices.left_out == ("docs",)
    assert names(text, categories=["docs"]) == ["c", "shared", "d"]
    assert names(text, categories=["main", "docs"]) == ["a", "c", "shared", "d"]
    assert load(text, categories=["main"]).choices.left_out == ("dev", "docs")
    assert load(text, categories=["main", "dev", "docs"]).choices.left_out == ()
    with pytest.raises(LockfileError, match="no packages in the category 'tests'") as failed:
        load(text, categories=["tests"])
    assert "dev, docs, main" in failed.value.hint


def test_two_versions_of_a_package_are_refused() -> None:
    """The message names both, for each format and each kind of package. Equal lines count once."""
    one, two = conda_url("x", "1"), conda_url("x", "2")
    texts = [
        f"@EXPLICIT\n{one}\n{two}",
        conda_lock(entry("x"), entry("x", "dev", "2")),
        pixi({"default": [{"conda": one}, {"conda": two}]}, {"conda": one}, {"conda": two}),
    ]
    for text in texts:
        with pytest.raises(LockfileError, match="has 'x' twice: x-1-0 and x-2-0"):
            load(text)
    with pytest.raises(LockfileError, match="has 'p' twice: 1 and 2"):
        load(conda_lock(pip_entry("p", "https://h/1"), pip_entry("p", "https://h/2", version="2")))
    with pytest.raises(LockfileError, match="has 'x' twice, with two archives"):
        load(f"@EXPLICIT\n{one}#{SHA}\n{one}#{'0' * 64}")
    assert names(f"@EXPLICIT\n{one}#{SHA}\n{one}#{SHA}") == ["x"]


@pytest.mark.parametrize("odd", [{"a": "b"}, ["a"], "", None, [[]]])
def test_a_member_of_the_wrong_type_is_refused_or_read(odd: object) -> None:
    """Each member of an entry can be anything in a hostile file. No other error than that of a lock file comes."""
    reference, package = pixi_conda("a")
    described = {"pypi": "https://h/p.whl", "name": "p", "version": "1"}
    for member in entry("a"):
        for whole in (entry("a"), pip_entry("a", "https://h/a.whl", source={"type": "url", "url": "https://h/a.whl"})):
            with suppress(LockfileError):
                load(conda_lock({**whole, member: odd}))
    for member in (*package, *described, "version", "depends", "size", "editable"):
        with suppress(LockfileError):
            load(pixi({"default": [reference]}, {**package, member: odd}))
        with suppress(LockfileError):
            load(pixi({"default": [{"pypi": described["pypi"]}]}, {**described, member: odd}))
    for environments in ({"default": odd}, odd, {"default": {"packages": odd}}, {"default": {"packages": {"a": odd}}}):
        for platforms in (odd, [odd], [{"name": odd}]):
            text = {"version": 7, "environments": environments, "platforms": platforms, "packages": [odd]}
            with suppress(LockfileError):
                load(json.dumps(text))


def test_the_lock_file_of_a_damaged_environment_is_read(tmp_path: Path) -> None:
    """An interrupted update of pip leaves a package twice. The lock file in the image of this environment is read."""
    made = SmallPrefix(tmp_path / "env")
    made.python()
    for version in ("1.0", "2.0"):
        made.pip("a", version)
    locked = lock(snapshot(made.path))
    for format in ("conda-lock", "explicit"):
        text = dump(locked, format)  # type: ignore[arg-type]
        assert [package.version for package in load(text, check=False).pip] == ["1.0", "2.0"]
        with pytest.raises(LockfileError, match=r"has 'a' twice: 1\.0 and 2\.0"):
            load(text)
    config = ImageConfig.parse(canonical_json({LOCKFILE: _pack(locked), "rootfs": {"type": "layers", "diff_ids": []}}))
    assert lockfile_in(config).pip == locked.pip


def test_the_environment_of_a_pixi_lock_is_chosen() -> None:
    """It is the one that the user asked for, ``default``, or the only one that has packages."""
    (a, a_entry), (b, b_entry) = pixi_conda("a"), pixi_conda("b")
    both = pixi({"cuda": [b], "default": [a]}, a_entry, b_entry)
    assert names(both) == ["a"]
    assert names(both, environment="cuda") == ["b"]
    assert load(both).choices.environments == ("cuda", "default")
    assert load(both).choices.environment == "default"
    assert names(pixi({"only": [b]}, b_entry)) == ["b"]
    assert names(pixi({"default": [], "only": [b]}, b_entry)) == ["b"]
    several = pixi({"default": [], "cpu": [a], "cuda": [b]}, a_entry, b_entry)
    with pytest.raises(LockfileError, match="the environments cpu, cuda, default") as failed:
        load(several)
    assert "--environment cpu" in failed.value.hint
    with pytest.raises(LockfileError, match="no environment 'gpu'") as failed:
        load(both, environment="gpu")
    assert "cuda, default" in failed.value.hint


def test_an_option_that_a_format_has_no_meaning_for_is_refused() -> None:
    """The message names the option to leave out."""
    explicit, lock = f"@EXPLICIT\n{conda_url('a')}", conda_lock(entry("a"))
    reference, package = pixi_conda("a")
    for text in (explicit, lock):
        with pytest.raises(LockfileError, match="has no environments") as failed:
            load(text, environment="x")
        assert failed.value.hint == "Leave out --environment."
    for text in (explicit, pixi({"default": [reference]}, package)):
        with pytest.raises(LockfileError, match="has no categories") as failed:
            load(text, categories=["x"])
        assert failed.value.hint == "Leave out --category."


@pytest.mark.parametrize(
    ("reference", "named"),
    [
        ({"conda": "."}, r"the package \., which pixi builds"),
        ({"conda": "./recipes/mine", "subdir": "noarch"}, "the package ./recipes/mine, which pixi builds"),
        ({"source": "mine"}, "the package mine, which pixi builds"),
        ({"conda_source": "mine[1234abcd] @ ."}, r"the package mine\[1234abcd\] @ \., which pixi builds"),
        ({"conda": "./out/linux-64/mine-1-0.conda"}, "the archive ./out/linux-64/mine-1-0.conda"),
    ],
)
def test_a_package_that_pixi_builds_from_its_source_is_refused(reference: dict[str, str], named: str) -> None:
    """No archive of it is in a channel. The message names the package."""
    with pytest.raises(LockfileError, match=named) as failed:
        load(pixi({"default": [reference]}, {**reference, "name": "mine", "version": "1"}))
    assert "channel" in failed.value.hint


def test_a_package_that_is_not_described_is_refused() -> None:
    """The message names the package, and no exception of Python."""
    reference, _ = pixi_conda("a")
    with pytest.raises(LockfileError, match=r"lists https://h/lab/linux-64/a-1-0\.conda, but does not describe it"):
        load(pixi({"default": [reference]}))
    with pytest.raises(LockfileError, match="the member 'url' is missing"):
        load(conda_lock({key: value for key, value in entry("a").items() if key != "url"}))
    with pytest.raises(LockfileError, match="package of the manager 'npm': 'a'"):
        load(conda_lock(entry("a", manager="npm")))


@pytest.mark.parametrize(
    ("location", "url"),
    [
        (f"git+https://h/a.git?tag=v1#{COMMIT}", f"git+https://h/a.git@{COMMIT}"),
        (f"git+https://h/a?rev=c0ffee&subdirectory=py#{COMMIT}", f"git+https://h/a@{COMMIT}#subdirectory=py"),
        (f"git+ssh://git@h/a.git?branch=main#{COMMIT}", f"git+ssh://git@h/a.git@{COMMIT}"),
        ("git+https://h/a.git?branch=main", "git+https://h/a.git@main"),
        (f"git+https://h/a.git#{COMMIT}", f"git+https://h/a.git@{COMMIT}"),
        (f"git+https://h/a.git@{COMMIT}#subdirectory=py", f"git+https://h/a.git@{COMMIT}#subdirectory=py"),
        ("direct+https://h/a-1-py3-none-any.whl", "https://h/a-1-py3-none-any.whl"),
        ("https://h/a-1-py3-none-any.whl", "https://h/a-1-py3-none-any.whl"),
        ("./python/a", "file:a"),
        ("../a/", "file:a"),
        ("file:///home/me/a", "file:a"),
    ],
)
def test_the_source_of_a_pip_package_has_the_form_that_pip_accepts(location: str, url: str) -> None:
    """uv and pixi have their own forms. A hash that is a commit is none; conda-lock writes it so."""
    described = {"pypi": location, "name": "a", "version": "1"}
    from_pixi = load(pixi({"default": [{"pypi": location}]}, described))
    source = {"type": "url", "url": location}
    from_conda_lock = load(conda_lock(pip_entry("a", location, hash={"sha256": COMMIT}, source=source)))
    assert [package.url for package in (*from_pixi.pip, *from_conda_lock.pip)] == [url, url]
    if "git+" in url:
        assert from_conda_lock.pip[0].sha256 == ""


@pytest.mark.parametrize("location", ["--index-url=http://h/simple", "-r", " -e ."])
def test_an_option_of_pip_is_no_source(location: str) -> None:
    """The file is refused when it is read, so every command refuses it. The message names the package."""
    described = {"pypi": location, "name": "foo", "version": "1"}
    for text in (
        f"@EXPLICIT\n# pip foo @ {location.strip().partition(' ')[0]}\n",
        pixi({"default": [{"pypi": location}]}, described),
        conda_lock(pip_entry("foo", location)),
        conda_lock(pip_entry("foo", "https://h/foo", source={"type": "url", "url": location})),
    ):
        with pytest.raises(LockfileError, match=r"the source of the pip package foo is '.*', an option of pip"):
            load(text)
    with pytest.raises(LockfileError, match="is not a pip package"):
        load("@EXPLICIT\n# pip --foo @ https://h/foo.whl\n")


def codes(*conda: CondaPackage, pip: Sequence[PipPackage] = ()) -> dict[str, str]:
    return {warning.code: warning.message for warning in findings(of_packages("linux-64", conda, pip))}


def test_a_lock_file_has_the_warnings_of_an_environment() -> None:
    """The codes are the same, so that ``--strict`` means the same."""
    whole = CondaPackage.of_url(conda_url("a"), sha256=SHA)
    assert codes(whole) == {}
    assert "no sha256 of 1 conda package: a" in codes(CondaPackage.of_url(conda_url("a")))["conda-without-hash"]
    assert list(codes(CondaPackage.of_url(conda_url("a"), md5=MD5))) == ["conda-without-hash"]
    assert list(codes(CondaPackage.of_url("file:///x/noarch/a-1-0.conda", sha256=SHA))) == ["local-channel"]
    wheel = PipPackage("p", "1", url="https://h/p.whl", sha256=SHA)
    assert codes(whole, pip=[wheel]) == {}
    assert "no hash of 1 pip package: p" in codes(pip=[PipPackage("p", "1", index=PYPI)])["pip-without-hash"]
    assert list(codes(pip=[PipPackage("p", "1", url=f"git+https://h/p@{COMMIT}")])) == ["vcs-install"]
    assert list(codes(pip=[PipPackage("p", "1", url="git+https://h/p@main")])) == ["pip-without-hash"]
    overwritten = codes(whole, pip=[PipPackage("a", "2", url="https://h/a.whl", sha256=SHA)])
    assert "pip's a 2 overwrites" in overwritten["conda-overwritten-by-pip"]


def test_the_sha256_of_a_vcs_source_is_no_hash_of_an_archive() -> None:
    """A real hash is kept for an archive."""
    digest = hashlib.sha256(b"x").hexdigest()
    found = load(conda_lock(pip_entry("a", "https://h/a.whl", hash={"sha256": digest})))
    assert found.pip[0].sha256 == digest


@pytest.mark.parametrize(
    "place",
    [
        "file:///x",
        "FILE:///x",
        "http://localhost:8000",
        "https://127.0.0.1",
        "http://[::1]:80",
        "http://x.localhost",
        "http://0.0.0.0",
    ],
)
def test_what_only_this_machine_has_is_said_and_ends_a_strict_build(place: str) -> None:
    """The server of a channel, of an index or of a repository can be on this machine, too."""
    found = codes(CondaPackage.of_url(f"{place}/noarch/a-1-0.conda", sha256=SHA))
    assert found == {"local-channel": "The lock file has 1 conda package from a channel on this machine: a."}
    for package in (
        PipPackage("p", "1", url=f"{place}/p.whl", sha256=SHA),
        PipPackage("p", "1", index=f"{place}/simple", sha256=SHA),
        PipPackage("p", "1", url=f"git+{place}/p@{COMMIT}"),
    ):
        assert list(codes(pip=[package])) == ["local-install"], package
    assert {"local-channel", "local-install"} <= IRREPRODUCIBLE


@pytest.mark.parametrize(
    "place", ["https://lab.org", "http://127.example.org", "https://localhost.lab.org", "https://10.0.0.1"]
)
def test_other_servers_are_no_local_channel(place: str) -> None:
    """Whoever is in the same network can reach them."""
    assert codes(CondaPackage.of_url(f"{place}/noarch/a-1-0.conda", sha256=SHA)) == {}
