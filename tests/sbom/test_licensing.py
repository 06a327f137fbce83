"""Names of licences: SPDX expressions and other texts are distinguished."""

from __future__ import annotations

import random

import pytest
from license_expression import ExpressionError, Licensing, get_spdx_licensing

from jupyter_condabuild.conda.packages import License
from jupyter_condabuild.sbom import expressions
from jupyter_condabuild.sbom.expressions import parse
from jupyter_condabuild.sbom.licensing import is_expression, licensing

REAL = (
    *(
        "MIT",
        "BSD-3-Clause",
        "Apache-2.0",
        "Apache 2.0",
        "GPL-3.0-or-later",
        "LGPL-2.1-or-later",
        "LGPL-2.1-only",
        "BSD",
    ),
    *(
        "BSD-3-Clause AND MIT AND PSF-2.0",
        "GPL-3.0-only WITH GCC-exception-3.1",
        "Python-2.0",
        "PSF-2.0",
        "ISC",
        "Zlib",
    ),
    *(
        "MPL-2.0 AND MIT",
        "MIT OR Apache-2.0",
        "Apache-2.0 OR MIT",
        "Unlicense",
        "blessing",
        "bzip2-1.0.6",
        "curl",
        "HPND",
    ),
    *(
        "LicenseRef-Public-Domain",
        "LicenseRef-Public-Domain AND MIT",
        "GPL-2.0-or-later AND LGPL-2.1-or-later",
        "OFL-1.1",
    ),
    *(
        "(Apache-2.0 OR BSD-2-Clause) AND PSF-2.0",
        "BSD-3-Clause OR GPL-2.0-or-later",
        "X11 AND BSD-3-Clause",
        "Public-Domain",
    ),
    *("LGPL-3.0-or-later OR GPL-2.0-or-later", "IJG AND BSD-3-Clause AND Zlib", "MIT AND (Apache-2.0 OR BSD-3-Clause)"),
    *(
        "LLVM-exception",
        "Apache-2.0 WITH LLVM-exception",
        "NCSA",
        "0BSD",
        "LicenseRef-MKL",
        "Proprietary",
        "GPL",
        "LGPL",
    ),
    *(
        "FTL OR GPL-2.0-only",
        "GPL-2.0-only OR FTL",
        "GPL-2.0-or-later WITH Bison-exception-2.2",
        "BSD 3-Clause",
        "BSD-like",
    ),
    *(
        "MIT License",
        "Apache License 2.0",
        "Apache Software License",
        "new BSD",
        "PSF",
        "PSF-based",
        "BSD-3-Clause/MIT",
    ),
    *(
        "MIT/X11",
        "GPLv3",
        "GPLv2+",
        "LGPLv2+",
        "GPL-3",
        "MPL 2.0",
        "OSI Approved :: MIT License",
        "CC0-1.0",
        "CC-BY-4.0",
    ),
    *(
        "LicenseRef-NVIDIA-End-User-License-Agreement",
        "BSD-2-Clause AND MIT OR ISC",
        "ZPL-2.1",
        "AFL-2.1 OR GPL-2.0-or-later",
    ),
)

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


@pytest.fixture(scope="module")
def library() -> Licensing:
    """The parser of the library license-expression."""
    return get_spdx_licensing()


def by_library(library: Licensing, name: str) -> tuple[str, list[str]] | None:
    """Returns what the library says about a name, in the words of `parse`."""
    try:
        parsed = library.parse(name, strict=True)
    except (ExpressionError, AssertionError, IndexError, TypeError):  # it meets its own faults in "( )" and "a OR ("
        return None
    unknown = [key for key in library.unknown_license_keys(parsed) if not key.startswith("LicenseRef-")]
    if parsed is None or unknown:
        return None
    return parsed.render(), list(dict.fromkeys(library.license_keys(parsed)))


def test_all_identifiers_are_those_of_the_library(library: Licensing) -> None:
    """The library has each identifier of the SPDX list, and its other names. We have no other."""
    kept = {key: symbol for key, symbol in library.known_symbols.items() if not key.startswith("LicenseRef-")}
    assert len(kept) > 700
    names = {name for key, symbol in kept.items() for name in (key, *symbol.aliases) if name[:11] != "LicenseRef-"}
    for name in names:
        for form in (name, name.lower(), f"MIT WITH {name}"):
            assert parse(form) == by_library(library, form), form
    assert {name.lower() for _, name in expressions._identifiers()} == {name.lower() for name in names}


@pytest.mark.parametrize("name", REAL)
def test_names_of_real_packages_are_read_as_the_library_reads_them(library: Licensing, name: str) -> None:
    """The names are those of packages of conda-forge, of defaults and of PyPI."""
    assert parse(name) == by_library(library, name)


def expression(chance: random.Random, depth: int) -> str:
    """Returns a random expression."""
    if not depth or chance.random() < 0.3:
        license = chance.choice(["MIT", "gpl-2.0+", "GPL 2.0", "Zlib", "LicenseRef-Mine", "Apache-2.0"])
        return f"{license} with Classpath-exception-2.0" if chance.random() < 0.2 else license
    operator = chance.choice([" AND ", " or ", " OR ", " and "])
    joined = operator.join(expression(chance, depth - 1) for _ in range(chance.randint(1, 3)))
    return f"({joined})" if chance.random() < 0.5 else joined


def test_expressions_are_read_as_the_library_reads_them(library: Licensing) -> None:
    """Each random expression has the same canonical form and the same identifiers."""
    chance = random.Random(12)  # the same expressions each time
    names = [name for name in (expression(chance, 3) for _ in range(1000)) if len(name) <= 300]
    assert len(set(names)) > 500
    for name in names:
        expected = by_library(library, name)
        assert expected
        assert parse(name) == expected, name


def test_no_words_are_an_expression_that_are_none_for_the_library(library: Licensing) -> None:
    """The library accepts more than the specification: ``MIT OR MIT OR`` and ``MIT OR (MIT) Zlib``."""
    chance = random.Random(12)
    words = ["MIT", "GPL 2.0", "BSD", "LicenseRef-Mine", "Classpath-exception-2.0", "(", ")", "(", ")", "(MIT)"]
    words += ["AND", "OR", "and", "or", "WITH", "AND", "OR", "Zlib"]
    for _ in range(3000):
        name = " ".join(chance.choices(words, k=chance.randint(1, 7)))
        assert parse(name) in (None, by_library(library, name)), name
