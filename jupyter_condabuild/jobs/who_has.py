"""The job `who-has`: which images of some repositories hold a package, from their SBOMs alone."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from jupyter_condabuild.conda.match_specs import PackageMatch
from jupyter_condabuild.distribution.sbom_search import search
from jupyter_condabuild.errors import RegistryNotFound
from jupyter_condabuild.events import Report
from jupyter_condabuild.oci.image import Reference
from jupyter_condabuild.requests.job_context import open_job
from jupyter_condabuild.requests.others import WhoHasRequest
from jupyter_condabuild.text import agreeing, counted, listed


@dataclass(frozen=True)
class Holding:
    """An image that holds a matching package. `image` is its name with the digest, `tags` are its tags."""

    image: str
    tags: tuple[str, ...]
    name: str
    version: str
    build: str
    manager: str

    def __str__(self) -> str:
        repository, _, digest = self.image.partition("@")
        tag = f":{self.tags[0]}" if self.tags else f"@{digest}"
        more = f" (also {listed(self.tags[1:], 3)})" if self.tags[1:] else ""
        version = f"{self.version}-{self.build}" if self.build else self.version
        pip = " (pip)" if self.manager == "pip" else ""
        return f"{repository}{tag}{more}  {listed([f'{self.name} {version}'])}{pip}"


@dataclass(frozen=True)
class Answer:
    """The images that hold a package. `images` is the number of images that were read, `unread` those without SBOM."""

    package: str
    holdings: tuple[Holding, ...]
    images: int
    unread: tuple[str, ...]

    def summary(self) -> dict[str, Any]:
        """Returns the answer as a JSON object."""
        return asdict(self)

    def text(self) -> str:
        """Returns a line for each image that holds the package, and the numbers of images."""
        holders = len({holding.image for holding in self.holdings})
        lines = [
            *map(str, self.holdings),
            f"{holders} of {counted(self.images, 'image')} {agreeing(self.images, 'holds', 'hold')} {self.package}.",
        ]
        if self.unread:
            verb = agreeing(self.unread, "has no SBOM and was", "have no SBOM and were")
            lines.append(f"{counted(self.unread, 'image')} {verb} not read: {listed(self.unread, 5)}.")
        return "\n".join(lines)


def run(request: WhoHasRequest, report: Report) -> Answer:
    """Searches the repositories of a request. Raises UsageError, BadReference, RegistryError."""
    matches = PackageMatch(request.package)
    holdings: list[Holding] = []
    unread: list[str] = []
    read = 0
    with open_job(request, report) as job:
        for text in request.repositories:
            reference = Reference.parse(text)
            tags = (reference.tag,) if text.endswith(f":{reference.tag}") else ()
            name = f"{reference.registry}/{reference.repository}"
            found = search(job.repository(reference), tags)
            if not found:
                raise RegistryNotFound(f"There is no image {text if tags else 'in ' + name}.")
            for image in found:
                if image.packages is None:
                    unread.append(f"{name}:{image.tags[0]}")
                    continue
                read += 1
                holdings += [
                    Holding(f"{name}@{image.digest}", image.tags, one.name, one.version, one.build, one.manager)
                    for one in image.packages
                    if matches(one.name, one.version, one.build)
                ]
    return Answer(request.package, tuple(sorted(holdings, key=str)), read, tuple(sorted(unread)))
