"""The job `licenses`: the licences of all packages of an environment, and the channels with commercial terms."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jupyter_condabuild.conda.lockfile import Lockfile
from jupyter_condabuild.conda.locking import lock
from jupyter_condabuild.conda.packages import License
from jupyter_condabuild.conda.prefix.environment import Environment
from jupyter_condabuild.conda.prefix.kernel import prefix_of_kernelspec
from jupyter_condabuild.conda.prefix.snapshot import snapshot
from jupyter_condabuild.conda.terms import terms_of
from jupyter_condabuild.distribution.sbom_search import packages_of
from jupyter_condabuild.errors import CondaBuildError, NotACondaKernel
from jupyter_condabuild.events import Report
from jupyter_condabuild.image.opener import lock_in, open_image
from jupyter_condabuild.image.platforms import architecture_of
from jupyter_condabuild.jobs.diff import locked
from jupyter_condabuild.oci.location import ImageLocation
from jupyter_condabuild.requests.job_context import JobContext, open_job
from jupyter_condabuild.requests.others import LicensesRequest
from jupyter_condabuild.sbom.inputs import licenses_in
from jupyter_condabuild.sbom.inventory import pip_dist
from jupyter_condabuild.sbom.licensing import is_expression, licensing
from jupyter_condabuild.text import counted, listed

KERNEL = "kernel:"
"""The prefix of a source that is the name of a kernel."""


@dataclass(frozen=True)
class LicensedPackage:
    """A package with its licence. `license` is empty if the package states none; `is_spdx` says whether it is SPDX."""

    manager: str
    name: str
    version: str
    channel: str
    license: str
    is_spdx: bool


@dataclass(frozen=True)
class CommercialChannel:
    """A channel with commercial terms, and the names of its packages."""

    channel: str
    terms: str
    url: str
    summary: str
    packages: tuple[str, ...]


@dataclass(frozen=True)
class LicenseList:
    """The licences of an environment: its packages by name, and the channels with commercial terms."""

    packages: tuple[LicensedPackage, ...]
    commercial: tuple[CommercialChannel, ...]

    @property
    def unlicensed(self) -> tuple[str, ...]:
        """The names of the packages that state no licence."""
        return tuple(package.name for package in self.packages if not package.license)

    def summary(self) -> dict[str, Any]:
        """Returns the list as a JSON object."""
        counts = Counter(package.license for package in self.packages if package.license)
        return {
            "licenses": dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))),
            "packages": [asdict(package) for package in self.packages],
            "commercial": [asdict(channel) for channel in self.commercial],
            "unlicensed": list(self.unlicensed),
        }

    def text(self) -> str:
        """Returns a line for each licence, then what the user should look at."""
        by_license: dict[str, list[str]] = {}
        for package in self.packages:
            if package.license:
                by_license.setdefault(package.license, []).append(package.name)
        rows = sorted(by_license.items(), key=lambda row: (-len(row[1]), row[0]))
        lines = [f"{len(names):4}  {listed([name])}: {listed(names, 6)}" for name, names in rows]
        lines.append(f"{counted(self.packages, 'package')}, {counted(rows, 'licence')}.")
        for channel in self.commercial:
            lines.append(
                f"{counted(channel.packages, 'package')} of {channel.channel} ({listed(channel.packages, 5)}): "
                f"{channel.summary}. See {channel.terms}'s terms: {channel.url}"
            )
        if self.unlicensed:
            lines.append(f"{counted(self.unlicensed, 'package')} without a licence: {listed(self.unlicensed)}.")
        return "\n".join(lines)


def run(request: LicensesRequest, report: Report) -> LicenseList:
    """Lists the licences of the source of a request.

    For an image in a registry, they come from its SBOM if it has one. Raises PrefixError, LockfileError, and the errors
    of `open_image`.
    """
    source = request.source
    with open_job(request, report) as job:
        path = Path(source)
        if path.is_dir() and not (path / "oci-layout").is_file():
            return _of_environment(snapshot(path))
        if path.is_file() and path.suffix != ".tar":
            return _of_lockfile(locked(source, request, job))
        return _of_image(ImageLocation.parse_any(source), request.platform, job)


def without_kernel(source: str) -> str:
    """Returns the folder of the environment if a source is ``kernel:NAME``, else the source. Raises NotACondaKernel."""
    name = source.removeprefix(KERNEL)
    if name == source:
        return source
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    try:
        spec = KernelSpecManager().get_kernel_spec(name)
    except (NoSuchKernel, ValueError):
        raise NotACondaKernel(f"There is no kernel {name[:100]!r}.", "'jupyter kernelspec list' shows them.") from None
    return str(prefix_of_kernelspec(spec.to_dict(), resource_dir=spec.resource_dir))


def _of_environment(environment: Environment) -> LicenseList:
    lockfile = lock(environment)
    return license_list(lockfile, licenses_in(lockfile, environment, lambda name: False))


def _of_lockfile(lockfile: Lockfile) -> LicenseList:
    return license_list(lockfile, licenses_in(lockfile, None, lambda name: False))


def _of_image(location: ImageLocation, platform: str, job: JobContext) -> LicenseList:
    image = open_image(location, job, architecture_of(platform))
    lockfile = lock_in(image)
    if location.kind == "registry":
        try:
            listed_packages = packages_of(job.repository(location.reference), image.manifest.descriptor.digest)
        except CondaBuildError:  # the licences can be read from the packages, too
            listed_packages = None
        if listed_packages is not None:
            stated = {(one.manager, one.name): License(one.license) for one in listed_packages}
            found = {package.dist: stated.get(("conda", package.name), License()) for package in lockfile.conda}
            found |= {pip_dist(package): stated.get(("pip", package.name), License()) for package in lockfile.pip}
            return license_list(lockfile, found)
    return _of_lockfile(lockfile)


def license_list(lockfile: Lockfile, found: Mapping[str, License]) -> LicenseList:
    """Returns the licences of a lock file's packages.

    Args:
        found: the licence of each conda package by dist, and of each pip package by ``name==version``.
    """
    packages = [
        _licensed("conda", package.name, package.version, package.channel, found.get(package.dist, License()))
        for package in lockfile.conda
    ]
    packages += [
        _licensed("pip", package.name, package.version, package.index, found.get(pip_dist(package), License()))
        for package in lockfile.pip
    ]
    packages.sort(key=lambda package: (package.name, package.manager))
    return LicenseList(tuple(packages), _commercial(packages))


def _licensed(manager: str, name: str, version: str, channel: str, license: License) -> LicensedPackage:
    is_spdx = is_expression(license.name)
    text = licensing(license).expression if is_spdx else license.name
    return LicensedPackage(manager, name, version, channel, text, is_spdx)


def _commercial(packages: Sequence[LicensedPackage]) -> tuple[CommercialChannel, ...]:
    by_channel: dict[str, list[str]] = {}
    for package in packages:
        by_channel.setdefault(package.channel, []).append(package.name)
    return tuple(
        CommercialChannel(channel, terms.name, terms.url, terms.summary, tuple(names))
        for channel, names in sorted(by_channel.items())
        if (terms := terms_of(channel))
    )
