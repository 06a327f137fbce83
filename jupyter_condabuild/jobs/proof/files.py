"""An image of the docker engine: its base, its configuration, and its files, which are compared with the packages'."""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from jupyter_condabuild.conda.fetch import locate
from jupyter_condabuild.conda.linking.clobbers import folders_of, parents
from jupyter_condabuild.conda.linking.entry_points import MOST_BYTES, forms
from jupyter_condabuild.conda.linking.link import link, linked_package
from jupyter_condabuild.conda.lockfile import Lockfile
from jupyter_condabuild.conda.package_cache import hash_file
from jupyter_condabuild.conda.package_sources import PackageSources
from jupyter_condabuild.engines.docker.recipe import lock_program
from jupyter_condabuild.errors import LockfileError
from jupyter_condabuild.events import Log
from jupyter_condabuild.image.configuration import (
    BASE_DIGEST,
    BASE_NAME,
    LABEL_BASE_LAYERS,
    LABEL_ENGINE,
    LABEL_VARIABLES,
    command,
    environment,
    image_labels,
)
from jupyter_condabuild.image.opener import lock_in
from jupyter_condabuild.image.paths import (
    ENTRYPOINT,
    HOME,
    LOCK,
    OUTSIDE,
    PREFIX,
    PREFIX_IN_LAYER,
    SOURCES,
    USER,
    WORK,
    in_layer,
)
from jupyter_condabuild.image.programs import LINKS, PROGRAMS
from jupyter_condabuild.jobs.proof.base import ProvedBase, prove_added, prove_base
from jupyter_condabuild.jobs.proof.configuration import prove_configuration, variables_of
from jupyter_condabuild.jobs.proof.entries import SPECIAL, Node, hazards
from jupyter_condabuild.jobs.proof.findings import Findings
from jupyter_condabuild.jobs.proof.tree import tree
from jupyter_condabuild.oci import layer
from jupyter_condabuild.oci.image import Digest, Image, ImageConfig
from jupyter_condabuild.requests.job_context import JobContext
from jupyter_condabuild.requests.others import VerifyRequest
from jupyter_condabuild.text import agreeing, counted

_BY_INSTALLER = re.compile(r"(.*\.pyc|(?:.*/)?__pycache__)|(conda-meta/(?:[^/]*\.json|history|created_at))")
"""Paths below /opt/env that each installer writes in its own way: bytecode, and records."""

_OF_THE_BUILDER = (
    "created",
    "history",
    "rootfs",
    "container",
    "container_config",
    "docker_version",
    "moby.buildkit.buildinfo.v1",
    "moby.buildkit.cache.v0",
    "ArgsEscaped",
    "Image",
    "Hostname",
    "Domainname",
    "author",
    "comment",
    "id",
    "parent",
    "variant",
)
"""Members of a configuration that a builder writes for itself. No container of the image reads them."""

_FREE = (in_layer(SOURCES), in_layer(OUTSIDE), in_layer(WORK), in_layer(HOME))
_NAMED = 20


def prove_files(
    image: Image,
    content: Sequence[Digest | None],
    lockfile: Lockfile,
    sources: PackageSources,
    request: VerifyRequest,
    job: JobContext,
    findings: Findings,
) -> None:
    """Proves an image of the docker engine. The arguments are those of `prove_layered`, and the errors too."""
    if findings.differs:
        return  # a layer cannot be read, or is another
    base = prove_base(image, content, 0, request.base, job, findings)
    layers = image.manifest.layers
    with_added = prove_added(image, (), base, job, findings)
    shown, below = tree(image, layers), tree(image, layers[: base.layers])
    if with_added.base and with_added != base:  # the builder has written the layer of the packages in its own way
        below = tree(with_added.base.image, with_added.base.image.manifest.layers)
    base = with_added
    expected = _expected(lockfile, sources, job)
    root = f"{PREFIX_IN_LAYER}/"
    installed = {path.removeprefix(root): node for path, node in shown.items() if path.startswith(root)}
    _prove_prefix(installed, expected, lockfile, findings)
    findings.own.pip |= {package.name for package in lockfile.pip}
    rest = {path: node for path, node in shown.items() if not path.startswith(root)}
    _prove_rest(rest, below, lock_program(lock_in(image)), base, findings)
    _prove_configuration(ImageConfig.parse(image.config), base, lockfile, findings)


def _expected(lockfile: Lockfile, sources: PackageSources, job: JobContext) -> dict[str, list[Node]]:
    """Returns the files of the packages by path: several nodes, if several packages bring the path."""
    cached, failures = locate(lockfile.conda, sources, job.folder())
    if failures:
        raise next(iter(failures.values()))
    if not lockfile.conda:
        raise LockfileError("The lock file in the image has no conda packages.")
    job.report(Log(f"Linking {counted(lockfile.conda, 'package')}."))
    staged = link(list(lockfile.conda), cached, job.folder() / "link", PREFIX)
    expected: dict[str, list[Node]] = {}
    for package in staged.values():
        for file in linked_package(package, None, layer.EPOCH, "").files:
            nodes = (
                [Node("a link", 0o777, (0, 0), file.target)] if file.target else _nodes(Path(file.source), file.path)
            )
            expected.setdefault(file.path, []).extend(nodes)
    return expected


def _nodes(path: Path, place: str) -> Iterator[Node]:
    """Yields the node of a file; for the script of an entry point, a node for the script of each installer.

    Args:
        place: the path in the prefix.
    """
    if path.is_symlink():
        yield Node("a link", 0o777, (0, 0), os.readlink(path))
        return
    mode = path.stat().st_mode & 0o777
    yield Node("a file", mode, (0, 0), hash_file(path))
    if posixpath.basename(posixpath.dirname(place)) == "bin" and path.stat().st_size < MOST_BYTES:
        for form in forms(path.read_bytes()):
            yield Node("a file", mode, (0, 0), hashlib.sha256(form).hexdigest())


def _prove_prefix(
    installed: Mapping[str, Node], expected: Mapping[str, list[Node]], lockfile: Lockfile, findings: Findings
) -> None:
    folders = folders_of(expected)
    for path, nodes in sorted(expected.items()):
        if _BY_INSTALLER.fullmatch(path) and path.startswith("conda-meta/"):
            continue
        reasons = [_differs(installed.get(path), node) for node in nodes]
        if "" in reasons or _is_clobbered(path, installed, expected, folders):
            findings.is_same(path)
        else:
            findings.is_another(f"/{PREFIX_IN_LAYER}/{path}", reasons[0])
    extra = {path: node for path, node in installed.items() if path not in expected}
    for path, reason in hazards(
        {f"{PREFIX_IN_LAYER}/{path}": node for path, node in extra.items()}, (PREFIX_IN_LAYER,), (0,)
    ):
        findings.is_another(f"/{path}", reason)
    files = {path: _BY_INSTALLER.fullmatch(path) for path, node in extra.items() if node.kind != "a folder"}
    bytecode = [path for path, match in files.items() if match and match[1]]
    records = [path for path, match in files.items() if match and match[2]]
    if bytecode:
        findings.has_no_proof("bytecode", f"the installer compiled {counted(bytecode, 'module')}")
    if records:
        findings.has_no_proof("records", f"the installer wrote {counted(records, 'file')} in conda-meta")
    for path in sorted(path for path, match in files.items() if not match):
        findings.has_no_proof(path, "comes from no package", own=True)
        # The files of pip's packages are counted as packages.
        findings.own.files += not (lockfile.pip and "/site-packages/" in path)


def _is_clobbered(
    path: str, installed: Mapping[str, Node], expected: Mapping[str, list[Node]], folders: Collection[str]
) -> bool:
    """Whether an installer leaves another package's file in the place of a folder, or a folder in the place of a file.

    What it leaves is compared with that package.
    """
    actual = installed.get(path)
    if actual is not None:
        return actual.kind == "a folder" and path in folders
    return any(
        above in expected and above in installed and installed[above].kind != "a folder" for above in parents(path)
    )


def _differs(actual: Node | None, expected: Node) -> str:
    """Says how a file differs from that of a package. Installers set the right to write for groups as they like."""
    if actual is None:
        return "is missing"
    if actual.kind == "a file" == expected.kind and not actual.mode & (SPECIAL | 0o002):
        same = bool(actual.mode & 0o111) == bool(expected.mode & 0o111)
        actual = Node(
            actual.kind, expected.mode if same else actual.mode, actual.owner, actual.content, 0, actual.extra
        )
    elif actual.kind == "a link" == expected.kind:
        actual = Node(actual.kind, expected.mode, actual.owner, actual.content, 0, actual.extra)
    return ", ".join(expected.differences(actual))


def _prove_rest(
    shown: Mapping[str, Node], below: Mapping[str, Node], program: str, base: ProvedBase, findings: Findings
) -> None:
    """Compares the paths outside of the environment with those of the base and of this program.

    Args:
        program: the text of the program that prints the lock file.
    """
    programs = {**PROGRAMS, LOCK: program.encode()}
    own = {path: Node("a file", 0o755, (0, 0), hashlib.sha256(data).hexdigest()) for path, data in programs.items()}
    own |= {path: Node("a link", 0o777, (0, 0), target) for path, target in LINKS.items()}
    for path in sorted(below.keys() - shown.keys()):
        findings.is_another(f"/{path}", "the base has it, and the image does not")
    added = {path: node for path, node in shown.items() if below.get(path) != node}
    for path, expected in own.items():
        reason = _differs(added.pop(in_layer(path), None), expected)
        findings.is_another(path, reason) if reason else findings.is_same(path)
    if base.base is None:
        findings.has_no_proof("files outside of the environment", f"{counted(added, 'path')} may come from the base")
        return
    roots = (*_FREE, PREFIX_IN_LAYER, f"{in_layer(ENTRYPOINT).rpartition('/')[0]}/conda-lock.yml")
    dangerous = dict(hazards(added, roots, (0, USER)))
    for path, reason in list(dangerous.items())[:_NAMED]:
        folder_of_builder = added[path].kind == "a folder" and reason == "a place in which no build puts files"
        add = findings.has_no_proof if folder_of_builder else findings.is_another
        add(f"/{path}", reason)
    if len(dangerous) > _NAMED:
        findings.is_another("files outside of the environment", f"{counted(len(dangerous) - _NAMED, 'more path')}")
    free = [
        path for path, node in added.items() if node.kind != "a folder" and path not in dangerous and path not in roots
    ]
    if free:
        findings.has_no_proof(
            "files of the user", f"{counted(free, 'path')} {agreeing(free, 'comes', 'come')} from no package", own=True
        )
        findings.own.files += len(free)


def _prove_configuration(config: ImageConfig, base: ProvedBase, lockfile: Lockfile, findings: Findings) -> None:
    """Compares the configuration with the one that the Dockerfile makes."""
    known = base.config or ImageConfig({}, config.diff_ids[: base.layers])
    labels = {str(name): str(text) for name, text in (config.runtime.get("Labels") or {}).items()}
    variables = dict(variables_of(config))
    env = dict(str(item).partition("=")[::2] for item in known.runtime.get("Env") or [])
    env |= environment(env.get("PATH", ""), lockfile) | variables
    runtime = {
        **known.runtime,
        "Env": [f"{name}={value}" for name, value in env.items()],
        "Entrypoint": [ENTRYPOINT],
        "Cmd": command(lockfile),
        "User": f"{USER}:{USER}",
        "WorkingDir": WORK,
        "Labels": {
            **(known.runtime.get("Labels") or {}),
            **image_labels(lockfile),
            LABEL_ENGINE: "docker",
            BASE_NAME: labels.get(BASE_NAME, ""),
            **{name: labels[name] for name in (BASE_DIGEST, LABEL_BASE_LAYERS) if name in labels},
            **({LABEL_VARIABLES: json.dumps(sorted(variables))} if variables else {}),
        },
    }
    if base.base:
        runtime["Labels"] |= {LABEL_BASE_LAYERS: str(base.layers)}
    if runtime["Cmd"][0] == "jupyter":
        runtime["ExposedPorts"] = {**(known.runtime.get("ExposedPorts") or {}), "8888/tcp": {}}
    value = {**known.value, "config": runtime, "os": "linux"}
    expected = known.with_value(value, config.diff_ids)
    prove_configuration(
        config,
        expected,
        findings,
        base_is_known=base.base is not None,
        variables=variables,
        ignored=(*_OF_THE_BUILDER, *(f"history {number + 1}" for number in range(1000))),
    )
