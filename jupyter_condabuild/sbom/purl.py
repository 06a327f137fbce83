"""Package URLs (purl): the name of a package in an SBOM, which scanners of all vendors read.

Source: github.com/package-url/purl-spec, types-doc/conda-definition.md, pypi-definition.md, deb-definition.md
and oci-definition.md.
"""

from __future__ import annotations

import functools

from packageurl import PackageURL

from jupyter_condabuild.sbom.bill import Component

_NAMED_CHANNELS = ("https://conda.anaconda.org/", "https://repo.anaconda.com/pkgs/")
"""Where the last part of a channel's URL is its usual name."""


@functools.lru_cache(maxsize=4096)  # both formats of an SBOM ask for it
def purl_of(component: Component) -> PackageURL:
    """Returns the purl of a package. A channel of anaconda.org has its short name, any other its URL."""
    if component.manager == "pip":
        qualifiers = {"repository_url": component.channel}
        if component.url.startswith(("git+", "hg+", "svn+", "bzr+")):
            qualifiers["vcs_url"] = component.url
        elif component.url:
            qualifiers["download_url"] = component.url
        return PackageURL("pypi", None, component.name, component.version, _present(qualifiers))
    if component.manager == "deb":
        return PackageURL("deb", "debian", component.name, component.version, _present({"arch": component.subdir}))
    channel = component.channel
    for start in _NAMED_CHANNELS:
        channel = channel.removeprefix(start)
    suffix = "tar.bz2" if component.url.endswith(".tar.bz2") else "conda"
    qualifiers = {"build": component.build, "channel": channel, "subdir": component.subdir, "type": suffix}
    return PackageURL("conda", None, component.name, component.version, _present(qualifiers))


def purl_of_image(digest: str) -> PackageURL:
    """Returns the purl of an image, without its repository: the same image has the same purl everywhere."""
    return PackageURL("oci", None, "conda-environment", digest)


def _present(qualifiers: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in qualifiers.items() if value}
