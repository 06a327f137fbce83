"""An image of the layers engine: its base, its layers, and its configuration."""

from __future__ import annotations

from collections.abc import Sequence

from jupyter_condabuild.conda.lockfile import Lockfile
from jupyter_condabuild.conda.package_sources import PackageSources
from jupyter_condabuild.errors import BadDigest
from jupyter_condabuild.image.configuration import (
    BASE_DIGEST,
    configuration,
    lockfile_in,
    runtime_layer,
)
from jupyter_condabuild.image.layers import hidden_in
from jupyter_condabuild.jobs.proof.base import prove_added, prove_base
from jupyter_condabuild.jobs.proof.blobs import titles
from jupyter_condabuild.jobs.proof.configuration import prove_configuration, variables_of
from jupyter_condabuild.jobs.proof.findings import Findings
from jupyter_condabuild.jobs.proof.layers import LayersProof, expected_titles
from jupyter_condabuild.jobs.proof.stack import Row, read_stack, titles_of
from jupyter_condabuild.oci.image import LAYER_KEY, Digest, Image, ImageConfig
from jupyter_condabuild.oci.layout import Store
from jupyter_condabuild.requests.job_context import JobContext
from jupyter_condabuild.requests.others import VerifyRequest


def prove_layered(
    image: Image,
    content: Sequence[Digest | None],
    lockfile: Lockfile,
    sources: PackageSources,
    request: VerifyRequest,
    job: JobContext,
    findings: Findings,
) -> None:
    """Proves an image of the layers engine.

    Args:
        content: the digests of the layers' content.
        lockfile: the lock file in the image, complete.

    Raises PackageError if a package is not available, RegistryError, StoreError.
    """
    config = ImageConfig.parse(image.config)
    with Store(job.folder()) as store:
        runtime = runtime_layer(store, request.compression_level).diff_id
    base = prove_base(image, content, _first_own(image, content, runtime), request.base, job, findings)
    base = prove_added(image, content, base, job, findings)
    lines = titles_of(titles(config)) or [""] * len(content)
    numbered = list(zip(image.manifest.layers, content, lines, strict=True))
    rows = [Row(number + 1, *numbered[number]) for number in range(base.layers, len(numbered))]
    stack = read_stack(rows, runtime, hidden_in(image.manifest), lockfile, findings)
    LayersProof(image, lockfile, sources, request.compression_level, job, findings).prove(
        stack, image.manifest.layers[: base.layers], anew=request.all
    )
    named = expected_titles(stack)
    hidden = {row.descriptor.digest for row in stack.hidden}
    expected = configuration(
        base.config or ImageConfig({}, config.diff_ids[: base.layers]),
        base.name,
        base.base.digest if base.base else _label_digest(config),
        config.diff_ids,
        [named.get(row.number, row.title) for row in rows],
        lockfile_in(config),
        variables=(variables := variables_of(config)),
        stale=sum(row.descriptor.size for row in rows if row.descriptor.digest in hidden),
    )
    prove_configuration(config, expected, findings, base_is_known=base.base is not None, variables=variables)


def _first_own(image: Image, content: Sequence[Digest | None], runtime: Digest) -> int:
    """Returns the number of layers below the first layer that is ours by its content or its annotation."""
    for number, layer in enumerate(image.manifest.layers):
        if content[number] == runtime or LAYER_KEY in layer.annotations:
            return number
    return len(image.manifest.layers)


def _label_digest(config: ImageConfig) -> Digest:
    try:
        return Digest.parse(str((config.runtime.get("Labels") or {}).get(BASE_DIGEST, "")))
    except BadDigest:
        return Digest.of(b"")
