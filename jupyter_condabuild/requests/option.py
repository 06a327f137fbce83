"""Option and Request: what a job can be asked, each option written once, as a field of the requests that have it.

The command line makes its flags from these fields, the server the members that it takes and shows, and a test holds
openapi.yaml to them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

from jupyter_condabuild.errors import UsageError
from jupyter_condabuild.oci.image import Reference
from jupyter_condabuild.oci.location import ImageLocation, has_prefix
from jupyter_condabuild.settings import Settings, setting_of

_METADATA = "option"


class Option(NamedTuple):
    """What is known of an option beside its name, type and default, which are those of its field.

    Args:
        help: the command line's text; empty for an option that only the server or the settings fill in.
        flags: ``("-t", "--tag")``; empty for an argument by position, which the metavar names, or for no argument.
        metavar: what stands for the value on the command line.
        first: whether an argument by position comes before those of the other options.
        choices: the values that there are; empty where any will do.
        setting: the name of the setting that fills the option in where nobody gives a value.
        completed: whether the setting `registry` is put before a name that has none.
        client: whether the body of a REST request may have it under the same name.
        below_root: whether it is a path that such a body gives relative to the server's root folder.
        shown: whether the history shows it, so that "Build again" can ask for the same.
        parse: makes the value of its text, where the type alone does not say how.
    """

    help: str = ""
    flags: tuple[str, ...] = ()
    metavar: str = ""
    first: bool = False
    choices: tuple[str, ...] = ()
    setting: str = ""
    completed: bool = False
    client: bool = False
    below_root: bool = False
    shown: bool = False
    parse: Callable[[str], Any] | None = None

    @property
    def is_argument(self) -> bool:
        """Whether the command line takes it."""
        return bool(self.flags or self.metavar)


def option(default: Any, help: str = "", *flags: str, setting: str = "", **more: Any) -> Any:
    """A field of a request; see `Option` for the arguments. `default` is a value, or a function that makes it."""
    if setting:
        more = {"choices": setting_of(setting).choices, **more}
    more.setdefault("shown", more.get("client", False))
    metadata = {_METADATA: Option(help, flags, setting=setting, **more)}
    return field(**{"default_factory" if callable(default) else "default": default}, metadata=metadata)


def option_of(item: Field[Any]) -> Option:
    """The option that a field of a request is."""
    found: Option = item.metadata[_METADATA]
    return found


class _Type(NamedTuple):
    """How values of one type look as JSON."""

    json: type
    parse: Callable[[str], Any] = str
    list: bool = False
    optional: bool = False


_TYPES: Mapping[str, _Type] = {
    "str": _Type(str),
    "bool": _Type(bool),
    "int": _Type(int),
    "Path": _Type(str, Path),
    "Path | None": _Type(str, Path, optional=True),
    "Reference | None": _Type(str, Reference.parse, optional=True),
    "ImageLocation": _Type(str, ImageLocation.parse),
    "ImageLocation | None": _Type(str, ImageLocation.parse, optional=True),
    "tuple[str, ...]": _Type(str, list=True),
    "tuple[Reference, ...]": _Type(str, Reference.parse, list=True),
}


def json_type(item: Field[Any]) -> type:
    """The type of an option's value as JSON: str, bool, int or list (of texts)."""
    kind = _TYPES[str(item.type)]
    return list if kind.list else kind.json


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a job is asked for; every option has a default. A request that makes no sense raises UsageError."""

    what: ClassVar[str] = "A request"

    @classmethod
    def options(cls) -> dict[str, tuple[Field[Any], Option]]:
        """The options by name."""
        return {item.name: (item, option_of(item)) for item in fields(cls)}

    @classmethod
    def parse(cls, value: Any) -> Self:
        """A request from its JSON object; a member that is missing or null has its default, an empty text is no value.

        Raises UsageError for unknown members and wrong types, BadReference and BadDigest for names of images.
        """
        if not isinstance(value, Mapping):
            raise UsageError(f"{cls.what} is a JSON object.")
        known = cls.options()
        if unknown := [name for name in value if name not in known]:
            raise UsageError(f"{cls.what} has no member {unknown[0]!r}.")
        return cls(**{name: _parsed(cls.what, *found, value) for name, found in known.items()})

    @classmethod
    def of(cls, settings: Settings, **given: Any) -> Self:
        """A request of values as JSON has them; a value that is missing, None or empty is as the settings have it.

        Raises as `parse`.
        """
        value: dict[str, Any] = {}
        for name, (item, found) in cls.options().items():
            if given.get(name) not in (None, "", [], ()):
                value[name] = given[name]
            elif found.setting:
                value[name] = getattr(settings, found.setting)
            if found.completed and value.get(name) and not _is_local(item, str(value[name])):
                value[name] = settings.named(value[name])
        return cls.parse({**given, **value} if given.keys() - cls.options().keys() else value)

    def to_json(self) -> dict[str, Any]:
        """The request as a JSON object, from which `parse` makes an equal request."""
        return {item.name: _dumped(getattr(self, item.name)) for item in fields(self)}


def _is_local(item: Field[Any], text: str) -> bool:
    """Whether a text names a file, a folder or an image of the engine, where its option takes such names."""
    if str(item.type) == "Reference | None":
        return False
    return text.startswith((".", "/", "~")) or has_prefix(text) or Path(text).exists()


def _parsed(what: str, item: Field[Any], found: Option, value: Mapping[str, Any]) -> Any:
    name, kind = item.name, _TYPES[str(item.type)]
    given = value.get(name)
    if given is None:
        return item.default if item.default_factory is MISSING else item.default_factory()
    texts = list(given) if isinstance(given, (list, tuple)) else [given]
    if kind.list != isinstance(given, (list, tuple)) or any(type(text) is not kind.json for text in texts):
        raise UsageError(f"{what} has a member {name} of the wrong type.")
    if found.choices and given not in found.choices:
        raise UsageError(f"There is no {name} {given!r}.", f"There are: {', '.join(found.choices)}.")
    if kind.optional and not given:
        return None
    parse = found.parse or kind.parse
    if kind.list:
        return tuple(parse(text) for text in texts)
    return parse(given) if kind.json is str else given


def _dumped(value: Any) -> Any:
    if isinstance(value, (bool, int)):
        return value
    if isinstance(value, tuple):
        return [str(item) for item in value]
    return "" if value is None else str(value)
