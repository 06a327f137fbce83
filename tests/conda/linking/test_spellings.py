"""The path of a folder is found in every spelling: through links, from the home folder, and in escapes of formats."""

from __future__ import annotations

import json
import os
from html import escape
from pathlib import Path
from urllib.parse import quote

import pytest

from jupyter_condabuild.conda.linking.relocate import relocated
from jupyter_condabuild.conda.linking.spellings import names_of, replacements


def moved(folder: Path, text: str, places: dict[str, str]) -> str:
    """Returns a text with replaced paths."""
    (folder / "file").write_text(text)
    changed = relocated(folder / "file", replacements(places), folder / "target")
    return (folder / "target").read_text() if changed else text


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """``home`` is a link to ``export/home``, and ``envs`` in it is a relative link to ``data/envs``."""
    (tmp_path / "export/home/me").mkdir(parents=True)
    (tmp_path / "data/envs/demo").mkdir(parents=True)
    (tmp_path / "home").symlink_to("export/home")
    (tmp_path / "home/me/envs").symlink_to("../../../data/envs")
    monkeypatch.setenv("HOME", str(tmp_path / "home/me"))
    return tmp_path


def test_every_link_on_the_way_gives_a_name(home: Path) -> None:
    """The given name comes first. A mentioned path counts if it leads to the folder."""
    given, below_export, real = (
        home / path for path in ("home/me/envs/demo", "export/home/me/envs/demo", "data/envs/demo")
    )
    assert names_of(given) == (str(given), str(real), str(below_export))
    assert set(names_of(real)) == {str(real)}
    assert set(names_of(real, [str(given), str(home / "data/envs"), "relative", ""])) == set(names_of(given))


def test_a_home_that_is_a_link_gives_a_name(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel has the real path, and the user installed packages through the path of the home folder."""
    (home / "home/me/conda").mkdir()
    assert set(names_of(home / "export/home/me/conda")) == {
        str(home / f"{top}/me/conda") for top in ("home", "export/home")
    }


def test_a_circle_of_links_ends(tmp_path: Path) -> None:
    """Such a path leads nowhere."""
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert len(names_of(tmp_path / "a/demo")) < 5


PLACES = ("home/me/envs/demo", "home/me/my envs/d\u00e9mo & co")


@pytest.mark.parametrize("place", PLACES)
def test_the_formats_of_files(home: Path, place: str) -> None:
    """JSON, URLs, HTML and shells write characters of a path in their own way."""
    path = str(home / place)
    places = {path: "/opt/env"}
    for value in (path, f"{path}/x"):
        for ascii_only in (True, False):
            text = json.dumps(value, ensure_ascii=ascii_only)
            assert json.loads(moved(home, text, places)) == value.replace(path, "/opt/env")
            assert moved(home, text.replace("/", "\\/"), places) == json.dumps(value.replace(path, "/opt/env")).replace(
                "/", "\\/"
            )
    assert moved(home, f"file://{quote(path)}/x", places) == "file:///opt/env/x"
    assert moved(home, f"?p={quote(path, safe='')}%2Fx", places) == "?p=%2Fopt%2Fenv%2Fx"
    assert moved(home, f"<a>{escape(path)}</a>", places) == "<a>/opt/env</a>"
    assert moved(home, f"cd {path.replace(' ', chr(92) + ' ')}/x\n", places) == "cd /opt/env/x\n"


@pytest.mark.parametrize("start", ["~", "$HOME", "${HOME}", "~me"])
def test_paths_from_the_home_folder(home: Path, start: str) -> None:
    """Shells, .pth files and settings begin a path at the home folder."""
    places = dict.fromkeys(names_of(home / "home/me/envs/demo"), "/opt/env")
    assert moved(home, f"export X={start}/envs/demo/bin:/usr/bin\n", places) == "export X=/opt/env/bin:/usr/bin\n"
    assert moved(home, f"{start}/envs/demo2 {start}/other", places) == f"{start}/envs/demo2 {start}/other"


def test_the_home_folder_itself_has_no_short_spelling(home: Path) -> None:
    """An environment in the home folder does not make every ~ a path of the image."""
    places = dict.fromkeys(names_of(home / "home/me"), "/opt/env")
    assert moved(home, "ls ~ ~/x $HOME", places) == "ls ~ ~/x $HOME"
    assert not any(os.fsdecode(old).startswith("~") for old, _ in replacements(places))
