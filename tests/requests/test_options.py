"""Each option is written once: the command line, the settings, the server and the contract follow the requests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, fields
from typing import Any

import pytest
import yaml

from jupyter_condabuild.cli import COMMANDS, parser
from jupyter_condabuild.requests.build import PlanRequest
from jupyter_condabuild.requests.option import Option, Request, json_type
from jupyter_condabuild.requests.others import JOBS, ExportRequest, LockRequest, PruneRequest
from jupyter_condabuild.requests.receive import InspectRequest, KernelInstallRequest, RecreateRequest, RunRequest
from jupyter_condabuild.server import schemas, serializers
from jupyter_condabuild.server.handlers import CONTRACT
from jupyter_condabuild.settings import Settings

CONTRACT_SCHEMAS = yaml.safe_load(CONTRACT.read_text())["components"]["schemas"]

BODIES: dict[str, tuple[type[Request], set[str]]] = {
    "SnapshotRequest": (PlanRequest, set(schemas.ENVIRONMENT)),
    "BuildCommand": (JOBS["build"], {*schemas.SOURCES, "command"}),
    "BaseCommand": (JOBS["base"], {*schemas.SOURCES, "command"}),
    "RebaseCommand": (JOBS["rebase"], {"command"}),
    "VerifyCommand": (JOBS["verify"], {"command"}),
    "ExportRequest": (ExportRequest, {*schemas.SOURCES, *schemas._WRITING}),
    "PruneRequest": (PruneRequest, set()),
    "InspectionRequest": (InspectRequest, set()),
    "KernelInstallation": (KernelInstallRequest, set()),
    "RunRequest": (RunRequest, set()),
    "RecreationRequest": (RecreateRequest, set()),
}
"""The schema of each body, the request of the body, and the members that are no options."""

KINDS = [*{kind: None for kind, _ in BODIES.values()}, LockRequest]


def client_options(kind: type[Request]) -> dict[str, Any]:
    """Returns the options that a client may give, with their types in JSON schema."""
    names = {str: "string", bool: "boolean", int: "integer", list: "array"}
    return {name: names[json_type(item)] for name, (item, option) in kind.options().items() if option.client}


def schema_type(schema: dict[str, Any]) -> str:
    """Returns the type of a schema, also through one reference."""
    if "$ref" in schema:
        schema = CONTRACT_SCHEMAS[schema["$ref"].rpartition("/")[2]]
    return str(schema["type"])


@pytest.mark.parametrize("name", BODIES)
def test_a_body_in_the_contract_has_the_options_of_its_request(name: str) -> None:
    """The options and their types are the same."""
    kind, others = BODIES[name]
    properties = CONTRACT_SCHEMAS[name]["properties"]
    assert {member: schema_type(properties[member]) for member in properties.keys() - others} == client_options(kind)


def test_the_history_in_the_contract_has_every_option_that_is_shown() -> None:
    """ "Build again" in the panel can use the same options."""
    shown = {name for kind in JOBS.values() for name, (_, option) in kind.options().items() if option.shown}
    asked = CONTRACT_SCHEMAS["Asked"]
    assert set(asked["properties"]) == set(asked["required"]) == shown | {"lockfile"}
    for kind in JOBS.values():
        left_out = {name for name, (_, option) in kind.options().items() if option.client and not option.shown}
        assert left_out <= {"again", "all"}


@pytest.mark.parametrize("name", sorted(serializers._SHOWN))
def test_a_missing_option_of_a_command_is_valid_in_the_contract(name: str) -> None:
    """Its value has the right type, and is one of the choices if there are choices."""
    schema = CONTRACT_SCHEMAS["Asked"]["properties"][name]
    schema = CONTRACT_SCHEMAS[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    blank = serializers._SHOWN[name]
    assert type(blank) is {"string": str, "boolean": bool, "integer": int, "array": list}[schema["type"]]
    assert blank in schema.get("enum", [blank])


def options() -> Iterator[tuple[type[Request], str, Any, Option]]:
    """Every option of every request."""
    for kind in KINDS:
        for name, (item, option) in kind.options().items():
            yield kind, name, item, option


def test_every_option_is_explained() -> None:
    """An argument of the command line has a help text, and the default of an option is among its choices."""
    for kind, name, item, option in options():
        assert not option.is_argument or option.help, (kind, name)
        assert not option.choices or item.default in (*option.choices, ""), (kind, name)


def test_an_option_has_the_default_of_its_setting() -> None:
    """A request without settings is equal to a request with the default settings."""
    known = {item.name: item for item in fields(Settings)}
    for kind, name, item, option in options():
        if option.setting and item.default is not MISSING:
            expected = known[option.setting].default
            shown = [str(one) for one in item.default] if isinstance(item.default, tuple) else item.default
            assert expected == (type(expected)(shown or type(expected)())), (kind, name)


ACTIONS = {"kernel": {"install", "list", "remove"}}
"""The commands with actions of their own. Each action has a request."""


@pytest.mark.parametrize(
    "command", [(name, act) for name in COMMANDS for act in sorted(ACTIONS.get(name, {""}))], ids=" ".join
)
def test_a_command_has_the_flags_of_its_request(command: tuple[str, str]) -> None:
    """The command has every flag of the request, and no other flag."""
    words = list(filter(None, command))
    kind = parser(words[0]).parse_args(words).request_type
    grammar = parser(words[0])
    for word in words:
        grammar = grammar._subparsers._group_actions[0].choices[word]  # type: ignore[union-attr,index]
    flags = {flag for action in grammar._actions for flag in action.option_strings}
    expected = {flag for _, option in kind.options().values() for flag in option.flags}
    assert expected <= flags
    own = {"-h", "--help", "--json", "--events", "--request", "-o", "--output", "--force"}
    own |= {"--check", "--notebook"} if words == ["build"] else set()  # what happens after the build
    assert {flag if flag in expected else flag.replace("--no-", "--") for flag in flags} <= {*expected, *own}
