"""Forgeries: ways to change an image so that its manifest, its configuration and its layers still agree."""

from __future__ import annotations

import gzip
import tarfile
from collections.abc import Callable, Mapping

from jupyter_condabuild.oci.image import LAYER_DIFF_ID, OCI_LAYER_GZIP, Descriptor, Digest
from tests.parts.forged_image import Forgery, Member, entry, packed

MODULE = "opt/env/lib/python3.11/site-packages/needing.py"
"""A module of the package `needing` of `hostile_python`."""


def entrypoint(forged: Forgery) -> None:
    forged.runtime["Entrypoint"] = ["/opt/env/bin/evil"]


def preload(forged: Forgery) -> None:
    forged.runtime["Env"].append("LD_PRELOAD=/opt/env/lib/evil.so")


def root(forged: Forgery) -> None:
    forged.runtime["User"] = "0"


def other(name: str, value: object) -> Callable[[Forgery], None]:
    return lambda forged: forged.runtime.update({name: value})


def label(forged: Forgery) -> None:
    forged.runtime["Labels"]["io.evil"] = "x"


def twice(forged: Forgery) -> None:
    forged.runtime["Env"].insert(0, "PATH=/evil")


def history(forged: Forgery) -> None:
    forged.config["history"][-1]["author"] = "evil"


def member(forged: Forgery) -> None:
    forged.config["os.features"] = ["evil"]


def extra(forged: Forgery) -> None:
    """An extra layer, which the label counts as a layer of the base."""
    forged.insert(1, packed([entry("usr/lib/evil.so", b"evil")]), "base image")
    labels = forged.runtime["Labels"]
    labels["org.jupyter.condabuild.base.layers"] = str(int(labels["org.jupyter.condabuild.base.layers"]) + 1)


def instead_of_base(forged: Forgery) -> None:
    forged.change("base image", lambda found: [entry("etc/base", b"evil")])


def no_entrypoint_layer(forged: Forgery) -> None:
    forged.remove(forged.number("entrypoint and home"))


def no_package(forged: Forgery) -> None:
    forged.remove(forged.number("needing-1.0-0"))


def edit(name: str, change: Callable[[list[Member]], list[Member]]) -> Callable[[Forgery], None]:
    return lambda forged: forged.change(name, change)


def with_properties(path: str, **properties: object) -> Callable[[list[Member]], list[Member]]:
    def change(found: list[Member]) -> list[Member]:
        for member, _ in found:
            if member.name == path:
                for name, value in properties.items():
                    setattr(member, name, value)
        return found

    return change


def with_content(path: str, data: bytes) -> Callable[[list[Member]], list[Member]]:
    return lambda found: [(member, data if member.name == path else old) for member, old in found]


def added(*members: Member) -> Callable[[list[Member]], list[Member]]:
    return lambda found: [*found, *members]


def capability(found: list[Member]) -> list[Member]:
    return with_properties(MODULE, pax_headers={"SCHILY.xattr.security.capability": "evil"})(found)


def link(found: list[Member]) -> list[Member]:
    return [
        entry(MODULE, type=tarfile.SYMTYPE, linkname="/etc/shadow") if m.name == MODULE else (m, d) for m, d in found
    ]


def setuid_in_a_layer_of_files(forged: Forgery) -> None:
    forged.insert(len(forged.layers), packed([entry("opt/env/bin/su", b"x", mode=0o4755)]), "files of mine")


def device(forged: Forgery) -> None:
    device = entry("work/disk", type=tarfile.BLKTYPE, devmajor=8)
    forged.insert(len(forged.layers), packed([device]), "jupyter condabuild: files of mine")


def other_place(forged: Forgery) -> None:
    forged.insert(len(forged.layers), packed([entry("etc/ld.so.preload", b"/x")]), "jupyter condabuild: files of mine")


def removed_entrypoint(forged: Forgery) -> None:
    forged.insert(len(forged.layers), packed([entry("opt/condabuild/.wh.entrypoint")]), "whiteouts of an update")


def no_tar(forged: Forgery) -> None:
    number = forged.number(NEEDING)
    forged.layers[number], forged.diff_ids[number] = layer_of(
        forged, b"no tar" * 200, forged.layers[number].annotations
    )


def layer_of(forged: Forgery, data: bytes, annotations: Mapping[str, str]) -> tuple[Descriptor, str]:
    blob = gzip.compress(data, mtime=0)
    forged.blobs[Digest.of(blob)] = blob
    notes = {**annotations, LAYER_DIFF_ID: str(Digest.of(data))}
    return Descriptor(OCI_LAYER_GZIP, Digest.of(blob), len(blob), notes), str(Digest.of(data))


NEEDING = "needing-1.0-0"
FORGERIES: dict[str, tuple[Callable[[Forgery], None], str]] = {
    "another entrypoint": (entrypoint, "Entrypoint"),
    "another command": (other("Cmd", ["evil"]), "Cmd"),
    "LD_PRELOAD": (preload, "variable LD_PRELOAD"),
    "a variable twice": (twice, "variable PATH"),
    "the user 0": (root, "User"),
    "another folder": (other("WorkingDir", "/"), "WorkingDir"),
    "another label": (label, r"label io\.evil"),
    "a port": (other("ExposedPorts", {"22/tcp": {}}), "port 22/tcp"),
    "a volume": (other("Volumes", {"/etc": {}}), "volume /etc"),
    "a health check": (other("Healthcheck", {"Test": ["CMD", "evil"]}), "Healthcheck"),
    "a command at a build": (other("OnBuild", ["RUN evil"]), "OnBuild"),
    "a stop signal": (other("StopSignal", "SIGKILL"), "StopSignal"),
    "a shell": (other("Shell", ["evil"]), "Shell"),
    "another history": (history, "history"),
    "an unknown member": (member, r"os\.features"),
    "an extra layer that the label counts as base": (extra, "label org.jupyter.condabuild.base.layers"),
    "another layer of the base": (instead_of_base, "not the layer of the base"),
    "no layer with the entrypoint": (no_entrypoint_layer, "entrypoint and home"),
    "a package less": (no_package, "needing-1.0-0: is in no layer"),
    "setuid": (edit(NEEDING, with_properties(MODULE, mode=0o4755)), "mode 4755 instead of 0644"),
    "another mode": (edit(NEEDING, with_properties(MODULE, mode=0o666)), "mode 0666 instead of 0644"),
    "another owner": (edit(NEEDING, with_properties(MODULE, uid=1000)), "owner 1000:0 instead of 0:0"),
    "another owner in an extended header": (
        edit(NEEDING, with_properties(MODULE, pax_headers={"uid": "1000"})),
        "owner 1000:0 instead of 0:0",
    ),
    "a layer that is no tar": (no_tar, "needing"),
    "another type": (edit(NEEDING, link), "a link instead of a file"),
    "other content": (edit(NEEDING, with_content(MODULE, b"EVIL = 1\n")), "needing.py: content"),
    "extended attributes": (edit(NEEDING, capability), "security.capability"),
    "a file more": (
        edit(NEEDING, added(entry("opt/env/bin/evil", b"x"))),
        "/opt/env/bin/evil: a file that no package",
    ),
    "a path twice": (edit(NEEDING, added(entry(MODULE, b"VALUE = 1\n"))), "several times"),
    "bytecode of no module": (edit(NEEDING, added(entry("opt/env/__pycache__/x.c.pyc"))), "x.c.pyc"),
    "a file less": (edit(NEEDING, lambda found: [one for one in found if one[0].name != MODULE]), "is missing"),
    "another script": (edit("entrypoint and home", with_content("opt/condabuild/entrypoint", b"evil")), "entrypoint"),
    "setuid beside the packages": (setuid_in_a_layer_of_files, "/opt/env/bin/su: mode 4755"),
    "a device": (device, "/work/disk: a device"),
    "a file at another place": (other_place, "ld.so.preload: a place in which no build puts files"),
    "the entrypoint removed": (removed_entrypoint, "entrypoint: a place in which no build puts files"),
}
