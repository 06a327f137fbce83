"""`python -m benchmarks.sif IMAGE.tar`: writes an image of an OCI archive to a SIF, and measures time and memory.

The time is compared with that of the squashfs program alone, which reads the same files from one tar on the disk.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from benchmarks import report
from benchmarks.measure import Sample, measured, median
from benchmarks.report import seconds, size
from jupyter_condabuild.image.platforms import host_architecture
from jupyter_condabuild.oci.archive import Archive
from jupyter_condabuild.oci.layer import EPOCH
from jupyter_condabuild.oci.sif.squashfs import command
from jupyter_condabuild.oci.sif.writer import tar
from jupyter_condabuild.oci.tree.merged import merged

MOST_MEMORY = 300_000_000
MOST_TIMES = 2.0

_WRITE = """
import sys
from pathlib import Path
from jupyter_condabuild.oci.archive import Archive
from jupyter_condabuild.oci.sif.writer import write
write(Archive(Path(sys.argv[1])).image(sys.argv[2]), "", Path(sys.argv[3]))
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the figures. Ends with the status 1 if the time or the memory is above its limit."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sif", description=__doc__)
    parser.add_argument("image", type=Path, help="an OCI archive, as 'jupyter condabuild build -o image.tar' writes it")
    parser.add_argument("--rounds", type=int, default=3, help="number of runs; the medians are printed (default: 3)")
    parser.add_argument("--work", type=Path, help="the folder for temporary files")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="condabuild-bench-", dir=options.work) as folder:
        work = Path(folder)
        files = work / "files.tar"
        with closing(Archive(options.image)) as archive, files.open("wb") as out:
            out.writelines(tar(merged(archive.image(host_architecture()), [], [])))
        pairs = [(_squashed(files, work), _written(options.image, work)) for _ in range(options.rounds)]
    alone, whole = median([pair[0] for pair in pairs]), median([pair[1] for pair in pairs])
    times = whole.seconds / alone.seconds
    print(report.about(report.machine("", options.rounds)))
    print(
        f"A SIF of {size(whole.moved or 0)} from {size(options.image.stat().st_size)} of layers takes "
        f"{seconds(whole.seconds)}. The squashfs program alone takes {seconds(alone.seconds)}: {times:.2f} times "
        f"(limit {MOST_TIMES}). The peak memory of all processes is {size(whole.memory)} (limit {size(MOST_MEMORY)})."
    )
    if times > MOST_TIMES or whole.memory > MOST_MEMORY:
        raise SystemExit(1)


def _squashed(files: Path, work: Path) -> Sample:
    out = work / "alone.squashfs"
    out.touch()
    with files.open("rb") as tarball, measured(os.getpid(), itself=False) as sample:
        subprocess.run(command(out, EPOCH), stdin=tarball, check=True, stdout=subprocess.DEVNULL)
    out.unlink()
    return sample


def _written(image: Path, work: Path) -> Sample:
    out = work / "image.sif"
    with measured(os.getpid(), itself=False) as sample:
        subprocess.run([sys.executable, "-c", _WRITE, image, host_architecture(), out], check=True)
    sample.moved = out.stat().st_size
    out.unlink()
    return sample


if __name__ == "__main__":
    main()
