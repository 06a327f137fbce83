"""Places: the folders of this machine that an image has, with their paths in the image."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from jupyter_condabuild.conda.linking.relocate import relocated_text
from jupyter_condabuild.conda.linking.spellings import names_of, replacements
from jupyter_condabuild.conda.prefix.environment import Environment
from jupyter_condabuild.conda.prefix.mentions import mentions
from jupyter_condabuild.image.paths import PREFIX, SOURCES
from jupyter_condabuild.planning.own_files.selection import OwnFiles


def editable_sources(environment: Environment) -> dict[Path, str]:
    """Returns the paths in the image of the sources of editable installs."""
    return {
        distribution.editable_source: f"{SOURCES}/{distribution.package.name}"
        for distribution in environment.pip
        if distribution.editable_source is not None
    }


def names_of_places(environment: Environment, own: OwnFiles, scripts: Iterable[str] = ()) -> dict[str, str]:
    """Returns the path in the image of each folder, by each absolute path that leads to the folder.

    Args:
        scripts: files of the environment that may name it under another path, relative to the prefix.
    """
    mentioned = list(mentions(environment.prefix, scripts))
    places = {environment.prefix: PREFIX, **editable_sources(environment), **own.outside.moved}
    former = {name: PREFIX for name in environment.former if Path(name) not in places}
    return former | {
        name: new
        for old, new in places.items()
        for name in names_of(old, mentioned if old == environment.prefix else ())
    }


def variables_of(environment: Environment, own: OwnFiles) -> dict[str, str]:
    """Returns the environment's own variables with the paths of the image in their values."""
    pairs = replacements(names_of_places(environment, own))
    return {name: relocated_text(value, pairs) for name, value in environment.variables.items()}
