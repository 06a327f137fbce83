"""Tells SPDX expressions from other names of licences.

Source: SPDX 2.3, annex D "SPDX license expressions".
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from jupyter_condabuild.conda.packages import License
from jupyter_condabuild.sbom.expressions import parse


@dataclass(frozen=True)
class Licensing:
    """A licence in the words of SPDX.

    `expression` is valid, or empty if the package states no licence. `is_id` says whether it is one identifier of the
    SPDX list. `references` maps each LicenseRef of the expression to its text.
    """

    expression: str = ""
    is_id: bool = False
    references: tuple[tuple[str, str], ...] = ()


def licensing(license: License) -> Licensing:
    """Returns the licence of a package as an SPDX expression.

    A name that is no expression becomes a LicenseRef. The text of a LicenseRef is that of the package's licence files,
    or the name if the package has none.
    """
    name = license.name
    text = license.text or name
    parsed = parse(name) if name else None
    if parsed is not None:
        expression, keys = parsed
        references = tuple((key, text) for key in keys if key.startswith("LicenseRef-"))
        return Licensing(expression, keys == [expression] and not references, references)
    if not text:
        return Licensing()
    reference = _reference(name, text)
    return Licensing(reference, references=((reference, text),))


def references_in(name: str) -> tuple[str, ...]:
    """Returns each LicenseRef in an expression; nothing for a name that is no expression."""
    parsed = parse(name) if name else None
    return tuple(key for key in parsed[1] if key.startswith("LicenseRef-")) if parsed else ()


def is_expression(name: str) -> bool:
    """Whether a name is an expression of identifiers of the SPDX list alone, so that no licence text is needed."""
    parsed = parse(name) if name else None
    return parsed is not None and not any(key.startswith("LicenseRef-") for key in parsed[1])


def _reference(name: str, text: str) -> str:
    """Returns a LicenseRef for a name that is no expression. Other texts under the same name get other references."""
    slug = re.sub(r"[^A-Za-z0-9.]+", "-", name)[:60].strip("-") or "see-text"
    mark = "" if text == name else "-" + hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"LicenseRef-conda-{slug}{mark}"  # LicenseRef-GPL would be an alias of an identifier of the list
