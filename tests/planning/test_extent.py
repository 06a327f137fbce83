"""The number and the size of the files of a place."""

from __future__ import annotations

from pathlib import Path

from jupyter_condabuild.planning.own_files.extent import Extent
from tests.parts.outside import Machine


def test_the_files_of_a_place_are_counted_up_to_a_limit(tmp_path: Path) -> None:
    """The folder may be a disk full of data. Environments in it do not count."""
    machine = Machine(tmp_path)
    for number in range(4):
        machine.put(machine.data / f"{number}/x.py", "12")
    machine.put(machine.data / "env/conda-meta/history")
    assert str(Extent.of(machine.data)) == "4 files, 8 B"
    assert Extent.of(machine.data, 4).complete
    assert Extent.of(machine.data, 3) == (3, 6, False)
    assert str(Extent.of(machine.data, 3)) == "more than 3 files, 6 B"
    assert str(Extent.of(machine.data / "0/x.py")) == "1 file, 2 B"
