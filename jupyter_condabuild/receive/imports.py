"""The imports of notebooks, and the program that tries imports in a container."""

from __future__ import annotations

import ast
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

from jupyter_condabuild.errors import UsageError
from jupyter_condabuild.files import read_regular

MOST_BYTES = 64 << 20
"""The largest size in bytes of a notebook."""

MOST_CODE = 1 << 19
"""The largest number of characters in the cells that may import something. To parse a character needs up to 600 B."""

SECONDS = 120
"""The time that one import has."""

PROGRAM = """
import glob, json, os, subprocess, sys
from concurrent.futures import ThreadPoolExecutor

wanted, out, seconds = json.loads(sys.argv[1]), sys.argv[2], int(sys.argv[3])

def of_package(name):
    found = set()
    for record in glob.glob(os.path.join(sys.prefix, "conda-meta", glob.escape(name) + "-*.json")):
        with open(record) as file:
            value = json.load(file)
        if value.get("name") != name:
            continue
        for path in value.get("files", ()):
            parts = path.split("/site-packages/")[-1].split("/") if "/site-packages/" in path else []
            top = parts[0].split(".")[0] if parts else ""
            is_module = len(parts) == 1 and parts[0].endswith((".py", ".so"))
            is_package = len(parts) == 2 and parts[1] == "__init__.py"
            if (is_module or is_package) and top.isidentifier() and not top.startswith(("_", "test")):
                found.add(top)
    return found

def tried(module):
    command = [sys.executable, "-c", "import importlib, sys; importlib.import_module(sys.argv[1])", module]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return module, "The import takes more than %d s." % seconds
    if done.returncode < 0:
        return module, "The import was ended by the signal %d." % -done.returncode
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return module, "" if not done.returncode else (lines or ["The import failed."])[-1][:1000]

modules = set(wanted["modules"]).union(*map(of_package, wanted["packages"]))
with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as threads:
    results = dict(threads.map(tried, sorted(modules)))
with open(out, "w") as file:
    json.dump(results, file)
"""
"""Imports modules, each in a process of its own, and writes the error of each (empty if there is none) to a file.

Its arguments are a JSON object with ``modules``, and ``packages`` of conda whose modules are imported; the file; and
the seconds that an import has.
"""

_TIMED = re.compile(r"\s*%%(?:time|timeit|capture|prun)\b")
"""Magics whose cell is Python of the kernel. Source: IPython's documentation, "Built-in magic commands"."""
_MAGIC = re.compile(r"\s*[%!?]|.*\?\s*$|\s*\w+\s*=\s*[%!]")


def imports_of(notebook: Path) -> set[str]:
    """Returns the top-level modules that the code cells of a notebook import, without those beside the notebook.

    Raises UsageError if the file is no notebook.
    """
    try:
        cells = json.loads(read_regular(notebook, MOST_BYTES, follow=True))["cells"]
        code = [cell["source"] for cell in cells if cell["cell_type"] == "code"]
        texts = [text if isinstance(text, str) else "".join(text) for text in code]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else "its content is not that of an .ipynb file"
        raise UsageError(f"{notebook} is no notebook that can be read: {reason}.") from None
    texts = [text for text in texts if "import" in text]
    if sum(map(len, texts)) > MOST_CODE:
        raise UsageError(
            f"The cells of {notebook} that import modules have more than {MOST_CODE} characters.",
            "Move the data out of the code, or name a notebook that has the imports alone.",
        )
    found = {name for text in texts for name in _imports(text)}
    folder = notebook.absolute().parent
    return {name for name in found if not os.path.isdir(folder / name) and not os.path.exists(folder / f"{name}.py")}


def _imports(text: str) -> Iterator[str]:
    lines = text.splitlines()
    if lines and lines[0].lstrip().startswith("%%") and not _TIMED.match(lines[0]):
        return  # the cell is for another language or program
    try:
        tree = ast.parse("\n".join(_without_magics(lines)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # such a cell does not run anywhere
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def _without_magics(lines: list[str]) -> Iterator[str]:
    """Yields the lines with ``pass`` in place of those of IPython, which may go on in the next line."""
    continued = False
    for line in lines:
        if continued:
            yield ""
        elif _MAGIC.match(line):
            yield line[: len(line) - len(line.lstrip())] + "pass"
        else:
            yield line
            continue
        continued = line.endswith("\\")
