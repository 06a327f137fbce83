"""The configuration of an image: each member is compared with the configuration that we make from the lock file."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from jupyter_condabuild.image.configuration import LABEL_VARIABLES
from jupyter_condabuild.image.paths import PREFIX
from jupyter_condabuild.jobs.proof.findings import Findings
from jupyter_condabuild.oci.image import Digest, ImageConfig
from jupyter_condabuild.text import printable

_MAPS = {"Labels": "label", "ExposedPorts": "port", "Volumes": "volume"}
_ABSENT = "nothing"


def prove_configuration(
    actual: ImageConfig,
    expected: ImageConfig,
    findings: Findings,
    *,
    base_is_known: bool,
    variables: Collection[str],
    ignored: Collection[str] = (),
) -> None:
    """Compares all members of two configurations.

    Args:
        expected: the configuration that we make.
        base_is_known: whether `expected` is made on top of the base's configuration. If not, a member that we do not
            set may come from the base, so that nothing proves it.
        variables: the names of the environment's own variables. They come from no package.
        ignored: members that say nothing about a container of the image.
    """
    found, wanted = dict(_members(actual.value)), dict(_members(expected.value))
    same = True
    for name in sorted({*found, *wanted}):
        if name in ignored or (not base_is_known and _begins_with_the_base(name) and name != "variable PATH"):
            continue
        has, should = found.get(name, _ABSENT), wanted.get(name, _ABSENT)
        title = f"configuration, {printable(name)}"
        if name in {f"variable {variable}" for variable in variables}:
            findings.has_no_proof(title, f"{has}: a variable of the environment, which comes from no package")
            same = False
        elif has == should or (not base_is_known and name == "variable PATH" and has.startswith(f'"{PREFIX}/bin:')):
            continue
        elif should == _ABSENT and not base_is_known:
            findings.has_no_proof(title, f"{has}: the base may have set it, but the base is not available")
            same = False
        else:
            findings.is_another(title, f"{has} instead of {should}")
            same = False
    if not base_is_known:
        findings.has_no_proof("configuration", "what it has from the base cannot be compared")
    elif same:
        findings.is_same("configuration")


def _begins_with_the_base(name: str) -> bool:
    """Whether a member that we set begins with the base's value, or is the base's unless we change it."""
    return name in ("architecture", "os", "variable PATH") or name.startswith("history ")


def variables_of(config: ImageConfig) -> Mapping[str, str]:
    """Returns the environment's own variables, as the image names them."""
    env = dict(str(item).partition("=")[::2] for item in config.runtime.get("Env") or [])
    try:
        names = json.loads((config.runtime.get("Labels") or {}).get(LABEL_VARIABLES, "[]"))
        return {str(name): env.get(str(name), "") for name in names}
    except (ValueError, TypeError):
        return {}


def _members(value: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields the members of a configuration that have a value, each with its value as JSON in ASCII."""
    for name, member in value.items():
        if name == "config" and isinstance(member, dict):
            for inner, content in member.items():
                yield from _runtime(inner, content)
        elif name == "history" and isinstance(member, list):
            yield from ((f"history {number}", _json(entry)) for number, entry in enumerate(member, 1))
        elif member not in (None, "", [], {}):
            yield name, _json(member)


def _runtime(name: str, content: Any) -> Iterator[tuple[str, str]]:
    if content in (None, "", [], {}) or content is False:
        return
    if name == "Env" and isinstance(content, list):
        values: dict[str, list[str]] = {}
        for item in map(str, content):
            variable, _, text = item.partition("=")
            values.setdefault(variable, []).append(text)
        yield from (
            (f"variable {variable}", _json(texts[0] if texts[1:] == [] else texts))
            for variable, texts in values.items()
        )
    elif name in _MAPS and isinstance(content, dict):
        yield from ((f"{_MAPS[name]} {key}", _json(text)) for key, text in content.items())
    else:
        yield name, _json(content)


def _json(value: Any) -> str:
    text = json.dumps(value, sort_keys=True)
    return text if len(text) <= 300 else f"{text[:200]}… ({len(text)} characters, {Digest.of(text.encode())})"
