"""`python -m benchmarks.document RESULT.json`: writes the figures and the chart of a run into docs/benchmarks.md."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import bytecode, chart, cuda, floor, memory, report, small

ROOT = Path(__file__).parents[1]
PAGE, PICTURE = ROOT / "docs/benchmarks.md", ROOT / "docs/pictures/benchmarks.svg"
BEGIN, END = "<!-- figures: python -m benchmarks.document -->", "<!-- end of figures -->"
SECTIONS = {
    "The command itself": ("small", small),
    "The processor's floor": ("floor", floor),
    "Many processors": ("cuda", cuda),
    "Memory": ("memory", memory),
    "Bytecode": ("bytecode", bytecode),
}
OTHERS, OURS = ("BuildKit", "conda-pack"), "ours"


def main(arguments: Sequence[str] | None = None) -> None:
    """Parses the arguments of the command line, and writes the page and the chart."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.document", description=__doc__)
    parser.add_argument("result", type=Path, metavar="RESULT.json", help="the file of `python -m benchmarks --json`")
    result = json.loads(parser.parse_args(arguments).result.read_bytes())
    page = replaced(PAGE.read_text(encoding="utf-8"), figures(result))
    PICTURE.write_text(chart.svg(list(report.from_json(result["table"]).values()), OTHERS, OURS), encoding="utf-8")
    PAGE.write_text(page, encoding="utf-8")


def replaced(page: str, text: str) -> str:
    """Returns the page with `text` between its markers. Raises ValueError if a marker is missing."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page must have the lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{after}"


def figures(result: dict[str, Any]) -> str:
    """Returns the figures of a run as Markdown."""
    rows = list(report.from_json(result["table"]).values())
    pipelines = list(rows[0].samples)
    parts = [
        f"{report.about(result['machine'])}.",
        f"{result['environment']['text']} {report.changed(result['changed'])}",
        f"![Seconds of {OTHERS[0]} and ours, row by row](pictures/{PICTURE.name})",
        report.table(rows, pipelines),
    ]
    for title, (name, module) in SECTIONS.items():
        if name in result:
            parts += [f"### {title}", module.text(result[name])]
    return "\n\n".join(parts)


if __name__ == "__main__":
    main()
