"""Match specs that a user writes, compared with packages of conda and of pip."""

from __future__ import annotations

import pytest

from jupyter_condabuild.conda.match_specs import PackageMatch
from jupyter_condabuild.errors import UsageError


@pytest.mark.parametrize(
    ("spec", "package", "matches"),
    [
        ("numpy", ("numpy", "2.1.0", "py312_0"), True),
        ("numpy<2", ("numpy", "1.26.4"), True),
        ("numpy<2", ("numpy", "2.0"), False),
        ("openssl>=3,<3.0.7", ("openssl", "3.0.6", "h_0"), True),
        ("openssl >=3,<3.0.7", ("openssl", "1.1.1w"), False),
        ("numpy=1.26", ("numpy", "1.26.4"), True),
        ("numpy=1.26.4=py311*", ("numpy", "1.26.4", "py312_0"), False),
        ("numpy", ("numpy-base", "1"), False),
        ("torch<2.6", ("torch", "2.5.0+cpu"), True),
        ("typing_extensions", ("typing-extensions", "4"), True),
        ("typing-extensions>5", ("typing_extensions", "4"), False),
        ("x<1", ("x", "what? ever"), True),
        ("x<1", ("y", "what? ever"), False),
        ("x", ("\x00", "1"), False),
    ],
)
def test_a_package_matches_by_name_version_and_build(spec: str, package: tuple[str, ...], matches: bool) -> None:
    """The comparison is the same as in conda. A version that cannot be compared is reported."""
    assert PackageMatch(spec)(*package) is matches


@pytest.mark.parametrize("spec", ["<3", "a<=", "[", "\x00"])
def test_other_texts_are_refused(spec: str) -> None:
    """The error has a hint."""
    with pytest.raises(UsageError, match="not a package with versions"):
        PackageMatch(spec)
