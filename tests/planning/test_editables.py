"""Editable installs of all build backends: their code is in the image, or a warning says that it does not work there.

The texts are those of setuptools 80, meson-python 0.22 and scikit-build-core 1.1, which write them at an installation.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jupyter_condabuild.conda.prefix.drift import drift
from jupyter_condabuild.conda.prefix.snapshot import snapshot
from jupyter_condabuild.engines.layers.overlay import collect
from jupyter_condabuild.errors import PrefixNotAllowed
from jupyter_condabuild.oci.layout import Store
from jupyter_condabuild.planning.own_files.selection import OwnFiles, own_files
from tests.parts.jobs import plan_request, silent
from tests.parts.small_prefix import SITE, SmallPrefix

LOADERS = {
    "0.15": "install(\n    {{'mes'}},\n    {build!r},\n    ['/usr/bin/ninja'],\n    False,\n)",
    "0.22": "def init():\n    finder = MesonpyMetaFinder(\n        'mes',\n        {{'mes'}},\n        {build!r},\n"
    "        ['/usr/bin/ninja'],\n        False,\n    )\n    sys.meta_path.insert(0, finder)\n",
}

SKBC = (
    "install({{'skb': '{p}/src/skb/__init__.py'}}, {{'skb._c': '{p}/build/install/skb/_c.so'}}, "
    "{{'skb': ['{p}/build/install/skb', '{p}/src/skb']}}, ['skb'], '{p}/build', {rebuild}, True, [], [], None)\n"
)


class Projects:
    """An environment, and projects beside it whose build folders Git ignores."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.prefix = SmallPrefix(folder / "envs/demo")
        self.prefix.python()

    def add(self, name: str, sources: dict[str, str], installed: dict[str, str]) -> Path:
        """Writes the sources of a project, and the files of its editable install in site-packages."""
        project = self.folder / name
        for path, text in {".gitignore": "build/\n", **sources}.items():
            (project / path).parent.mkdir(parents=True, exist_ok=True)
            (project / path).write_text(text)
        (project / ".git").mkdir(exist_ok=True)
        files = {f"{SITE}/{path}": text.encode() for path, text in installed.items()}
        self.prefix.pip(name, files=files, direct_url={"url": project.as_uri(), "dir_info": {"editable": True}})
        return project

    def meson(self, build: Path, plan: dict[str, dict[str, dict[str, object]]], loader: str = "0.22") -> Path:
        """Installs the project `mes` with meson-python."""
        project = self.add(
            "mes",
            {"mes/__init__.py": "A = 1\n", "mes/data/d.txt": "d", "mes/data/.env": "x", "mes/data/no.txt": "no"},
            {"_mes_editable_loader.py": LOADERS[loader].format(build=str(build)), "mes-editable.pth": "import _mes\n"},
        )
        (build / "meson-info").mkdir(parents=True)
        (build / "meson-info/intro-install_plan.json").write_text(json.dumps(plan))
        (build / "_c.so").write_text("built")
        return project

    def own(self, **options: object) -> OwnFiles:
        environment = snapshot(self.prefix.path)
        with Store(self.folder / "store") as store:
            request = plan_request(prefix=self.prefix.path, **{"launch": ["PYTHONNOUSERSITE=1"], **options})
            return own_files(request, environment, drift(environment), store, silent)

    def image(self) -> dict[str, str]:
        """Returns the texts of the files of pip and of the projects in the image, by path, without metadata."""
        environment = snapshot(self.prefix.path)
        changes, own = drift(environment), self.own()
        made = collect(environment, changes, [], own, python=None, work=self.folder / "work", limit=1 << 20)
        texts = {
            entry.path: entry.target or (Path(entry.source).read_text() if entry.source else entry.data.decode())
            for entry in made.entries
        }
        return {path.removeprefix(f"opt/env/{SITE}/"): text for path, text in texts.items() if "-info/" not in path}


@pytest.fixture
def projects(tmp_path: Path) -> Projects:
    return Projects(tmp_path)


def plan_of(project: Path, build: Path) -> dict[str, dict[str, dict[str, object]]]:
    """Returns an installation plan with each kind of entry, as Meson writes it."""
    data = {"destination": "{py_platlib}/mes/data", "exclude_files": ["no.txt"], "exclude_dirs": []}
    return {
        "targets": {f"{build}/_c.so": {"destination": "{py_platlib}/mes/_c.so"}},
        "python": {f"{project}/mes/__init__.py": {"destination": "{py_purelib}/mes/__init__.py"}},
        "install_subdirs": {f"{project}/mes/data": data},
        "man": {f"{project}/gone.1": {"destination": "{mandir}/gone.1"}},
    }


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize("inside", [True, False])
def test_the_built_files_of_meson_python_take_the_place_of_its_hook(
    projects: Projects, loader: str, inside: bool
) -> None:
    """The folder of the build may be in the project, where Git ignores it, or elsewhere. No credentials are taken."""
    project = projects.folder / "mes"
    build = project / "build/cp311" if inside else projects.folder / "elsewhere"
    projects.meson(build, plan_of(project, build), loader)
    found = projects.image()
    assert {path: text for path, text in found.items() if not path.startswith("opt/")} == {
        "mes/__init__.py": "A = 1\n",
        "mes/_c.so": "built",
        "mes/data/d.txt": "d",
    }
    own = projects.own()
    assert [warning.code for warning in own.warnings] == ["editable-built", "credentials-left-out"]
    assert project / "mes/data/.env" in own.left_out
    if not inside:
        with pytest.raises(PrefixNotAllowed, match="The build of mes has its source in"):
            projects.own(allow_prefixes=[str(project), str(projects.prefix.path)])


@pytest.mark.parametrize("fault", ["no plan", "not built", "foreign file", "bad plan", "leads out"])
def test_a_project_that_is_not_built_is_named(projects: Projects, fault: str) -> None:
    """So is a plan that takes a file of another folder, or puts a file outside of site-packages."""
    project = projects.folder / "mes"
    build = project / "build/cp311"
    plan = plan_of(project, build)
    secret = projects.folder / "secret.txt"
    secret.write_text("canary")
    if fault == "foreign file":
        plan["python"][str(secret)] = {"destination": "{py_purelib}/mes/secret.txt"}
    if fault == "leads out":
        plan = {"python": {f"{project}/mes/__init__.py": {"destination": "{py_purelib}/../../bin/python"}}}
    projects.meson(build, plan)
    if fault == "no plan":
        (build / "meson-info/intro-install_plan.json").unlink()
    if fault == "not built":
        (build / "_c.so").unlink()
    if fault == "bad plan":
        (build / "meson-info/intro-install_plan.json").write_text('[{"targets": 1}]')
    (warning,) = [item for item in projects.own().warnings if item.code.startswith("editable")]
    assert warning.code == "editable-builds-at-import"
    assert f"mes ({project})" in warning.message
    found = projects.image()
    assert "_mes_editable_loader.py" in found
    assert "canary" not in found.values()


@pytest.mark.parametrize("rebuild", [True, False])
def test_scikit_build_core_does_not_build_in_the_image(projects: Projects, rebuild: bool) -> None:
    """Its folder of installed files is in the image, although Git ignores it."""
    hook = SKBC.format(p=projects.folder / "skb", rebuild=rebuild)
    projects.add(
        "skb",
        {"src/skb/__init__.py": "", "build/install/skb/_c.so": "built", "build/install/skb/d.txt": "d"},
        {"_editable_skbc_skb.py": hook, "_editable_skbc_skb.pth": "import _editable_skbc_skb\n"},
    )
    found = projects.image()
    assert found["opt/src/skb/build/install/skb/_c.so"] == "built"
    assert found["_editable_skbc_skb.py"] == SKBC.format(p="/opt/src/skb", rebuild=False)
    codes = [warning.code for warning in projects.own().warnings]
    assert codes == (["editable-built"] if rebuild else [])


def test_the_folder_of_links_of_setuptools_is_in_the_image(projects: Projects) -> None:
    """With editable_mode=strict, Python imports from links in build/, which Git ignores."""
    project = projects.folder / "stf"
    tree = "build/__editable__.stf-1.0-py3-none-any"
    projects.add(
        "stf",
        {"lib/stf/__init__.py": "A = 1\n", "build/other.py": ""},
        {"__editable__.stf-1.0.pth": f"{project}/{tree}\n"},
    )
    (project / tree / "stf").mkdir(parents=True)
    (project / tree / "stf/__init__.py").symlink_to(project / "lib/stf/__init__.py")
    found = projects.image()
    assert found[f"opt/src/stf/{tree}/stf/__init__.py"] == "/opt/src/stf/lib/stf/__init__.py"
    assert found["__editable__.stf-1.0.pth"] == f"/opt/src/stf/{tree}\n"
    assert "opt/src/stf/build/other.py" not in found


def test_code_outside_of_the_project_is_named_and_taken(projects: Projects) -> None:
    """A finder of setuptools may map a package to any folder. In the image, the finder maps it to the taken folder."""
    shared = projects.folder / "shared/common"
    shared.mkdir(parents=True)
    (shared / "__init__.py").write_text("B = 1\n")
    finder = "MAPPING: dict[str, str] = {{'common': '{}'}}\n"
    projects.add(
        "stf",
        {"lib/x.py": ""},
        {
            "__editable___stf_1_0_finder.py": finder.format(shared),
            "__editable__.stf-1.0.pth": "import __editable___stf_1_0_finder\n",
        },
    )
    (warning,) = projects.own().warnings
    assert (warning.code, str(shared) in warning.message) == ("outside-prefix", True)
    own = projects.own(include_outside=[str(shared)])
    environment = snapshot(projects.prefix.path)
    made = collect(environment, drift(environment), [], own, python=None, work=projects.folder / "work", limit=1 << 20)
    sources = {entry.path: entry.source for entry in made.entries}
    assert sources["opt/outside/common/__init__.py"] == str(shared / "__init__.py")
    text = Path(sources[f"opt/env/{SITE}/__editable___stf_1_0_finder.py"]).read_text()
    assert text == finder.format("/opt/outside/common")


def test_a_project_that_does_not_exist_is_named(projects: Projects) -> None:
    """Its folder was moved or removed after the installation: no Python can import it."""
    project = projects.add("gone", {"gone.py": ""}, {"__editable__.gone-1.0.pth": f"{projects.folder}/gone\n"})
    project.rename(projects.folder / "moved")
    (warning,) = snapshot(projects.prefix.path).warnings
    assert (warning.code, str(project) in warning.message) == ("editable-source-missing", True)
    assert set(projects.image()) == {"__editable__.gone-1.0.pth"}


def test_an_install_in_the_users_site_packages_is_named(projects: Projects) -> None:
    """The whole folder is taken, with the hook that would build the project."""
    site = projects.folder / "home/.local" / SITE
    project = projects.folder / "mes"
    files = {
        site / "_mes_editable_loader.py": LOADERS["0.22"].format(build=str(project / "build")),
        site / "mes-1.0.dist-info/METADATA": "Name: mes\nVersion: 1.0\n",
        site / "mes-1.0.dist-info/RECORD": "_mes_editable_loader.py,,\nmes-1.0.dist-info/METADATA,,\n",
        site / "mes-1.0.dist-info/direct_url.json": json.dumps(
            {"url": project.as_uri(), "dir_info": {"editable": True}}
        ),
        project / "mes/__init__.py": "",
    }
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    asked = {"launch": [f"HOME={projects.folder}/home"], "include_outside": [str(projects.folder)]}
    codes = [warning.code for warning in projects.own(**asked).warnings]
    assert codes == ["outside-taken", "editable-builds-at-import"]


def test_empty_folders_of_a_project_are_in_the_image(projects: Projects) -> None:
    """A program may write there. Those that ignore files name, caches, and folders of bytecode alone are left out."""
    project = projects.add("mine", {"mine/__init__.py": ""}, {"mine.pth": f"{projects.folder}/mine\n"})
    for name in ("mine/logs/old", "build", "mine/build", "__pycache__", ".venv/lib"):
        (project / name).mkdir(parents=True)
    (project / "mine/__pycache__").mkdir()
    (project / "mine/__pycache__/x.pyc").write_bytes(b"x")
    environment = snapshot(projects.prefix.path)
    own, work = projects.own(), projects.folder / "work"
    made = collect(environment, drift(environment), [], own, python=None, work=work, limit=1 << 20)
    folders = sorted(entry.path for entry in made.entries if entry.kind == "directory")
    assert folders == ["opt/src/mine/mine/logs/old"]
