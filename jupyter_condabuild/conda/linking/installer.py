"""The installer, py-rattler: it links checked packages into a folder as on Linux, and rewrites their prefix."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jupyter_condabuild.conda.linking.check import Checked, collide
from jupyter_condabuild.conda.linking.extracted import Extracted
from jupyter_condabuild.conda.packages import CondaPackage
from jupyter_condabuild.conda.secrets import scrub
from jupyter_condabuild.errors import CondaBuildError, DiskFull, LinkFailed, UnsafePackage
from jupyter_condabuild.text import listed

_LINUX = "linux-64"
"""The platform as which packages are linked: on each system, an image has the folders and the commands of Linux."""


def link_all(
    packages: Sequence[CondaPackage],
    extracted: Mapping[str, Extracted],
    checked: Mapping[str, Checked],
    cache: Path,
    target: Path,
    target_prefix: str,
) -> dict[str, Path]:
    """Links packages together, or separately if that is not possible. Returns the folder of each package by dist."""
    if not packages:
        return {}
    import asyncio  # takes 30 ms; the layer writers import this module, but they do not link

    if not collide(checked[package.dist] for package in packages):
        try:
            asyncio.run(_install(packages, extracted, cache, target, target_prefix))
            return dict.fromkeys((package.dist for package in packages), target)
        except LinkFailed:
            if len(packages) == 1:
                raise
    targets = {package.dist: target.with_name(package.dist) for package in packages}
    python = [package for package in packages if package.name == "python"]
    for package in packages:
        needed = list(dict.fromkeys([package, *python])) if checked[package.dist].noarch_python else [package]
        if collide(checked[item.dist] for item in needed):
            raise UnsafePackage(f"{package.dist} has paths inside of a link of {python[0].dist}.")
        asyncio.run(_install(needed, extracted, cache, targets[package.dist], target_prefix))
    return targets


async def _install(
    packages: Sequence[CondaPackage],
    extracted: Mapping[str, Extracted],
    cache: Path,
    target: Path,
    target_prefix: str,
) -> None:
    import rattler
    from rattler.exceptions import (
        CacheDirError,
        FetchRepoDataError,
        InstallerError,
        InvalidUrlError,
        IoError,
        LinkError,
    )
    from rattler.platform import Subdir

    # The URL is that of a folder, so that the installer cannot fetch what was not checked.
    records = [rattler_record(package, extracted[package.dist].folder.as_uri()) for package in packages]
    try:
        await rattler.install(
            records,
            target,
            cache_dir=cache,
            alternative_target_prefix=target_prefix,
            platform=Subdir(_LINUX),
            execute_link_scripts=False,
            show_progress=False,
        )
    except (InvalidUrlError, CacheDirError, FetchRepoDataError, InstallerError, IoError, LinkError) as error:
        raise _link_error(error, packages) from None
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # rattler's own faults; the class cannot be imported
            raise
        raise LinkFailed(f"Cannot link {listed([package.dist for package in packages], 3)}.") from None


def rattler_record(package: CondaPackage, url: str) -> Any:
    """Returns the package as a RepoDataRecord of rattler, at a URL."""
    from rattler.package import BuildString
    from rattler.repo_data import PackageRecord, RepoDataRecord

    record = PackageRecord(
        name=package.name,
        version=package.version,
        build=BuildString(package.build),
        build_number=package.build_number or 0,
        subdir=package.subdir,
        noarch=package.kind or None,  # type: ignore[arg-type]  # the texts that it names
        depends=list(package.depends),
        sha256=bytes.fromhex(package.sha256) if package.sha256 else None,
        md5=bytes.fromhex(package.md5) if package.md5 else None,
        python_site_packages_path=package.python_site_packages_path or None,
    )
    return RepoDataRecord(record, package.fn, url, package.channel)


def _link_error(error: Exception, packages: Sequence[CondaPackage]) -> CondaBuildError:
    text = scrub(_message_with_causes(error))
    if os.strerror(errno.ENOSPC) in text or os.strerror(errno.EDQUOT) in text:
        return DiskFull("No space left while linking packages.")
    name = next((package.dist for package in packages if package.fn in text or package.dist in text), "a package")
    return LinkFailed(f"Cannot link {name}: {text}")


def _message_with_causes(error: BaseException) -> str:
    texts = [str(error)]
    while error.__cause__:
        error = error.__cause__
        texts.append(str(error))
    return ": ".join(dict.fromkeys(texts))
