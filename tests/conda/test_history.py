"""The requested specs are read from the history of every version of conda."""

from __future__ import annotations

import pytest

from jupyter_condabuild.conda.prefix import history


def test_the_latest_spec_of_a_package_wins() -> None:
    """Updates replace a spec, and removals delete it. A spec that conda itself dropped is not restored."""
    text = """
==> 2024-01-01 00:00:00 <==
# cmd: conda create -n x python=3.10 numpy
# update specs: ['python=3.10', 'numpy', 'scipy']
==> 2024-01-02 00:00:00 <==
# update specs: ["numpy[version='>=1.26']", 'conda-forge::pandas >=2']
==> 2024-01-03 00:00:00 <==
# remove specs: ['scipy']
# neutered specs: ['python']
"""
    found = history.read(text)
    assert found.requested == {
        "python": "python",
        "numpy": "numpy[version='>=1.26']",
        "pandas": "conda-forge::pandas >=2",
    }


def test_the_channels_of_the_latest_command_come_first() -> None:
    """Both spellings of the option are found. Each channel comes once."""
    text = "# cmd: conda create -c a --channel=b x\n# cmd: conda install --channel c -c a y\n"
    assert history.read(text).channels == ("c", "a", "b")


@pytest.mark.parametrize(
    "text", ["", "# update specs: [", "# update specs: {}", "# cmd: conda create 'x", "\0", "# update specs: [1, None]"]
)
def test_a_broken_line_is_ignored(text: str) -> None:
    """Broken lines do not stop a snapshot, because a history is written for people."""
    assert "numpy" in history.read(f"{text}\n# update specs: ['numpy']\n").requested


def test_the_oldest_format_is_read() -> None:
    """Before version 4.4, conda wrote a list without quotes."""
    assert history.read("# install specs: numpy,pandas >=1,<2\n").requested == {
        "numpy": "numpy",
        "pandas": "pandas >=1,<2",
    }


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("numpy", "numpy"),
        ("numpy>=1.2", "numpy"),
        ("numpy 1.2 py_0", "numpy"),
        ("conda-forge::numpy=1", "numpy"),
        ("https://h/c::numpy", "numpy"),
        ("numpy[version='1']", "numpy"),
        ("r-base!=4", "r-base"),
        ("_libgcc_mutex", "_libgcc_mutex"),
        ("Numpy ==1", "numpy"),
        ("", ""),
    ],
)
def test_the_name_of_a_spec_is_found(spec: str, name: str) -> None:
    """The name is found in a spec with a channel, a version, a build and brackets."""
    assert history.spec_name(spec) == name
