"""The scripts that packages bring for their installation: which packages have one, and what becomes of the scripts.

Source: docs.conda.io "Adding pre-link, post-link, and pre-unlink scripts".
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from jupyter_condabuild.errors import NotReproducible
from jupyter_condabuild.events import Report, Warning
from jupyter_condabuild.text import listed


def has_post_link(paths: Iterable[str]) -> bool:
    """Whether a package with these paths, relative to the prefix, has a post-link script."""
    return any(path.startswith("bin/.") and path.endswith("-post-link.sh") for path in paths)


def report_link_scripts(
    paths: Mapping[str, Collection[str]],
    dists: Iterable[str],
    report: Report,
    *,
    installer: str = "",
    advice: str = "",
    strict: bool,
) -> None:
    """Says which packages of a lock file have a post-link script. An environment's report has this before the build.

    Args:
        paths: the packages' paths by dist. Packages whose paths are not known are left out.
        dists: all packages.
        installer: the program that installs the packages, and runs the scripts; empty for the layers engine, which runs
            none.
        advice: what to do about scripts that do not run; empty for the usual advice.
        strict: whether such a script, or a package whose paths are not known, ends the build.

    Raises NotReproducible.
    """
    scripts = sorted(dist for dist, own in paths.items() if has_post_link(own))
    unknown = sorted(set(dists) - paths.keys())
    if strict and unknown:
        raise NotReproducible(
            f"The environment cannot be reproduced: the files of {listed(unknown, 5)} are not known.",
            "Check that the channels can be reached and still have these packages.",
        )
    if not scripts:
        return
    warning = Warning(
        "post-link-script-not-run",
        f"Packages have a post-link script, and the layers engine does not run such scripts: {listed(scripts)}.",
        advice or "Build from an environment in which the script ran. The image then gets the script's files.",
    )
    if installer in _RUNNING:
        warning = Warning(
            "post-link-script",
            f"Packages have a post-link script, which {installer} runs in the build: {listed(scripts)}.",
            "The files of such a script belong to no package. A script may make different files elsewhere.",
        )
    elif installer:
        warning = Warning(
            warning.code,
            f"Packages have a post-link script, and {installer} does not run such scripts: {listed(scripts)}.",
            "Use another installer (--installer micromamba), or build from an environment in which the script ran.",
        )
    report(warning)
    if strict:
        raise NotReproducible(f"The environment cannot be reproduced: {warning.message}", warning.hint)


_RUNNING = frozenset(("micromamba", "conda"))
"""The installers that run post-link scripts. py-rattler runs them only on demand (its `execute_link_scripts`)."""
