"""Match specs: the dependencies of packages in the form of lock files, and the comparison of packages with a spec."""

from __future__ import annotations

import re
from collections.abc import Sequence

from jupyter_condabuild.errors import UsageError

_NAME = re.compile(r"\s*(?:[^\s=<>!~\[;]*::)?([^\s=<>!~\[;]+)")
_LEADING_ZEROS = re.compile(r"(?<!\d)0+(?=\d)")


def merged_depends(depends: Sequence[str]) -> tuple[str, ...]:
    """Returns the dependencies with one spec per name, sorted: ``a >=1`` and ``a <2`` become ``a >=1,<2``.

    Lock files have a mapping of dependencies, which can contain a name only once. Versions are written as rattler
    writes them, without leading zeros (``2023.03`` and ``2023.3`` are equal in all conda tools).
    """
    specs: dict[str, _Spec] = {}
    for depend in depends:
        name, spec = split_depend(depend)
        version, space, build = spec.partition(" ")
        if name:
            specs.setdefault(name, _Spec()).add(_LEADING_ZEROS.sub("", version) + space + build)
    return tuple(f"{name} {spec}".strip() for name, spec in sorted((name, str(spec)) for name, spec in specs.items()))


class _Spec:
    """The spec of one name. The parts are joined once, so that many parts do not take quadratic time."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = 0

    def add(self, spec: str) -> None:
        """Adds a spec. A spec with a build cannot be joined with another spec; then the first in order is kept."""
        if not spec or (len(spec) == self._length and spec == str(self)):
            return
        if not self._parts or " " not in spec + self._parts[0]:
            self._parts.append(spec)
            self._length += len(spec) + (len(self._parts) > 1)
        else:
            self._parts = [min(str(self), spec)]
            self._length = len(self._parts[0])

    def __str__(self) -> str:
        return ",".join(self._parts)


def split_depend(depend: str) -> tuple[str, str]:
    """Splits a dependency such as ``python >=3.8`` into the name and the rest. A channel before ``::`` is left out."""
    match = _NAME.match(depend)
    return (match[1], depend[match.end() :].strip()) if match else (depend.strip(), "")


class PackageMatch:
    """A conda match spec, such as ``numpy >=1.24,<2``, that is compared with packages of conda and of pip.

    Raises UsageError if the text is no match spec.
    """

    def __init__(self, spec: str) -> None:
        from rattler import MatchSpec

        try:
            self._spec = MatchSpec(spec)
        except Exception as error:  # noqa: BLE001  rattler raises several types
            raise UsageError(
                f"{spec[:200]!r} is not a package with versions: {error}.",
                "Write it as numpy, 'numpy<2' or 'numpy >=1.24,<2'.",
            ) from None

    def __call__(self, name: str, version: str, build: str = "") -> bool:
        """Whether a package matches. A version that conda cannot read matches, so that no package is overlooked."""
        if not _is_version(version):
            return self._matches(name, "0", build) or self._spec.name.normalized in _spellings(name)
        return self._matches(name, version, build)

    def _matches(self, name: str, version: str, build: str) -> bool:
        from rattler import PackageRecord
        from rattler.package import BuildString

        try:
            return any(
                self._spec.matches(PackageRecord(spelling, version, BuildString(build or "0"), 0, "noarch"))
                for spelling in _spellings(name)
            )
        except Exception:  # noqa: BLE001  rattler raises several types for names that no conda package can have
            return False


def _spellings(name: str) -> tuple[str, ...]:
    """Returns the spellings of a name: PyPI does not tell ``-`` from ``_``, conda does."""
    return tuple(dict.fromkeys((name, name.replace("-", "_"), name.replace("_", "-"))))


def _is_version(text: str) -> bool:
    from rattler import Version

    try:
        Version(text)
    except Exception:  # noqa: BLE001  rattler raises several types
        return False
    return True
