"""Option and Request: the options of a job. Each option is defined once, as a field of the requests that have it.

The command line makes its flags from these fields. The server makes from them the members that it accepts and shows. A
test compares them with openapi.yaml.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

from jupyter_condabuild.errors import UsageError
from jupyter_condabuild.oci.image import Reference, with_registry
from jupyter_condabuild.oci.location import ImageLocation, has_prefix
from jupyter_condabuild.settings import Settings, setting_of

_METADATA = "option"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class Option(NamedTuple):
    """The properties of an option besides its name, type and default. Those are properties of the field.

    Args:
        help: the help text of the command line; empty for an option that only the server or a setting can give.
        flags: such as ``("-t", "--tag")``; empty for a positional argument, and for an option without an argument.
        metavar: the placeholder for the value in the help of the command line; the name of a positional argument.
        first: whether a positional argument comes before the positional arguments of other options.
        choices: the allowed values; empty if every value is allowed.
        setting: the name of the setting that gives the value if the user gives none.
        completed: whether the setting `registry` is put before an image name that has no registry.
        client: whether the body of a REST request may have the option as a member of the same name.
        below_root: whether the option is a path that a REST client gives relative to the server's root folder.
        shown: whether the server's history shows the option, so that "Build again" can send the same value.
        several: whether the flag of a list takes several values at once.
        parse: the function that makes the value from its text; None if the type of the field decides.
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
    several: bool = False
    parse: Callable[[str], Any] | None = None

    @property
    def is_argument(self) -> bool:
        """Whether the command line has an argument for the option."""
        return bool(self.flags or self.metavar)


def option(default: Any, help: str = "", *flags: str, setting: str = "", **properties: Any) -> Any:
    """Returns a dataclass field for an option of a request.

    The arguments are those of `Option`. `choices` defaults to the choices of the setting, and `shown` to `client`.

    Args:
        default: the default value, or a function that returns it.
    """
    if setting:
        properties = {"choices": setting_of(setting).choices, **properties}
    properties.setdefault("shown", properties.get("client", False))
    metadata = {_METADATA: Option(help, flags, setting=setting, **properties)}
    return field(**{"default_factory" if callable(default) else "default": default}, metadata=metadata)


def option_of(item: Field[Any]) -> Option:
    """Returns the option of a field of a request."""
    properties: Option = item.metadata[_METADATA]
    return properties


class _Type(NamedTuple):
    """The JSON form of the values of one type."""

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
    """Returns the type of an option's value in JSON: str, bool, int, or list (of str)."""
    kind = _TYPES[str(item.type)]
    return list if kind.list else kind.json


@dataclass(frozen=True, kw_only=True)
class Request:
    """The options of a job. Every option has a default.

    `label` names the request in messages. Subclasses raise UsageError if the options do not fit together.
    """

    label: ClassVar[str] = "The request"

    @classmethod
    def options(cls) -> dict[str, tuple[Field[Any], Option]]:
        """Returns the field and the `Option` of each option, by name."""
        return {item.name: (item, option_of(item)) for item in fields(cls)}

    @classmethod
    def parse(cls, value: Any) -> Self:
        """Makes a request from its JSON object.

        A member that is missing or null has its default. An empty text means None if the option can be None.

        Raises UsageError for an unknown member and for a wrong type, BadReference and BadDigest for an invalid image
        name.
        """
        if not isinstance(value, Mapping):
            raise UsageError(f"{cls.label} must be a JSON object.")
        options = cls.options()
        if unknown := [name for name in value if name not in options]:
            raise UsageError(f"{cls.label} has an unknown member {unknown[0]!r}.")
        return cls(**{name: _parse_member(cls.label, *entry, value) for name, entry in options.items()})

    @classmethod
    def of(cls, settings: Settings, **given: Any) -> Self:
        """Makes a request from values in their JSON form, and from the settings.

        A value that is missing, None or empty comes from the settings. Raises the errors of `parse`.
        """
        value: dict[str, Any] = {}
        for name, (item, option) in cls.options().items():
            if given.get(name) not in (None, "", [], ()):
                value[name] = given[name]
            elif option.setting:
                value[name] = getattr(settings, option.setting)
            if option.completed and value.get(name) and not _is_local(item, str(value[name])):
                value[name] = with_registry(value[name], settings.registry)
        return cls.parse({**given, **value} if given.keys() - cls.options().keys() else value)

    @classmethod
    def takes_active(cls, given: Mapping[str, Any]) -> bool:  # noqa: ARG003  for subclasses
        """Whether the active environment is the source of a request that names none.

        Args:
            given: the values that the user gives, by the names of the options.
        """
        return True

    def to_json(self) -> dict[str, Any]:
        """Returns the request as a JSON object. `parse` makes an equal request from this object."""
        return {item.name: _dump(getattr(self, item.name)) for item in fields(self)}


def _is_local(item: Field[Any], text: str) -> bool:
    """Whether a text names a file, a folder, a digest or an image of the engine, and the option accepts such a name."""
    if str(item.type) == "Reference | None":
        return False
    if _DIGEST.fullmatch(text):
        return True
    return text.startswith((".", "/", "~")) or has_prefix(text) or Path(text).exists()


def _parse_member(label: str, item: Field[Any], option: Option, value: Mapping[str, Any]) -> Any:
    """Returns the value of one option from the JSON object of a request."""
    name, kind = item.name, _TYPES[str(item.type)]
    given = value.get(name)
    if given is None:
        return item.default if item.default_factory is MISSING else item.default_factory()
    texts = list(given) if isinstance(given, (list, tuple)) else [given]
    if kind.list != isinstance(given, (list, tuple)) or any(type(text) is not kind.json for text in texts):
        raise UsageError(f"{label} has a value of the wrong type for {name}.")
    if option.choices and given not in option.choices:
        raise UsageError(f"{name} cannot be {given!r}.", f"Use one of: {', '.join(option.choices)}.")
    if kind.optional and not given:
        return None
    parse = option.parse or kind.parse
    if kind.list:
        return tuple(parse(text) for text in texts)
    return parse(given) if kind.json is str else given


def _dump(value: Any) -> Any:
    if isinstance(value, (bool, int)):
        return value
    if isinstance(value, tuple):
        return [str(item) for item in value]
    return "" if value is None else str(value)
