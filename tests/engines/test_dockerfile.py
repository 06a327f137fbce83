"""The Dockerfile and its files are fit for a commit, and no name of a package can break them."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from jupyter_condabuild.conda.formats import load
from jupyter_condabuild.conda.lockfile import Lockfile, of_packages
from jupyter_condabuild.conda.packages import CondaPackage, PipPackage
from jupyter_condabuild.engines.docker.dockerfile import _quoted
from jupyter_condabuild.engines.docker.installers import INSTALLERS
from jupyter_condabuild.engines.docker.recipe import Recipe, Wanted, recipe
from jupyter_condabuild.errors import LockfileError, UsageError

CHANNEL = "https://conda.example.org/lab"
HASH = "ab" * 32

HOSTILE = [
    "a\nRUN touch /pwned",
    "a\r\nUSER root",
    "a\n#",
    "\n",
    "\nFROM scratch",
    "a\x0bRUN x",
    "a\x85RUN x",
    "a\u2028RUN x",
    '"; touch /pwned; "',
    "'; touch /pwned; '",
    "$(touch /pwned)",
    "`touch /pwned`",
    "${PATH}",
    "$PATH",
    "a && b",
    "a || b",
    "a | b",
    "a > /etc/passwd",
    "a; b",
    "a & b",
    "--privileged",
    "-rf",
    "--index-url http://evil",
    "../../x",
    "/etc/passwd",
    "a b",
    "a\tb",
    "a\\",
    "a\\\n",
    'a"',
    "a'",
    'a\\"',
    "{{a}}",
    "{lockfile}",
    "%s",
    "<<EOF\nx\nEOF",
    "a\x00b",
    "a\x1b[2J",
    "\xe9\n",
    "\ud800",
    "# syntax=evil/frontend",
    "a # escape=`",
    "]\nCMD []",
    '"]',
    '["x"]',
    "x" * 5000 + "\n",
    "--mount=type=bind",
    "@evil",
    "name @ file:///etc",
    "==",
    "a==1 --hash=sha256:00",
    "!y",
    "*",
    "~",
]


def conda(name: str = "tool", **fields: object) -> CondaPackage:
    """Makes a package of the channel."""
    given = {"version": "1.0", "build": "0", "subdir": "linux-64", "sha256": HASH, "size": 10, **fields}
    given.setdefault("url", f"{CHANNEL}/{given['subdir']}/{name}-{given['version']}-{given['build']}.conda")
    return CondaPackage(name=name, **given)  # type: ignore[arg-type]


def lockfile(*packages: CondaPackage, pip: tuple[PipPackage, ...] = ()) -> Lockfile:
    """Makes a lock file with Python."""
    python = conda("python", version="3.12.1", build="h0_cpython")
    return of_packages("linux-64", [python, *packages], pip)


def made(found: Lockfile, **wanted: object) -> Recipe:
    """Makes the recipe for a registry's Debian image, with micromamba."""
    given = {"base": "docker.io/library/debian:bookworm-slim", "installer": INSTALLERS["micromamba"], **wanted}
    return recipe(found, Wanted(**given))  # type: ignore[arg-type]


def instructions(text: str) -> list[str]:
    """Returns the instructions of the Dockerfile in order, each on one line, as Docker's parser joins lines."""
    joined = re.sub(r"\\\n\s*", "", text)
    return [line for line in joined.split("\n") if line.strip() and not line.startswith("#")]


def test_there_are_fifty_hostile_values() -> None:
    """The number is the requested one."""
    assert len(set(HOSTILE)) >= 50


def test_the_dockerfile_is_fit_for_a_commit() -> None:
    """The file has two stages.

    The lock file comes first, the user's files come last, and the user has no privileges.
    """
    text = made(lockfile(conda()), workspace=".").dockerfile
    assert [line.split()[0] for line in instructions(text)] == [
        *("FROM", "USER", "WORKDIR", "COPY", "RUN"),
        *("FROM", "RUN", "COPY", "COPY", "COPY", "COPY", "ENV", "USER", "WORKDIR", "ENTRYPOINT", "CMD"),
    ]
    lines = instructions(text)
    assert lines[3] == "COPY conda-lock.yml ./"
    assert lines[4].startswith("RUN --mount=type=cache,")
    assert lines[4].endswith("micromamba create --yes --quiet --no-rc --prefix /opt/env --file conda-lock.yml")
    assert lines.index("COPY --from=environment /opt/env /opt/env") < lines.index("COPY --chown=1000:1000 . /work/")
    assert lines[-1] == 'CMD ["python"]'
    assert not [line for line in text.splitlines() if len(line) > 120 or line != line.rstrip()]


@pytest.mark.parametrize("name", sorted(INSTALLERS))
def test_each_installer_reads_an_existing_file(name: str) -> None:
    """The files that a Dockerfile copies exist, and we can read its lock file."""
    found = lockfile(conda())
    result = made(found, installer=INSTALLERS[name], folder="environment/")
    copied = {
        word.removeprefix("environment/")
        for line in instructions(result.dockerfile)
        if line.startswith("COPY") and "--from" not in line
        for word in line.split()[1:-1]
        if not word.startswith("--")
    }
    assert copied == set(result.files)
    for file in {"conda-lock.yml", "explicit.txt"} & set(result.files):
        again = load(result.files[file].decode())
        assert {package.url for package in again.conda} == {package.url for package in found.conda}


def test_the_same_lock_file_gives_the_same_bytes() -> None:
    """No time, no folder and no order of a set changes the recipe."""
    one, other = (made(lockfile(conda("b"), conda("a")), variables={"A": "1"}) for _ in range(2))
    assert (one.dockerfile, dict(one.files)) == (other.dockerfile, dict(other.files))


def test_pip_packages_have_hashes_or_a_comment() -> None:
    """Packages with hashes are installed with --require-hashes. The others have their own step with a comment."""
    pip = (PipPackage("known", "1.0", index="pypi", sha256=HASH), PipPackage("unknown", "2.0", index="pypi"))
    result = made(lockfile(conda(), pip=pip))
    assert result.files["requirements.txt"].decode() == f"known==1.0 --hash=sha256:{HASH}\n"
    assert result.files["requirements-unhashed.txt"].decode().splitlines()[1:] == ["unknown==2.0"]
    runs = [line for line in instructions(result.dockerfile) if "pip install" in line]
    assert ["--require-hashes" in line for line in runs] == [True, False]
    assert all("--no-deps" in line for line in runs)
    assert "# No hashes are known for these packages" in result.dockerfile


def test_an_index_is_used_only_for_its_own_packages() -> None:
    """A package of a private index is never looked up at PyPI, and vice versa."""
    pip = (
        PipPackage("inner", "1.0", index="https://pip.lab.org/simple", sha256=HASH),
        PipPackage("outer", "1.0", index="pypi", sha256=HASH),
    )
    files = made(lockfile(conda(), pip=pip)).files
    (name,) = [file for file in files if re.fullmatch(r"requirements-\d\.txt", file)]
    assert files[name].decode().splitlines()[0] == "--index-url https://pip.lab.org/simple"
    assert "inner" in files[name].decode()
    assert "inner" not in files["requirements.txt"].decode()


@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize("member", ["name", "version", "build", "subdir", "url"])
def test_a_conda_package_does_not_change_the_dockerfile(hostile: str, member: str) -> None:
    """A package with any name is refused, or the instructions are the same as for other packages."""
    try:
        package = replace(conda(), **{member: hostile if member != "url" else f"{CHANNEL}/linux-64/{hostile}.conda"})
        text = made(lockfile(package)).dockerfile
    except (LockfileError, ValueError):
        return
    assert text == made(lockfile(conda())).dockerfile


@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize("member", ["name", "version", "index"])
def test_a_pip_package_is_one_line_of_requirements(hostile: str, member: str) -> None:
    """A pip package is refused, or is one requirement in one line without an option."""
    try:
        package = replace(PipPackage("tool", "1.0", index="pypi", sha256=HASH), **{member: hostile})
        files = made(lockfile(conda(), pip=(package,))).files
    except (LockfileError, ValueError):
        return
    for name, content in files.items():
        if name.startswith("requirements"):
            lines = [line for line in content.decode().splitlines() if not line.startswith("#")]
            assert len(lines) == (1 if member != "index" else 2)
            assert re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!+_-]+ --hash=sha256:[0-9a-f]{64}", lines[-1])


@pytest.mark.parametrize("hostile", HOSTILE)
def test_variables_are_quoted_or_refused(hostile: str) -> None:
    """A value is unchanged after Docker's unquoting, or is refused. The name can only be the name of a variable."""
    try:
        text = made(lockfile(conda()), variables={"GIVEN": hostile}).dockerfile
    except UsageError:
        assert re.search(r"[\x00-\x1f\x7f]", hostile)
    else:
        assert len(instructions(text)) == len(instructions(made(lockfile(conda())).dockerfile))
        assert unquoted(_quoted(hostile)) == hostile
    if not re.fullmatch(r"\w+", hostile):
        with pytest.raises(UsageError):
            made(lockfile(conda()), variables={hostile: "x"})


def unquoted(value: str) -> str:
    """Unquotes a value in ENV as Docker does.

    Source: buildkit's frontend/dockerfile/shell/lex.go, processDoubleQuote.
    """
    if not value.startswith('"'):
        return value
    assert value[-1] == '"'
    inside, result = value[1:-1], ""
    while inside:
        if inside[0] == "\\" and inside[1:2] in ('"', "$", "\\"):
            result, inside = result + inside[1], inside[2:]
        else:
            assert inside[0] not in '"$'
            result, inside = result + inside[0], inside[1:]
    return result


@pytest.mark.parametrize("path", ["share/$(x)", "a b", "a\nb", "-rf", "é", "\udcff", "*"])
def test_names_of_removed_files_are_data(path: str, tmp_path: Path) -> None:
    """The names of deleted files are in a list that xargs reads as bytes. Other files stay."""
    import os

    result = made(lockfile(conda()), removed=[path])
    target = tmp_path / os.fsencode(path).decode("utf-8", "surrogateescape")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("x")
    (tmp_path / "kept").write_text("x")
    (line,) = [line for line in instructions(result.dockerfile) if "xargs" in line]
    assert line == "RUN cd /opt/env && xargs -0 rm -rf -- </build/removed.list"
    subprocess.run(["xargs", "-0", "rm", "-f", "--"], input=result.files["removed.list"], cwd=tmp_path, check=True)
    assert not target.exists()
    assert (tmp_path / "kept").exists()


def test_the_rules_of_hadolint_are_kept() -> None:
    """Tags are not latest, WORKDIRs are absolute, commands are JSON, and the last USER is not root."""
    for name, installer in INSTALLERS.items():
        lines = instructions(made(lockfile(conda()), installer=installer, workspace=".").dockerfile)
        images = [line.split()[1] for line in lines if line.startswith("FROM ")]
        assert all(
            re.search(r":[\w.-]+$", image) and not image.endswith(":latest") for image in images
        )  # DL3006, DL3007
        assert all(line.split()[1].startswith("/") for line in lines if line.startswith("WORKDIR "))  # DL3000
        assert [line for line in lines if line.startswith("USER ")][-1] == "USER 1000:1000"  # DL3002
        assert not [line for line in lines if re.match(r"(ADD|MAINTAINER) ", line)]  # DL3020, DL4000
        for line in lines:
            if line.startswith(("CMD ", "ENTRYPOINT ")):
                json.loads(line.split(" ", 1)[1])  # DL3025
            if "pip install" in line:
                assert "--no-cache-dir" in line or "type=cache" in line  # DL3042
            if line.startswith("COPY ") and "--from" not in line and len(line.split()) > 3:
                assert line.endswith("/")  # DL3021
        assert not [line for line in lines if re.search(r"\bsudo\b|\bcd /(?!opt/env)", line)], name  # DL3003, DL3004


@pytest.mark.parametrize("url", ["s3://b/x.whl", "git+file:///home/me/x", "path+x://h", "ftp://h/x.whl"])
def test_a_source_that_pip_cannot_install_is_refused_by_name(url: str) -> None:
    """The message names the package and its source."""
    lockfile = of_packages("linux-64", [], [PipPackage("mine", "1", url=url)])
    with pytest.raises(LockfileError, match=f"pip cannot install mine from {re.escape(url)}"):
        recipe(lockfile, Wanted("base", INSTALLERS["micromamba"]))


def test_a_hash_of_a_pip_package_cannot_add_a_line() -> None:
    """The requirements file has one line for each package."""
    lockfile = of_packages("linux-64", [], [PipPackage("x", "1", index="pypi", sha256=f"{HASH}\n--index-url http://e")])
    with pytest.raises(LockfileError, match="sha256 of the pip package x is not a hash"):
        recipe(lockfile, Wanted("base", INSTALLERS["micromamba"]))


def test_a_repository_is_installed_without_a_hash() -> None:
    """pip refuses hashes of repositories."""
    urls = ["git+https://h/a.git@c0ffee#subdirectory=py", "https://h/b.zip#subdirectory=b"]
    packages = [PipPackage("a", "1", url=urls[0]), PipPackage("b", "1", url=urls[1], sha256=HASH)]
    files = recipe(of_packages("linux-64", [], packages), Wanted("base", INSTALLERS["micromamba"])).files
    assert files["requirements.txt"].decode() == f"b @ {urls[1]}&sha256={HASH}\n"
    assert files["requirements-unhashed.txt"].decode().endswith(f"\na @ {urls[0]}\n")
