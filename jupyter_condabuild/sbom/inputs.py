"""The licences of all packages of a build: conda's and pip's."""

from __future__ import annotations

from jupyter_condabuild.conda.licenses import licenses, pip_license
from jupyter_condabuild.conda.packages import License
from jupyter_condabuild.planning.inputs import Inputs
from jupyter_condabuild.sbom.inventory import pip_dist
from jupyter_condabuild.sbom.licensing import is_expression


def licenses_of(inputs: Inputs) -> dict[str, License]:
    """Returns the licences of the packages of a build, as `bill_of` takes them. It may read from channels."""
    environment = inputs.environment
    found = licenses(inputs.lockfile.conda, inputs.sources, environment, lambda name: not is_expression(name))
    if environment:
        for distribution in environment.pip:
            found[pip_dist(distribution.package)] = pip_license(environment.prefix, distribution.dist_info)
    return found
