"""Names of licences: SPDX expressions and other texts are distinguished."""

from __future__ import annotations

import pytest

from jupyter_condabuild.conda.packages import License
from jupyter_condabuild.sbom.licensing import is_expression, licensing

WORDS = ("Apache 2.0", "BSD", "LGPL, see file", "(((", "AND", "MIT AND", "MIT\x00", "ß", "x" * 5000, "(" * 290)


@pytest.mark.parametrize(
    ("name", "expression", "is_id"),
    [
        ("MIT", "MIT", True),
        ("mit", "MIT", True),
        ("GPL-3.0", "GPL-3.0-only", True),
        ("BSD-3-Clause OR (MIT AND Zlib)", "BSD-3-Clause OR (MIT AND Zlib)", False),
        ("GPL-3.0-only WITH GCC-exception-3.1", "GPL-3.0-only WITH GCC-exception-3.1", False),
        ("", "", False),
    ],
)
def test_an_expression_keeps_its_meaning(name: str, expression: str, is_id: bool) -> None:
    """The result is the canonical form."""
    found = licensing(License(name))
    assert (found.expression, found.is_id, found.references) == (expression, is_id, ())
    assert is_expression(name) == bool(name)


@pytest.mark.parametrize("name", WORDS)
def test_any_other_text_becomes_a_reference(name: str) -> None:
    """SPDX allows the reference, and the text is its content."""
    found = licensing(License(name))
    [(reference, text)] = found.references
    assert found.expression == reference
    assert reference.startswith("LicenseRef-conda-")
    assert set(reference) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-")
    assert text == name
    assert not is_expression(name)


def test_a_reference_of_a_package_needs_its_text() -> None:
    """The text comes from the package's licence files."""
    found = licensing(License("MIT AND LicenseRef-Intel", "LICENSE\n\ntext"))
    assert found.expression == "MIT AND LicenseRef-Intel"
    assert found.references == (("LicenseRef-Intel", "LICENSE\n\ntext"),)
    assert not is_expression("MIT AND LicenseRef-Intel")


def test_the_same_name_with_another_text_is_another_licence() -> None:
    """The name 'Proprietary' is not specific."""
    one, other = (licensing(License("Proprietary", text)) for text in ("yours", "mine"))
    assert one.expression != other.expression


def test_a_package_with_only_a_text_has_a_licence() -> None:
    """Its record names no licence."""
    found = licensing(License("", "text"))
    assert found.expression.startswith("LicenseRef-conda-see-text-")
