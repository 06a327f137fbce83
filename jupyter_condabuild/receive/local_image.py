"""LocalImage: an image that runs on this machine without an engine, and the program that gives it a container."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from jupyter_condabuild.errors import BadImage, EngineUnavailable, UsageError
from jupyter_condabuild.events import Log, Progress
from jupyter_condabuild.oci.engine.containers import ContainerOptions
from jupyter_condabuild.oci.image import ImageConfig
from jupyter_condabuild.oci.tree.unpacked import Unpacked, folder_of, unpacked
from jupyter_condabuild.receive import apptainer, bubblewrap
from jupyter_condabuild.receive.local_program import LocalProgram
from jupyter_condabuild.text import size_text

if TYPE_CHECKING:  # a kernel starts faster without them
    from jupyter_condabuild.receive.inspection import Inspection
    from jupyter_condabuild.requests.job_context import JobContext

BUBBLEWRAP = "bubblewrap"
"""The name of the program for a sandbox; any other name is the path of Apptainer or Singularity."""

_MOST_IN_ONE = 120 << 10
_MOST_IN_ALL = 1 << 20
"""The largest numbers of bytes in one argument and in all. Source: execve(2), MAX_ARG_STRLEN and a stack of 8 MiB."""


@dataclass(frozen=True)
class LocalImage:
    """An image, and the program for its containers.

    `place` is the folder of an unpacked image in the store, or a SIF. `program` is `BUBBLEWRAP`, or the path of
    Apptainer or Singularity.
    """

    place: Path
    program: str

    @property
    def config(self) -> ImageConfig | None:
        """The configuration of the image; None for a SIF, which starts its own runscript."""
        return Unpacked(self.place).config if self.place.is_dir() else None

    @contextmanager
    def run(self, options: ContainerOptions, scratch: Path) -> Iterator[LocalProgram]:
        """Prepares a program. It ends at the end of the context.

        Args:
            options: its folders, network and variables. Without a command, the program is the image's own.
            scratch: an empty folder, for the home folder and the temporary files in a container of Apptainer.

        Raises UsageError if the image starts nothing by itself, and StoreError.
        """
        if not self.place.is_dir():
            words = apptainer.words(self.program, self.place, options, scratch)
            with LocalProgram(words, apptainer.environ(self.program, options.environment)) as program:
                yield program
            return
        image = Unpacked(self.place)
        config = image.config
        options = replace(options, command=_command(config, options.command))
        variables = _variables(config)
        with tempfile.TemporaryFile() as said:
            if self.program == BUBBLEWRAP:
                words = bubblewrap.words(image.root, options, variables, said.fileno())
                environ = bubblewrap.environ(options.environment)
            else:
                words = apptainer.words(self.program, image.root, options, scratch)
                environ = apptainer.environ(self.program, {**variables, **options.environment})
            _check_length([*words, *map("=".join, environ.items())])
            with image.held(), LocalProgram(words, environ, said) as program:
                yield program


def sandbox(*, sif: bool = False) -> str:
    """Returns the program that runs an image without an engine: `BUBBLEWRAP`, or the path of Apptainer.

    Args:
        sif: whether the image is a SIF, which bubblewrap cannot run.

    Raises EngineUnavailable if this machine has neither.
    """
    found = apptainer.program()
    if sif and not found:
        raise EngineUnavailable(
            "A SIF needs Apptainer or Singularity, and neither is on the PATH.",
            "On a cluster, load its module. Without it, run the image by its name, with --without-engine.",
        )
    if sif:
        return found
    try:
        bubblewrap.require()
    except EngineUnavailable:
        if not found:
            raise
        return found
    return BUBBLEWRAP


def way_of(program: str) -> str:
    """Returns how a kernel or a program of an image runs: ``engine``, ``bubblewrap`` or ``apptainer``.

    Args:
        program: the program that `sandbox` returned; empty for an engine.
    """
    return (BUBBLEWRAP if program == BUBBLEWRAP else "apptainer") if program else "engine"


def fetch(found: Inspection, program: str, job: JobContext) -> LocalImage:
    """Unpacks an image into the store. Layers that the store has are not fetched again. Raises as `unpacked` does."""
    if not folder_of(found.image, job.store).is_dir():
        job.report(Log(f"Unpacking {size_text(found.image.size)} into the store."))
    image = unpacked(
        found.image,
        job.store,
        lambda complete, whole: job.report(Progress("pull", complete, whole)),
        keep_layers=found.location.kind == "registry",
    )
    return LocalImage(image.folder, program)


def _check_length(words: Sequence[str]) -> None:
    """Raises BadImage if no program can get so long arguments and variables: most of them are the image's own."""
    lengths = [len(word.encode("utf-8", "surrogateescape")) for word in words]
    if max(lengths) > _MOST_IN_ONE or sum(lengths) > _MOST_IN_ALL:
        raise BadImage(
            "The command and the variables of the image are longer than this system lets them be.",
            "An engine may be able to run the image: leave out --without-engine.",
        )


def _command(config: ImageConfig, given: tuple[str, ...]) -> tuple[str, ...]:
    first, default = (tuple(config.runtime.get(name) or ()) for name in ("Entrypoint", "Cmd"))
    if not (words := (*first, *(given or default))):
        raise UsageError("The image starts nothing by itself.", "Name a program behind the name of the image.")
    return words


def _variables(config: ImageConfig) -> Mapping[str, str]:
    pairs = (item.partition("=") for item in config.runtime.get("Env") or ())
    return {name: value for name, equals, value in pairs if name and equals}
