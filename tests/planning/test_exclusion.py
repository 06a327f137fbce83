"""--exclude and --exclude-editable: what the user leaves out, and that the report says so."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from jupyter_condabuild.conda.formats import dump
from jupyter_condabuild.engines.layers.overlay import collect
from jupyter_condabuild.engines.layers.upper_layers import overlay_of
from jupyter_condabuild.errors import LinkFailed, NotReproducible, PrefixNotAllowed, SecretsFound, UsageError
from jupyter_condabuild.planning.identity import identity
from jupyter_condabuild.planning.inputs import Inputs, read_inputs
from jupyter_condabuild.requests.build import BuildRequest, PlanRequest
from jupyter_condabuild.requests.job_context import open_job
from tests.parts.jobs import build_request, plan_request
from tests.parts.small_prefix import SITE, SmallPrefix

IRREPRODUCIBLE = ("modified-files", "missing-files", "untracked-files", "editable-install", "empty-folders")


class Lab:
    """An environment with added, changed and removed files, and an editable install."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.prefix = SmallPrefix(folder / "envs/demo")
        self.prefix.python()
        self.prefix.add("tool", files={"share/tool/a.txt": b"a\n", "share/tool/b.txt": b"b\n"})
        self.prefix.write("data.bin", b"d" * 31_000)
        self.prefix.write("share/models/one.bin", b"1")
        self.prefix.write("share/models/two.csv", b"2")
        self.prefix.write("share/tool/a.txt", b"changed\n")
        (self.prefix.path / "share/tool/b.txt").unlink()
        (self.prefix.path / "var/spool").mkdir(parents=True)
        self.source = folder / "src/mylib"
        for name in ("mylib/__init__.py", "mylib/big.bin", "notes/data.bin", "pyproject.toml"):
            (self.source / name).parent.mkdir(parents=True, exist_ok=True)
            (self.source / name).write_text("x = 1\n")
        origin = {"url": self.source.as_uri(), "dir_info": {"editable": True}}
        self.prefix.pip("My_Lib", files={f"{SITE}/_my_lib.pth": f"{self.source}\n".encode()}, direct_url=origin)

    def read(self, kind: type[PlanRequest] = PlanRequest, **given: object) -> Inputs:
        make = plan_request if kind is PlanRequest else build_request
        options = {"prefix": self.prefix.path, "store_dir": self.folder / "store", "launch": [], **given}
        if kind is BuildRequest:
            options["archive"] = self.folder / "image.tar"
        with open_job(request := make(**options), lambda event: None) as job:
            return read_inputs(request, job)

    def overlay(self, inputs: Inputs) -> set[str]:
        """Returns the paths in the overlay, without the metadata of pip's packages."""
        assert inputs.environment
        assert inputs.drift is not None
        made = collect(
            inputs.environment, inputs.drift, [], inputs.own, python=None, work=self.folder / "work", limit=1 << 30
        )
        paths = {
            f"{entry.path}{' gone' * (entry.kind == 'whiteout')}".removeprefix("opt/env/") for entry in made.entries
        }
        return {path for path in paths if ".dist-info/" not in path}


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


ADDED = {"data.bin", "share/models/one.bin", "share/models/two.csv", "var/spool"}
CHANGED = {"share/tool/a.txt", "share/tool/b.txt gone"}
EDITABLE = {
    f"opt/src/my-lib/{name}" for name in ("mylib/__init__.py", "mylib/big.bin", "notes/data.bin", "pyproject.toml")
}
EDITABLE |= {f"{SITE}/_my_lib.pth"}


def said(inputs: Inputs, *codes: str) -> list[str]:
    wanted = codes or ("excluded-files", "excluded-changes", "excluded-editable", "exclude-without-effect")
    return [warning.message for warning in inputs.warnings if warning.code in wanted]


def test_without_the_options_everything_goes_in(lab: Lab) -> None:
    """The overlay has all that the environment has besides its packages."""
    inputs = lab.read()
    assert lab.overlay(inputs) == ADDED | CHANGED | EDITABLE
    assert said(inputs) == []


@pytest.mark.parametrize(
    ("patterns", "gone"),
    [
        (["data.bin"], {"data.bin", "opt/src/my-lib/notes/data.bin"}),
        (["/data.bin"], {"data.bin"}),
        (["share/models"], {"share/models/one.bin", "share/models/two.csv"}),
        (["share/models/", "!*.csv"], {"share/models/one.bin"}),
        (["*.bin", "!one.bin"], {"data.bin", "opt/src/my-lib/mylib/big.bin", "opt/src/my-lib/notes/data.bin"}),
        (["var/"], {"var/spool"}),
        (["share/tool"], CHANGED),
        (["notes/"], {"opt/src/my-lib/notes/data.bin"}),
    ],
)
def test_a_pattern_is_that_of_a_gitignore(lab: Lab, patterns: list[str], gone: set[str]) -> None:
    """It is relative to the prefix and to the folder of an editable install. The last pattern that matches decides."""
    assert lab.overlay(lab.read(exclude=patterns)) == (ADDED | CHANGED | EDITABLE) - gone


def test_an_absolute_path_names_one_file(lab: Lab) -> None:
    """Another folder may have a file of the same name; the path may lead through a link."""
    link = lab.folder / "link"
    link.symlink_to(lab.folder / "src")
    for path in (lab.source / "notes/data.bin", lab.prefix.path / "data.bin"):
        left = (ADDED | CHANGED | EDITABLE) - lab.overlay(lab.read(exclude=[str(path)]))
        expected = "data.bin" if path.parent == lab.prefix.path else "opt/src/my-lib/notes/data.bin"
        assert left == {expected}


def test_the_report_says_what_is_left_out(lab: Lab) -> None:
    """It names added files with their size, and the files that are as their packages bring them."""
    inputs = lab.read(exclude=["data.bin", "share/tool"])
    assert said(inputs) == [
        f"As requested, the image does not have 2 files (31 kB): data.bin, {lab.source}/notes/data.bin.",
        (
            "As requested, the image has 2 files as the packages bring them, not as the environment has them: "
            "share/tool/a.txt, share/tool/b.txt."
        ),
    ]
    assert said(inputs, "modified-files", "missing-files") == []
    assert "share/models/one.bin" in said(inputs, "untracked-files")[0]
    assert "data.bin" not in said(inputs, "untracked-files")[0]


def test_a_pattern_that_matches_nothing_is_said(lab: Lab) -> None:
    """Files of packages never match: neither unchanged files nor the files of pip's packages."""
    lab.prefix.pip("plain", files={f"{SITE}/plain.py": b""})
    for pattern in ("*.parquet", "bin/python3.11", f"{SITE}/plain.py"):
        inputs = lab.read(exclude=[pattern, "data.bin"])
        assert said(inputs, "exclude-without-effect") == [
            f"--exclude {pattern} matches nothing that the environment has besides its packages."
        ]
    assert f"{SITE}/plain.py" in lab.overlay(inputs)
    assert said(lab.read(exclude=["share/models", "*.csv"]), "exclude-without-effect") == []


@pytest.mark.parametrize("pattern", ["", "  ", "# a comment", "!", "/"])
def test_a_text_that_is_no_pattern_is_wrong_usage(lab: Lab, pattern: str) -> None:
    """Without the error, the user would believe that a file is left out."""
    with pytest.raises(UsageError, match="--exclude has no valid pattern"):
        lab.read(exclude=["data.bin", pattern])


def test_an_editable_install_can_be_left_out(lab: Lab) -> None:
    """Neither its code nor its files in the environment go in, and the lock file does not name it."""
    inputs = lab.read(exclude_editable=["my.LIB"])
    assert lab.overlay(inputs) == ADDED | CHANGED
    assert inputs.lockfile.pip == ()
    assert said(inputs) == ["As requested, the image does not have 1 editable install: my-lib."]
    assert said(inputs, "editable-install", "outside-prefix") == []
    everything = collect(
        inputs.environment, inputs.drift, [], inputs.own, python=None, work=lab.folder / "work", limit=1 << 30
    )
    assert not [entry.path for entry in everything.entries if "my_lib" in entry.path.lower()]


def test_only_an_editable_install_can_be_left_out_by_name(lab: Lab) -> None:
    """Another package of pip stays, and so does everything with an unknown name."""
    lab.prefix.pip("plain", files={f"{SITE}/plain.py": b""})
    inputs = lab.read(exclude_editable=["plain", "nothing", "my-lib"])
    assert f"{SITE}/plain.py" in lab.overlay(inputs)
    assert said(inputs, "exclude-without-effect") == [
        "--exclude-editable names what is no editable install of the environment: plain, nothing."
    ]


def test_a_left_out_install_gives_the_conda_package_back_that_it_overwrote(lab: Lab) -> None:
    """pip changed and removed the files of the package. The image has the files of the package."""
    lab.prefix.add("greet", files={f"{SITE}/greet/__init__.py": b"conda\n", f"{SITE}/greet/more.py": b"conda\n"})
    (lab.prefix.path / SITE / "greet/more.py").unlink()
    origin = {"url": (lab.folder / "src").as_uri(), "dir_info": {"editable": True}}
    lab.prefix.pip("greet", files={f"{SITE}/greet/__init__.py": b"pip\n"}, direct_url=origin)
    gone = {f"{SITE}/greet/more.py gone", f"{SITE}/greet/__init__.py"}
    assert gone <= lab.overlay(lab.read())
    inputs = lab.read(exclude_editable=["greet"])
    assert lab.overlay(inputs).isdisjoint({*gone, f"{SITE}/greet/more.py"})
    assert f"{SITE}/greet/more.py" in said(inputs, "excluded-changes")[0]


def test_strict_is_satisfied_if_all_foreign_files_are_left_out(lab: Lab) -> None:
    """The image is then what its lock file can make again."""
    with pytest.raises(NotReproducible):
        lab.read(BuildRequest, strict=True, exclude=["*.bin", "*.csv", "share/"], exclude_editable=["my-lib"])
    asked = {"exclude": ["*.bin", "*.csv", "share/", "var/"], "exclude_editable": ["my-lib"]}
    inputs = lab.read(BuildRequest, strict=True, **asked)
    assert lab.overlay(inputs) == set()
    assert said(inputs, *IRREPRODUCIBLE) == []
    assert len(said(inputs)) == 3


def test_a_left_out_file_is_not_searched_for_secrets(lab: Lab) -> None:
    """A build that would be refused for a secret runs when the file is left out."""
    lab.prefix.write("share/conf.ini", b"token = ghp_" + b"a1B2" * 9 + b"\n")
    with pytest.raises(SecretsFound):
        lab.read(BuildRequest)
    assert lab.read(BuildRequest, exclude=["share/conf.ini"]).own.findings == ()


def identity_of(lab: Lab, **given: object) -> str:
    inputs = lab.read(**given)
    request = plan_request(prefix=lab.prefix.path, store_dir=lab.folder / "store", launch=[], **given)
    return identity(inputs.lockfile, inputs.environment, inputs.drift, inputs.own, request)


def test_each_choice_that_changes_the_image_changes_its_identity(lab: Lab) -> None:
    """What is taken from outside, what may hold a secret, included files, variables, bytecode, and files of pip."""
    models, work = lab.folder / "models", lab.folder / "work"
    for folder in (models, work):
        folder.mkdir()
        (folder / "notes.txt").write_text("1")
        (folder / ".env").write_text("A=1")
    (lab.prefix.path / "share/outside").symlink_to(models)
    lab.prefix.write("share/.netrc", b"machine example.org\n")
    lab.prefix.pip("words", files={f"{SITE}/words.py": b"x = 1\n"})
    taken: dict[str, object] = {"include_outside": [str(models)]}
    included: dict[str, object] = {"include": work}
    choices = [
        {},
        taken,
        taken | {"allow_secret": [str(models / ".env")]},
        taken | {"exclude": ["notes.txt"]},
        {"allow_secret": ["share/.netrc"]},
        included,
        included | {"allow_secret": [".env"]},
        {"variables": True},
        {"bytecode": False},
    ]
    identities = [identity_of(lab, **choice) for choice in choices]
    assert len(set(identities)) == len(identities)
    assert identities == [identity_of(lab, **choice) for choice in choices]
    (models / "notes.txt").write_text("22")
    assert identity_of(lab, **taken) != identities[1]
    assert identity_of(lab) == identities[0]
    (lab.prefix.path / SITE / "words.py").write_text("x = 22\n")
    assert identity_of(lab) != identities[0]
    assert identity_of(lab, without_outside=[str(models)]) == identity_of(lab)


def test_the_identity_is_that_of_what_goes_in(lab: Lab) -> None:
    """Another choice is another image: for files of the prefix, of an editable source, and for an editable install."""

    def of(**given: list[str]) -> str:
        return identity_of(lab, **given)

    choices = [{}, {"exclude": ["/data.bin"]}, {"exclude": ["notes/"]}, {"exclude_editable": ["my-lib"]}]
    identities = [of(**choice) for choice in choices]
    assert len(set(identities)) == len(identities)
    assert identities == [of(**choice) for choice in choices]
    everything = {"exclude": ["*.bin", "*.csv", "share/", "var/"], "exclude_editable": ["my-lib"]}
    assert of(**everything) == lab.read(**everything).lockfile.digest


def test_a_link_out_of_the_environment_can_be_left_out(lab: Lab) -> None:
    """Nothing is said of its target, and an option that names the target is no error."""
    (lab.folder / "models").mkdir()
    (lab.prefix.path / "share/models/outside").symlink_to(lab.folder / "models")
    assert said(lab.read(), "outside-prefix") != []
    asked = {"exclude": ["share/models/outside"], "without_outside": [str(lab.folder / "models")]}
    inputs = lab.read(**asked)
    assert said(inputs, "outside-prefix") == []
    assert "share/models/outside" not in lab.overlay(inputs)


def test_a_path_file_that_is_left_out_leads_nowhere(lab: Lab) -> None:
    """Python in the image does not import from the folder that a left-out .pth file names."""
    (lab.folder / "elsewhere").mkdir()
    lab.prefix.write(f"{SITE}/more.pth", f"{lab.folder}/elsewhere\n".encode())
    assert said(lab.read(), "outside-prefix") != []
    assert said(lab.read(exclude=["more.pth"]), "outside-prefix") == []


def test_files_from_outside_follow_the_patterns(lab: Lab) -> None:
    """A folder that --include-outside takes can lack a part."""
    models = lab.folder / "models"
    models.mkdir()
    (models / "big.bin").write_text("1")
    (models / "small.txt").write_text("2")
    (lab.prefix.path / "share/outside").symlink_to(models)
    inputs = lab.read(include_outside=[str(models)], exclude=["big.bin"])
    assert "share/outside/small.txt" in lab.overlay(inputs)
    assert "share/outside/big.bin" not in lab.overlay(inputs)


def test_the_change_of_a_package_without_an_archive_cannot_be_left_out(lab: Lab) -> None:
    """The image has the files of such a package from the environment: there are no others."""
    inputs = lab.read(exclude=["share/tool"])
    request = plan_request(prefix=lab.prefix.path, store_dir=lab.folder / "store", exclude=["share/tool"])
    with open_job(request, lambda event: None) as job, pytest.raises(UsageError, match="cannot be left out"):
        overlay_of(request, inputs, {"tool-1.0-0": LinkFailed("gone")}, job)


def test_a_lock_file_without_an_editable_install(lab: Lab) -> None:
    """A lock file of somebody else's environment may name one; the option leaves it out, too."""
    locked = lab.folder / "conda-lock.yml"
    locked.write_text(dump(lab.read().lockfile))
    inputs = lab.read(prefix=None, lockfile=locked, engine="docker", exclude_editable=["my-lib"], exclude=["x"])
    assert inputs.lockfile.pip == ()
    assert len(said(inputs)) == 2
    assert said(inputs, "excluded-editable") != []


def test_an_editable_install_in_a_forbidden_folder_can_be_left_out(lab: Lab) -> None:
    """allow_prefixes refuses the folder of the source, which then does not go into the image."""
    allowed = [str(lab.folder / "envs")]
    with pytest.raises(PrefixNotAllowed):
        lab.read(allow_prefixes=allowed)
    assert lab.read(allow_prefixes=allowed, exclude_editable=["my-lib"]).lockfile.pip == ()


def test_modes_of_left_out_files_are_not_said(lab: Lab) -> None:
    """The image does not have the file, so nobody needs to know its mode."""
    os.chmod(lab.prefix.write("share/models/setuid", b""), 0o4755)
    assert said(lab.read(), "file-modes") != []
    assert said(lab.read(exclude=["setuid"]), "file-modes") == []
    assert replace(lab.read().drift, warnings=()).excluded == ()
