"""The job `verify`: makes an image again from its own lock file, and compares every part of the image."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from jupyter_condabuild.conda.complete import complete
from jupyter_condabuild.conda.lockfile import Lockfile
from jupyter_condabuild.conda.login_stores import read_logins
from jupyter_condabuild.conda.package_cache import PackageCaches, default_folders
from jupyter_condabuild.conda.package_sources import PackageSources
from jupyter_condabuild.errors import CondaBuildError, NotVerified
from jupyter_condabuild.events import Finished, Log, Report
from jupyter_condabuild.image.configuration import command
from jupyter_condabuild.image.opener import images_at, index_digest, lock_in, made_by, open_image
from jupyter_condabuild.image.platforms import architecture_of, name_of
from jupyter_condabuild.jobs.proof.blobs import diff_ids
from jupyter_condabuild.jobs.proof.files import prove_files
from jupyter_condabuild.jobs.proof.findings import Findings
from jupyter_condabuild.jobs.proof.layered import prove_layered
from jupyter_condabuild.jobs.proof.verdict import Verdict
from jupyter_condabuild.oci.image import Descriptor, Image
from jupyter_condabuild.oci.index import platform_of
from jupyter_condabuild.progress import PartsProgress
from jupyter_condabuild.requests.job_context import JobContext, open_job
from jupyter_condabuild.requests.others import VerifyRequest
from jupyter_condabuild.text import clean, counted, listed
from jupyter_condabuild.trust.signature import UNSIGNED, Signature, signature_of, signature_of_all, summary_of


@dataclass(frozen=True)
class Verification:
    """The result of a verification.

    `proved` names the parts that were made again and are the same, `unproved` those that nothing can be compared with,
    and `differs` those that are another. `verdict` says it in figures. The image is verified only if all is proved.
    `platforms` are the results of the images of an index, by platform; the other members then sum them up.
    """

    reference: str
    digest: str
    engine: str
    proved: tuple[str, ...]
    unproved: tuple[str, ...]
    differs: tuple[str, ...]
    verdict: Verdict
    signature: Signature = UNSIGNED
    platforms: Mapping[str, Verification] = field(default_factory=dict)

    @classmethod
    def of_index(cls, reference: str, digest: str, platforms: Mapping[str, Verification]) -> Verification:
        """Returns the verification of an index from those of its images."""
        found = platforms.items()
        return cls(
            reference,
            digest,
            listed(sorted({one.engine for one in platforms.values()})),
            tuple(f"{name}: {part}" for name, one in found for part in one.proved),
            tuple(f"{name}: {part}" for name, one in found for part in one.unproved),
            tuple(f"{name}: {part}" for name, one in found for part in one.differs),
            Verdict.of_all(one.verdict for one in platforms.values()),
            signature_of_all([one.signature for one in platforms.values()]),
            platforms,
        )

    @property
    def is_verified(self) -> bool:
        """Whether every part of the image is proved."""
        return not self.differs and not self.unproved

    @property
    def counts(self) -> str:
        """The numbers of parts, as a text."""
        return f"{len(self.proved)} proved, {len(self.unproved)} unproved, {len(self.differs)} differ"

    def summary(self) -> dict[str, Any]:
        """Returns the verification as a JSON object."""
        value = asdict(self)
        del value["verdict"]
        del value["platforms"]
        value |= {"proof": self.verdict.to_json(), **summary_of(self.signature), "verified": self.is_verified}
        if self.platforms:
            value["platforms"] = {name: one.summary() for name, one in self.platforms.items()}
        return value

    def text(self) -> str:
        """Returns the verification in a few lines; that of an index has those of each image."""
        if self.platforms:
            state = "verified" if self.is_verified else "not verified"
            head = f"{self.reference} {self.digest}\n  {state}: {counted(self.platforms, 'image')}"
            return "\n".join([head, *(f"{name}:\n  {one._lines()}" for name, one in self.platforms.items())])
        return self._lines()

    def _lines(self) -> str:
        lines = [
            f"{self.reference} {self.digest}",
            f"  {self.verdict}",
            f"  {'verified' if self.is_verified else 'not verified'}: {self.counts}",
        ]
        for heading, names in (("differ", self.differs), ("nothing proves", self.unproved)):
            lines += [f"  {heading}: {clean(name)}" for name in names]
        return "\n".join([*lines, f"  {self.signature.sentence}"])


def run(request: VerifyRequest, report: Report) -> Verification:
    """Makes an image again from its own lock file, and compares every part; each image of an index, without a platform.

    Nothing of the image runs outside of a sandbox.

    Raises NotVerified if a part differs, BadImage if neither engine made the image, PackageError, and the errors of
    `open_image`. All images of an index are compared before an error of one of them is raised.
    """
    started = time.monotonic()
    assert request.reference
    with open_job(request, report) as job:
        images = () if request.platform else images_at(request.reference, job)
        if images:
            verification, finished = _verify_index(images, request, job)
        else:
            verification, finished = _verify(request, job, architecture_of(request.platform))
    for line in verification.unproved:
        report(Log(f"Not proved: {line}"))
    report(Log(f"{verification.verdict}."))
    report(Log(verification.signature.sentence))
    finished = replace(
        finished,
        seconds=round(time.monotonic() - started, 3),
        proved=len(verification.proved),
        unproved=len(verification.unproved),
        signature=verification.signature.state,
        signer=verification.signature.signer,
        proof=verification.verdict.to_json(),
    )
    report(finished)
    return verification


def _verify_index(
    images: Sequence[Descriptor], request: VerifyRequest, job: JobContext
) -> tuple[Verification, Finished]:
    """Verifies each image of an index. Raises the error of the first image that has one, after the last image."""
    progress = PartsProgress(job.progress, job.report, len(images))
    found: dict[str, tuple[Verification, Finished]] = {}
    errors: dict[str, CondaBuildError] = {}
    for number, image in enumerate(images):
        name = name_of(image)
        job.report(Log(f"Platform {name}, {number + 1} of {len(images)}:"))
        report, of_part = progress.of(number)
        try:
            found[name] = _verify(request, replace(job, report=report, progress=of_part), platform_of(image)[1])
        except CondaBuildError as error:
            job.report(Log(f"{name}: {error.message}"))
            errors[name] = error
    for name, first in errors.items():
        proved = [other for other, (one, _) in found.items() if one.is_verified]
        rest = f" The image for {listed(proved)} is verified." if proved else ""
        first.message = f"The image for {name}: {first.message}{rest}"
        first.args = (first.message,)
        raise first
    assert request.reference
    platforms = {name: one for name, (one, _) in found.items()}
    digest = str(index_digest(request.reference, job))
    events = [event for _, event in found.values()]
    finished = replace(
        events[0],
        digest=digest,
        size=sum(event.size for event in events),
        layers=sum(event.layers for event in events),
        images={name: one.digest for name, one in platforms.items()},
    )
    return Verification.of_index(str(request.reference), digest, platforms), finished


def _verify(request: VerifyRequest, job: JobContext, architecture: str) -> tuple[Verification, Finished]:
    """Verifies one image: that for a processor. Returns the result, and the event that ends the job."""
    assert request.reference
    with job.phase("lock"):
        image = open_image(request.reference, job, architecture)
        engine, lockfile = made_by(image), lock_in(image)
        sources = PackageSources(PackageCaches(default_folders()), logins=read_logins())
        lockfile, unlockable = complete(lockfile, sources, job.folder())
        if unlockable:
            raise next(iter(unlockable.values()))
    findings = Findings()
    with job.phase("layers"):
        content = diff_ids(image, job.report, findings)
        prove = prove_layered if engine == "layers" else prove_files
        prove(image, content, lockfile, sources, request, job, findings)
    signature = _signature(image, request, job)
    name, digest = str(request.reference), str(image.manifest.descriptor.digest)
    lists = (tuple(findings.proved), tuple(findings.unproved), tuple(findings.differs))
    verification = Verification(name, digest, engine, *lists, _verdict(findings, lockfile), signature)
    if verification.differs:
        for line in findings.differs:
            job.report(Log(f"Differs: {line}"))
        differing = listed(findings.differs, 20)
        raise NotVerified(
            f"The image is not what its lock file makes ({verification.counts}): {differing}. {signature.sentence}"
        )
    finished = Finished(
        reference=name,
        digest=digest,
        size=image.size,
        bytes_pushed=0,
        layers=len(image.manifest.layers),
        layers_reused=0,
        seconds=0,
        environment=lockfile.digest,
        command=tuple(command(lockfile)),
    )
    return verification, finished


def _verdict(findings: Findings, lockfile: Lockfile) -> Verdict:
    own, unproved = findings.own, " ".join(findings.unproved)
    proved = sum(package.dist not in unproved for package in lockfile.conda)
    return Verdict(proved, tuple(sorted(own.patched)), tuple(sorted(own.pip)), own.files, findings.other)


def _signature(image: Image, request: VerifyRequest, job: JobContext) -> Signature:
    """Returns the signature of an image in a registry. An archive and an engine have no receipts."""
    assert request.reference
    if request.reference.kind != "registry":
        return UNSIGNED
    return signature_of(job.repository(request.reference.reference), image.manifest.descriptor, job)
