"""The job `verify`: makes an image again from its own lock file, and compares every part of the image."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

from jupyter_condabuild.conda.complete import complete
from jupyter_condabuild.conda.lockfile import Lockfile
from jupyter_condabuild.conda.login_stores import read_logins
from jupyter_condabuild.conda.package_cache import PackageCaches, default_folders
from jupyter_condabuild.conda.package_sources import PackageSources
from jupyter_condabuild.errors import NotVerified
from jupyter_condabuild.events import Finished, Log, Report
from jupyter_condabuild.image.configuration import command
from jupyter_condabuild.image.opener import images_at, lock_in, made_by, open_image
from jupyter_condabuild.image.platforms import architecture_of, name_of
from jupyter_condabuild.jobs.proof.blobs import diff_ids
from jupyter_condabuild.jobs.proof.files import prove_files
from jupyter_condabuild.jobs.proof.findings import Findings
from jupyter_condabuild.jobs.proof.layered import prove_layered
from jupyter_condabuild.jobs.proof.verdict import Verdict
from jupyter_condabuild.oci.image import Image
from jupyter_condabuild.requests.job_context import JobContext, open_job
from jupyter_condabuild.requests.others import VerifyRequest
from jupyter_condabuild.text import listed
from jupyter_condabuild.trust.signature import UNSIGNED, Signature, signature_of, summary_of


@dataclass(frozen=True)
class Verification:
    """The result of a verification.

    `proved` names the parts that were made again and are the same, `unproved` those that nothing can be compared with,
    and `differs` those that are another. `verdict` says it in figures. The image is verified only if all is proved.
    """

    reference: str
    digest: str
    engine: str
    proved: tuple[str, ...]
    unproved: tuple[str, ...]
    differs: tuple[str, ...]
    verdict: Verdict
    signature: Signature = UNSIGNED

    @property
    def is_verified(self) -> bool:
        """Whether every part of the image is proved."""
        return not self.differs and not self.unproved

    def summary(self) -> dict[str, Any]:
        """Returns the verification as a JSON object."""
        value = asdict(self)
        del value["verdict"]
        return {**value, "proof": self.verdict.to_json(), **summary_of(self.signature), "verified": self.is_verified}

    def text(self) -> str:
        """Returns the verification in a few lines."""
        counts = f"{len(self.proved)} proved, {len(self.unproved)} unproved, {len(self.differs)} differ"
        lines = [
            f"{self.reference} {self.digest}",
            f"  {self.verdict}",
            f"  {'verified' if self.is_verified else 'not verified'}: {counts}",
        ]
        for heading, names in (("differ", self.differs), ("nothing proves", self.unproved)):
            lines += [f"  {heading}: {name}" for name in names]
        return "\n".join([*lines, f"  {self.signature.sentence}"])


def run(request: VerifyRequest, report: Report) -> Verification:
    """Makes an image again from its own lock file, and compares every part.

    Nothing of the image runs outside of a sandbox.

    Raises NotVerified if a part differs, BadImage if neither engine made the image, PackageError, and the errors of
    `open_image`.
    """
    started = time.monotonic()
    assert request.reference
    with open_job(request, report) as job:
        with job.phase("lock"):
            image = open_image(request.reference, job, architecture_of(request.platform))
            if images := images_at(request.reference, job):
                names = listed([name_of(one) for one in images])
                report(Log(f"The name has images for {names}. {image.manifest.descriptor.digest} is compared."))
            engine, lockfile = made_by(image), lock_in(image)
            sources = PackageSources(PackageCaches(default_folders()), logins=read_logins())
            lockfile, unlockable = complete(lockfile, sources, job.folder())
            if unlockable:
                raise next(iter(unlockable.values()))
        findings = Findings()
        with job.phase("layers"):
            content = diff_ids(image, report, findings)
            prove = prove_layered if engine == "layers" else prove_files
            prove(image, content, lockfile, sources, request, job, findings)
        signature = _signature(image, request, job)
    name, digest = str(request.reference), str(image.manifest.descriptor.digest)
    lists = (tuple(findings.proved), tuple(findings.unproved), tuple(findings.differs))
    verdict = _verdict(findings, lockfile)
    verification = Verification(name, digest, engine, *lists, verdict, signature)
    if verification.differs:
        counts = f"{len(lists[0])} proved, {len(lists[1])} unproved, {len(lists[2])} differ"
        for line in findings.differs:
            report(Log(f"Differs: {line}"))
        differing = listed(findings.differs, 20)
        raise NotVerified(f"The image is not what its lock file makes ({counts}): {differing}. {signature.sentence}")
    for line in findings.unproved:
        report(Log(f"Not proved: {line}"))
    report(Log(f"{verdict}."))
    report(Log(signature.sentence))
    report(
        Finished(
            reference=name,
            digest=digest,
            size=image.size,
            bytes_pushed=0,
            layers=len(image.manifest.layers),
            layers_reused=0,
            seconds=round(time.monotonic() - started, 3),
            environment=lockfile.digest,
            command=tuple(command(lockfile)),
            proved=len(findings.proved),
            unproved=len(findings.unproved),
            signature=signature.state,
            signer=signature.signer,
            proof=verdict.to_json(),
        )
    )
    return verification


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
