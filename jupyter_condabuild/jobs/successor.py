"""The end of a job that makes an image from another image: the push, the receipt and the result."""

from __future__ import annotations

from dataclasses import dataclass

from jupyter_condabuild.conda.lockfile import Lockfile
from jupyter_condabuild.distribution.layer_index import current_digest
from jupyter_condabuild.distribution.moved_tag import warn_if_moved
from jupyter_condabuild.distribution.push import Config, Push
from jupyter_condabuild.distribution.sboms import Sboms
from jupyter_condabuild.distribution.statements import Statements
from jupyter_condabuild.events import Finished, Log
from jupyter_condabuild.image.apt_label import packages_in
from jupyter_condabuild.image.configuration import command
from jupyter_condabuild.image.layers import ReadyLayer
from jupyter_condabuild.image.own_image import OwnImage
from jupyter_condabuild.oci.image import Image, ImageConfig
from jupyter_condabuild.oci.repository import Repository
from jupyter_condabuild.progress import sending
from jupyter_condabuild.requests.job_context import JobContext
from jupyter_condabuild.requests.others import RebaseRequest
from jupyter_condabuild.trust.receipt import receipt_of
from jupyter_condabuild.trust.vouchers import Vouchers


@dataclass(frozen=True)
class Successor:
    """An image that was made from another image.

    `origin` is the other image. `layers` are the layers above the base. `base` is the name, `base_digest` the digest of
    the base. `before` is the digest that the tag of the image had at first, see `layer_index.current_digest`.
    """

    origin: OwnImage[Repository]
    image: Image
    layers: tuple[ReadyLayer, ...]
    lockfile: Lockfile
    base: str
    base_digest: str
    before: str | None

    def push(
        self, request: RebaseRequest, push: Push, sboms: Sboms, job: JobContext, *, of_several: bool = False
    ) -> None:
        """Pushes the image, with its SBOMs if they are being written. One of several images gets no tag.

        If somebody whom the user trusts vouches for the other image, this image gets a receipt. A receipt that cannot
        be signed ends the job before the image is visible.

        Raises RegistryError, SigningFailed.
        """
        source, target, manifest = request.reference, request.result, self.image.manifest
        job.progress.plan({sending(str(blob.digest)): blob.size for blob in (*manifest.layers, manifest.config)})
        for descriptor in manifest.layers:
            push.add(descriptor, self.image.sources[descriptor.digest])
        push.add(manifest.config, Config(self.image.config))
        statements = None
        if Vouchers(job).of_image(self.origin.source, self.origin.manifest):
            added = packages_in(ImageConfig.parse(self.image.config))
            receipt = receipt_of(manifest, target, self.lockfile, self.base, self.base_digest, self.layers, added=added)
            statements = Statements.of(receipt, request.signing_key, sboms)
        if not of_several:
            warn_if_moved(target, self.before, current_digest(target, job), manifest.descriptor.digest, job)
        push.finish(manifest, "" if of_several else target.tag)
        if statements:
            job.store.vouch(manifest.descriptor.digest)
            statements.attach(push.repository, manifest.descriptor, job.report)
        else:
            sboms.attach(manifest.descriptor)
            job.report(Log(f"The image gets no receipt, because nobody whom you trust vouches for {source}."))
        job.progress.finish()
        job.store.remember(f"{target.registry}/{target.repository}", manifest.descriptor.digest)

    def finished(self, request: RebaseRequest, push: Push, seconds: float) -> Finished:
        """Returns the result of the job."""
        return Finished(
            reference=str(request.result),
            digest=str(self.image.manifest.descriptor.digest),
            size=self.image.size,
            bytes_pushed=push.bytes_pushed,
            layers=len(self.layers),
            layers_reused=sum(layer.state.startswith("reused") for layer in self.layers),
            seconds=round(seconds, 3),
            environment=self.lockfile.digest,
            command=tuple(command(self.lockfile)),
        )
