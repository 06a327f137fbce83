"""The reports of the benchmarks: the table, the chart and the page match the samples."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks import chart, cuda, document, floor, report, sif
from benchmarks.measure import Sample
from benchmarks.rows import Row
from jupyter_condabuild.oci import archive
from tests.parts.small_image import three_layers

SVG = "{http://www.w3.org/2000/svg}"


def row(name: str, target: float = 0.0, **seconds: float) -> Row:
    return Row(name, target, samples={key: [Sample(value), Sample(value)] for key, value in seconds.items()})


ROWS = [
    row("cold", 15, BuildKit=100.0, ours=10.0),
    row("unchanged & fast", BuildKit=10.0, ours=0.1),
    row("only ours", ours=1.0),
    row("packed", **{"conda-pack": 1.0, "ours": 1.0}),
]


@pytest.fixture
def picture() -> ElementTree.Element:
    return ElementTree.fromstring(chart.svg(ROWS, ["BuildKit", "conda-pack"], "ours"))


def bars(picture: ElementTree.Element, kind: str) -> list[float]:
    """Returns the widths of a pipeline's bars, without its mark in the legend."""
    return [float(bar.attrib["width"]) for bar in picture.iter(f"{SVG}rect") if bar.get("class") == kind][1:]


def test_the_length_of_a_bar_is_logarithmic(picture: ElementTree.Element) -> None:
    """If the values have three powers of ten, a tenth of the time is a third of the width less."""
    third = chart.BARS / 3
    assert bars(picture, "other") == pytest.approx([3 * third, 2 * third, third], abs=0.1)
    assert bars(picture, "ours") == pytest.approx([2 * third, 0, third], abs=0.1)


def test_a_bar_has_its_seconds_and_our_bar_has_the_ratio(picture: ElementTree.Element) -> None:
    """A row with only one of both pipelines has no ratio."""
    words = ["".join(text.itertext()) for text in picture.iter(f"{SVG}text")]
    assert {"100.0 s", "10.0 s 10.0x", "0.10 s 100.0x", "1.00 s 1.0x", "unchanged & fast"} <= set(words)
    assert "only ours" not in words


def test_the_scale_has_a_line_for_each_power_of_ten(picture: ElementTree.Element) -> None:
    """The lines go from the power below the smallest value to the power above the largest value."""
    ticks = [text.text for text in picture.iter(f"{SVG}text") if text.get("class") == "quiet"]
    assert ticks == ["0.1 s", "1 s", "10 s", "100 s"]


def test_the_table_names_a_pipeline_without_a_column() -> None:
    """conda-pack has only one row."""
    lines = report.table(ROWS, ["BuildKit", "ours"]).splitlines()
    assert lines[2] == "| cold | 100.0 s | 10.0 s | 10.0x | 15x |"
    assert lines[4] == "| only ours |  | 1.00 s |  |  |"
    assert lines[5] == "| packed | conda-pack: 1.00 s | 1.00 s | 1.0x |  |"


def test_rows_are_read_unchanged_from_json() -> None:
    """The docs get exactly the measured values."""
    rows = {str(number): one for number, one in enumerate(ROWS)}
    assert report.from_json(json.loads(json.dumps(report.as_json(rows)))) == rows


def test_only_the_text_between_the_markers_is_replaced() -> None:
    """The text can be replaced again. A page without markers does not change."""
    page = f"before\n{document.BEGIN}\nold\n{document.END}\nafter\n"
    once = document.replaced(page, "new")
    assert once == f"before\n{document.BEGIN}\n\nnew\n\n{document.END}\nafter\n"
    assert document.replaced(once, "new") == once
    for wrong in ("nothing", page.replace(document.END, ""), page.replace(document.BEGIN, "")):
        with pytest.raises(ValueError, match="must have the lines"):
            document.replaced(wrong, "new")


def test_the_page_has_every_section_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sections without a measurement are left out. The chart is written next to the page."""
    result: dict[str, Any] = {
        "machine": report.machine("29.0", 3),
        "environment": {"text": "The environment: 75 packages."},
        "changed": {"small": 120_000},
        "table": report.as_json({"cold": ROWS[0], "packed": ROWS[3]}),
        "small": {"a start": 0.5},
        "memory": {"seconds": 20.0, "peak": 100_000_000, "limit": 300_000_000},
    }
    file, page, picture = (tmp_path / name for name in ("result.json", "page.md", "picture.svg"))
    file.write_text(json.dumps(result))
    page.write_text(f"{document.BEGIN}{document.END}")
    monkeypatch.setattr(document, "PAGE", page)
    monkeypatch.setattr(document, "PICTURE", picture)
    document.main([str(file)])
    text = page.read_text()
    for part in (
        "75 packages",
        "small 120 kB",
        "Docker Engine 29.0",
        "(pictures/picture.svg)",
        "| cold |",
        "conda-pack: ",
        "| a start | 0.50 s |",
        "100 MB",
    ):
        assert part in text
    assert "floor" not in text.lower()
    assert ElementTree.parse(picture).getroot().tag == f"{SVG}svg"


def test_the_floor_with_bytecode_includes_the_compiler() -> None:
    """The rest of a build, without the necessary steps, is reported, too."""
    times = {"clock": 1.0, "busy": 2.0, "idle": 0.0, "other": 0.0}
    figures = {
        "without": {"tar_bytes": 10**9, "floor": times, "layers": 1.5},
        "with": {"tar_bytes": 2 * 10**9, "floor": times, "layers": 6.0},
        "compiler": {**times, "busy": 3.5},
        "cold": {"clock": 5.0, "busy": 9.0, "idle": 1.0, "other": 0.25},
    }
    text = floor.text(figures)
    assert "| times the floor | 1.50x | 3.00x |" in text
    assert "| the registry | 0.25 s |" in text
    assert re.search(r"\| other: .* \| 3\.25 s \|", text)


def test_a_row_for_more_processors_than_the_machine_has_says_so() -> None:
    """Its memory is measured, its time is not."""
    row = {"layers": 3.0, "processor": 4.0, "memory": 10**8}
    text = cuda.text({"scale": 1.0, "tar_bytes": 10**9, "floor": 4.0, "rows": {"2": row, "4": row}, "cores": 2})
    assert "| 2 | 2.00 s | 3.00 s | 1.50x | 4.00 s | 100 MB |" in text
    assert "| 4 |  | needs 4 processors |  | 4.00 s | 100 MB |" in text


def test_the_page_in_the_docs_has_its_markers() -> None:
    """The page has the markers that a benchmark run needs to write its results."""
    assert document.replaced(document.PAGE.read_text(encoding="utf-8"), "new")


def test_the_benchmark_of_sifs_prints_time_and_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It compares with the squashfs program alone, and fails if a figure is above its limit."""
    archive.write(three_layers(), "", tmp_path / "image.tar")
    words = [str(tmp_path / "image.tar"), "--rounds", "1", "--work", str(tmp_path)]
    monkeypatch.setattr(sif, "MOST_TIMES", 1e6)
    sif.main(words)
    assert re.search(r"alone takes .* s: [\d.]+ times", capsys.readouterr().out)
    monkeypatch.setattr(sif, "MOST_MEMORY", 1)
    with pytest.raises(SystemExit):
        sif.main(words)
    assert os.listdir(tmp_path) == ["image.tar"]
