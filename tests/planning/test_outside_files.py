"""Files outside of an environment that it uses: each is named before the build, and taken only if the user asks."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from jupyter_condabuild.engines.layers.overlay import collect
from jupyter_condabuild.errors import (
    NotReproducible,
    OverlayTooLarge,
    PrefixError,
    PrefixNotAllowed,
    SecretsFound,
    UsageError,
)
from jupyter_condabuild.requests.build import BuildRequest, PlanRequest
from jupyter_condabuild.requests.outside import check_outside
from jupyter_condabuild.sbom.inputs import licenses_of
from tests.parts.outside import Machine
from tests.parts.small_prefix import SITE


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_an_ordinary_environment_uses_nothing_outside(machine: Machine) -> None:
    """There is no warning without user site, PYTHONPATH, .pth files and links."""
    machine.prefix.write(f"{SITE}/own.pth", b"# a comment\n\nown-folder\n/nowhere/at/all\n")
    (machine.prefix.path / SITE / "own-folder").mkdir()
    assert machine.warnings() == []


def test_each_place_of_the_search_path_is_named(machine: Machine) -> None:
    """The warning says where the files are, what names them, how many there are, and which packages they are."""
    machine.install(machine.user_site, "numpy", "2.0")
    machine.install(machine.data / "lib", "tools")
    machine.put(machine.home / "project/src/mine.py")
    machine.put(machine.home / "other/deep.py")
    machine.prefix.write(f"{SITE}/conda.pth", f"{machine.home}/project/src\n".encode())
    machine.prefix.write(f"{SITE}/hook.pth", f"import sys; sys.path.insert(0, '{machine.home}/other')\n".encode())
    machine.put(machine.user_site / "more.pth", f"{machine.data}/more\n")
    machine.put(machine.data / "more/m.py")
    assert machine.warnings(variables={"PYTHONPATH": f"{machine.data}/lib::/nowhere"}) == [
        "Python imports from T/data/lib (PYTHONPATH), outside of the environment: 3 files, with tools 1.0.",
        (
            "Python imports from T/home/ada/.local/lib/python3.11/site-packages (the user's site-packages), "
            "outside of the environment: 4 files, with numpy 2.0."
        ),
        "Python imports from T/data/more (more.pth), outside of the environment: 1 file.",
        "Python imports from T/home/ada/project/src (conda.pth), outside of the environment: 1 file.",
        "Python imports from T/home/ada/other (hook.pth), outside of the environment: 1 file.",
    ]


def test_links_out_of_the_environment_are_named(machine: Machine) -> None:
    """They may be absolute or relative, or lead to another link or nowhere."""
    machine.put(machine.data / "models/a.bin")
    share = machine.prefix.path / "share"
    share.mkdir()
    (share / "inside").mkdir()
    (share / "models").symlink_to(machine.data / "models")
    (share / "one").symlink_to(os.path.relpath(machine.data / "models/a.bin", share))
    (share / "again").symlink_to("models")
    (share / "deep").symlink_to("models/a.bin")
    (share / "here").symlink_to("inside")
    (share / "gone").symlink_to("/nowhere/models")
    assert machine.warnings() == [
        (
            "The environment has 2 links to files outside of it: share/models -> T/data/models (1 file), "
            "share/one -> T/data/models/a.bin (1 file)."
        ),
        "1 link will lead to no file in the image: share/gone -> /nowhere/models.",
    ]


def test_a_link_to_nothing_inside_of_the_environment_is_named(machine: Machine) -> None:
    """It may name a path that does not exist, or lead back to itself. A link to such a link is not named again."""
    share = machine.prefix.path / "share"
    share.mkdir()
    (share / "itself").symlink_to("itself")
    (share / "one").symlink_to("two")
    (share / "two").symlink_to(share / "one")
    (share / "gone").symlink_to("missing")
    (share / "again").symlink_to("gone")
    (share / "folder").symlink_to("../bin")
    project = machine.put(machine.home / "project/mine.py").parent
    machine.prefix.pip("mine", direct_url={"url": project.as_uri(), "dir_info": {"editable": True}})
    (project / "loop").symlink_to("loop")
    assert machine.warnings() == [
        (
            "5 links will lead to no file in the image: share/gone -> missing, share/itself -> itself, share/one -> "
            "two, share/two -> T/home/ada/envs/demo/share/one, T/home/ada/project/loop -> T/home/ada/project/loop."
        ),
    ]
    with pytest.raises(NotReproducible, match="5 links will lead to no file"):
        machine.read(strict=True)


def test_a_link_to_a_link_or_a_device(machine: Machine) -> None:
    """The file behind all links is taken. A device is no file, and its link stays."""
    machine.put(machine.data / "v2.bin")
    (machine.data / "latest").symlink_to("v2.bin")
    share = machine.prefix.path / "share"
    share.mkdir()
    (share / "model").symlink_to(machine.data / "latest")
    (share / "null").symlink_to("/dev/null")
    found = machine.read(include_outside=[str(machine.data)]).own.outside
    assert [(item.root, dict(item.files)) for item in found.taken] == [
        (machine.data, {"v2.bin": "/opt/env/share/model"})
    ]
    assert [place.link for place in found.left] == ["share/null"]


def test_links_out_of_taken_folders_and_projects_are_named(machine: Machine) -> None:
    """Links to other files that go into the image are not named."""
    project = machine.put(machine.home / "project/mine.py").parent
    url = {"url": project.as_uri(), "dir_info": {"editable": True}}
    machine.prefix.pip("mine", direct_url=url)
    lib = machine.put(machine.data / "lib/x.py").parent
    machine.put(machine.data / "big/a.bin")
    for link, target in (
        (project / "data", machine.data / "big"),
        (project / "self", project / "mine.py"),
        (project / "env", machine.prefix.path / "bin/python"),
        (lib / "big.bin", machine.data / "big/a.bin"),
        (lib / "mine.py", project / "mine.py"),
    ):
        link.symlink_to(target)
    asked = {"variables": {"PYTHONPATH": str(lib)}, "include_outside": [str(lib)]}
    assert machine.warnings(**asked)[0] == (
        "2 links will lead to no file in the image: T/home/ada/project/data -> T/data/big, "
        "T/data/lib/big.bin -> T/data/big/a.bin."
    )


def test_a_link_in_the_place_of_a_package_is_named(machine: Machine) -> None:
    """The user moved a large package to another disk. The image has the files of the package."""
    machine.prefix.add("big", files={"share/big/a.bin": b"a"})
    (machine.prefix.path / "share/big").rename(machine.put(machine.data / "x").with_name("big"))
    (machine.prefix.path / "share/big").symlink_to(machine.data / "big")
    assert machine.warnings() == [
        (
            "share/big is a link to T/data/big, outside of the environment: 1 file. "
            "The image has the files of the packages in its place."
        )
    ]
    assert machine.read().own.outside.replaced_links == {"share/big"}


def test_strict_refuses_what_is_neither_taken_nor_left_out(machine: Machine) -> None:
    """A folder above a place stands for the place. What is left out by name is not mentioned again."""
    machine.install(machine.user_site, "numpy")
    with pytest.raises(NotReproducible, match=r"imports from .*/\.local/.*numpy 1\.0"):
        machine.read(strict=True)
    taken = machine.read(strict=True, include_outside=[str(machine.user_site)])
    assert set(taken.own.outside.taken[0].files.values()) == {
        "/opt/outside/site-packages/numpy/__init__.py",
        *(f"/opt/outside/site-packages/numpy-1.0.dist-info/{name}" for name in ("METADATA", "RECORD")),
    }
    assert [item.code for item in taken.warnings] == ["outside-taken"]
    assert taken.lockfile.pip == ()
    assert [package.name for package in taken.contents.pip] == ["numpy"]
    assert licenses_of(taken)["numpy==1.0"].name == "MIT"
    left = machine.read(strict=True, without_outside=[str(machine.home / ".local")])
    assert (left.warnings, left.own.outside.taken) == ((), ())


def test_a_path_that_is_no_place_is_an_error(machine: Machine) -> None:
    """The message names the places. A home folder is never taken."""
    machine.install(machine.user_site, "numpy")
    for option in ("include_outside", "without_outside"):
        with pytest.raises(UsageError, match=f"--{option.replace('_', '-')} names /data/x") as caught:
            machine.read(**{option: ["/data/x"]})
        assert str(machine.user_site) in str(caught.value.hint)
    home = Path(os.path.expanduser("~"))
    with pytest.raises(UsageError, match="is a home folder, or contains one"):
        machine.read(include_outside=[str(home)], variables={"PYTHONPATH": str(home), "PYTHONNOUSERSITE": "1"})


@pytest.mark.parametrize("path", ["/", "/proc", "/sys/class", "/dev", "/dev/null", "/proc/self/..", "/usr/.."])
def test_no_image_gets_the_folders_of_the_system(machine: Machine, tmp_path: Path, path: str) -> None:
    """The message names the path and the reason. A link to such a folder does not help. /dev/shm has real files."""
    link = tmp_path / "link"
    link.symlink_to(path)
    reason = r"names /.*(every file of this machine|system shows .* as files)"
    for named in (path, str(link)):
        with pytest.raises(UsageError, match=f"--include-outside {reason}"):
            machine.read(include_outside=[named])
        with pytest.raises(UsageError, match=f"--include ({reason}|is a home folder)"):
            machine.read(include=named)
    assert machine.read(without_outside=[]).warnings == ()
    check_outside(["/dev/shm/x"], ["/"])


def test_a_link_to_a_folder_of_the_system_is_never_taken(machine: Machine) -> None:
    """The path of the link, or a folder above it, may be named. The message names the link."""
    share = machine.prefix.path / "share"
    share.mkdir()
    (share / "me").symlink_to("/proc/self")
    for named in (share / "me", share):
        with pytest.raises(UsageError, match=r"share/me(, a link to| names) /proc/.*shows processes as files"):
            machine.read(include_outside=[str(named)])


def test_taken_files_are_searched_for_secrets(machine: Machine) -> None:
    """A file for credentials is left out, and a secret in another file ends the build."""
    lib = machine.put(machine.data / "lib/x.py").parent
    machine.put(lib / ".netrc", "machine lab.org")
    asked = {"variables": {"PYTHONPATH": str(lib)}, "include_outside": [str(lib)]}
    found = machine.read(**asked).own
    assert (list(found.outside.taken[0].files), found.left_out) == (["x.py"], (lib / ".netrc",))
    machine.put(lib / "y.py", f"t = 'ghp_{'a1B2' * 9}'\n")
    with pytest.raises(SecretsFound, match=r"y\.py:1"):
        machine.read(BuildRequest, reference="localhost/x:1", load=True, **asked)


@pytest.mark.parametrize("kind", [PlanRequest, BuildRequest])
@pytest.mark.parametrize("name", ["etc/shadow", "etc/ssl/private/host.key", "root/.ssh/config", "srv/krb5.keytab"])
def test_credentials_of_the_system_are_no_outside_files(machine: Machine, name: str, kind: type[PlanRequest]) -> None:
    """A link that leads to one is not replaced by the file, whatever it is called, unless the user allows the file."""
    secret = machine.put(machine.data / name, "root:$6$secret\n")
    (machine.prefix.path / "share").mkdir()
    (machine.prefix.path / "share/notes.txt").symlink_to(secret)
    asked: dict[str, object] = {"include_outside": [str(secret)]}
    if kind is BuildRequest:
        asked |= {"reference": "localhost/x:1", "load": True}
    inputs = machine.read(kind, **asked)
    assert inputs.own.left_out == (secret,)
    assert [dict(item.files) for item in inputs.own.outside.taken] == [{}]
    assert "credentials-left-out" in {warning.code for warning in inputs.warnings}
    allowed = machine.read(kind, **asked, allow_secret=[str(secret)]).own
    assert [list(item.files) for item in allowed.outside.taken] == [[secret.name]]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to a group of the system")
@pytest.mark.parametrize(
    ("mode", "group", "taken"),
    [(0o640, 42, False), (0o640, 0, False), (0o600, 0, False), (0o644, 42, True), (0o640, 2000, True)],
)
def test_a_file_that_only_the_system_may_read_is_left_out(machine: Machine, mode: int, group: int, taken: bool) -> None:
    """It has the mode of /etc/shadow: everybody in the image could read it. A group of people may share a file."""
    folder = machine.data / "etc.d"
    file = machine.put(folder / "table", "x")
    folder.chmod(0o700)
    os.chown(file, 0, group)
    file.chmod(mode)
    (machine.prefix.path / "share").mkdir()
    (machine.prefix.path / "share/table").symlink_to(file)
    own = machine.read(include_outside=[str(folder)]).own
    assert bool(own.outside.taken[0].files) is taken
    assert own.left_out == (() if taken else (file,))


def test_taken_files_lie_in_allowed_folders(machine: Machine) -> None:
    """Any environment can name any folder. allow_prefixes limits these folders."""
    lib = machine.put(machine.data / "lib/x.py").parent
    asked = {"variables": {"PYTHONPATH": str(lib)}, "allow_prefixes": [str(machine.home)]}
    assert len(machine.warnings(**asked)) == 1
    with pytest.raises(PrefixNotAllowed, match="PYTHONPATH has its source in"):
        machine.read(include_outside=[str(lib)], **asked)


def test_settings_that_lead_outside_are_named(machine: Machine) -> None:
    """They are variables of the kernel and of the environment, scripts of the activation, and defaults of programs."""
    machine.prefix.add("r-base", "4.3.1")
    machine.prefix.add("julia", "1.10.0")
    machine.prefix.add("ipython", "8.0")
    kernel = machine.put(machine.data / "R/x.R").parent
    for path in (
        machine.home / "R/x86_64-conda-linux-gnu-library/4.3/dplyr/DESCRIPTION",
        machine.home / "R/x86_64-conda-linux-gnu-library/4.2/dplyr/DESCRIPTION",
        machine.home / ".Rprofile",
        machine.home / ".julia/packages/X/x.jl",
        machine.home / ".ipython/profile_default/startup/00.py",
        machine.home / ".ipython/profile_default/startup/README",
        machine.data / "gdal/x",
        machine.data / "proj/x",
        machine.data / "site/x",
        machine.data / "node/x",
    ):
        machine.put(path)
    state = {"env_vars": {"PROJ_DATA": f"{machine.data}/proj"}}
    (machine.prefix.path / "conda-meta/state").write_text(json.dumps(state))
    script = f"export GDAL_DATA='{machine.data}/gdal'\nPYTHONPATH={machine.data}/site:/nowhere\nexport X=/usr\n"
    machine.prefix.write("etc/conda/activate.d/mine.sh", script.encode())
    spec = {"argv": ["R"], "env": {"NODE_PATH": f"{machine.data}/node", "GDAL_DATA": f"{machine.data}/gdal"}}
    machine.prefix.write("share/jupyter/kernels/lab/kernel.json", json.dumps(spec).encode())
    machine.prefix.write("share/jupyter/kernels/odd/kernel.json", b'["env"]')
    launch = {"R_LIBS_USER": f"{kernel}:{machine.prefix.path}/lib/R/library:%U", "LD_LIBRARY_PATH": "/nowhere"}
    (found,) = machine.warnings(variables=launch)
    assert found.removeprefix("Settings name 9 places outside of the environment: ").split("), ") == [
        "T/data/R (R_LIBS_USER: R packages, 1 file",
        "T/data/proj (PROJ_DATA in conda env config vars: data of PROJ, 1 file",
        "T/data/gdal (GDAL_DATA in etc/conda/activate.d/mine.sh: data of GDAL, 1 file",
        "T/data/site (PYTHONPATH in etc/conda/activate.d/mine.sh: Python modules, 1 file",
        "T/data/node (NODE_PATH in share/jupyter/kernels/lab/kernel.json: Node modules, 1 file",
        "T/home/ada/R/x86_64-conda-linux-gnu-library/4.3 (the user's library of R: R packages, 1 file",
        "T/home/ada/.Rprofile (R: settings, 1 file",
        "T/home/ada/.julia/packages (the user's depot of Julia: Julia packages, 1 file",
        "T/home/ada/.ipython/profile_default/startup/00.py (IPython: a script that it runs first, 1 file).",
    ]
    with pytest.raises(UsageError, match=r"imports nothing from there"):
        machine.read(include_outside=[str(kernel)], variables=launch)
    rest = machine.warnings(without_outside=[str(machine.home), str(machine.data)], variables=launch)
    assert rest == []


def test_a_warning_counts_the_files_of_the_links_that_it_lists(machine: Machine) -> None:
    """An installer may install each file as a link (uv with --link-mode=symlink). All links can be taken at once."""
    cache = machine.home / ".cache/uv/archive"
    files = [f"{SITE}/many/{number:02}.py" for number in range(12)]
    machine.prefix.pip("many", files=dict.fromkeys(files, b"x = 1\n"))
    for file in files:
        machine.put(cache / os.path.basename(file))
        (machine.prefix.path / file).unlink()
        (machine.prefix.path / file).symlink_to(cache / os.path.basename(file))
    (found,) = machine.warnings()
    assert found.startswith("The environment has 12 links to files outside of it: ")
    assert found.endswith("/archive/09.py (1 file) and 2 more.")
    taken = machine.read(include_outside=[str(cache)]).own.outside
    assert taken.replaced_links == set(files)
    assert {path for item in taken.taken for path in item.files.values()} == {f"/opt/env/{file}" for file in files}


def test_a_package_of_pip_behind_a_link_is_taken_or_refused(machine: Machine, tmp_path: Path) -> None:
    """The user moved a large package to another disk. Without the option, the error says what to do."""
    machine.prefix.pip("big", files={f"{SITE}/big/__init__.py": b"x = 1\n"})
    (machine.prefix.path / SITE / "big").rename(machine.put(machine.data / "x").with_name("big"))
    (machine.prefix.path / SITE / "big").symlink_to(machine.data / "big")

    def overlay(limit: int = 1 << 20, **given: object) -> list[str]:
        inputs = machine.read(**given)
        assert inputs.environment is not None
        assert inputs.drift is not None
        options = {"python": None, "work": tmp_path / "work", "limit": limit}
        made = collect(inputs.environment, inputs.drift, [], inputs.own, **options)  # type: ignore[arg-type]
        return [entry.path for entry in made.entries if "-info/" not in entry.path]

    with pytest.raises(PrefixError, match="a folder above it is a symbolic link") as caught:
        overlay()
    assert "--include-outside" in str(caught.value.hint)
    assert overlay(include_outside=[str(machine.data)]) == [f"opt/env/{SITE}/big/__init__.py"]
    os.truncate(machine.data / "big/__init__.py", 1 << 40)
    with pytest.raises(OverlayTooLarge, match="big 1,099,512 MB"):  # reading the file would take hours
        overlay(include_outside=[str(machine.data)])


def test_odd_names_are_escaped_in_messages(machine: Machine) -> None:
    """A name may control a terminal, or be no UTF-8. The files are taken nevertheless."""
    odd = machine.data / os.fsdecode(b"a\x1b[31m\xe9")
    machine.put(odd / "x.py")
    machine.prefix.write(f"{SITE}/odd.pth", os.fsencode(f"{odd}\n"))
    (machine.prefix.path / "share").mkdir()
    (machine.prefix.path / "share/odd").symlink_to(odd)
    messages = machine.warnings()
    assert len(messages) == 2
    assert all(message.isprintable() and "x1b[31m" in message for message in messages)
    taken = machine.read(include_outside=[str(odd)]).own.outside.taken
    assert [list(item.files) for item in taken] == [["x.py"], ["x.py"]]
