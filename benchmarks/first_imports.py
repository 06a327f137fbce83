"""`python -m benchmarks.first_imports PYTHON MODULE…`: which imported modules of an environment would get no bytecode.

Layers have no bytecode of test suites (`is_for_tests`). Each module is imported in a new process of PYTHON, whose
environment may come from pip or conda.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

from benchmarks.report import markdown
from jupyter_condabuild.conda.linking.bytecode import is_for_tests

_IMPORT = """
import importlib, json, os, sys
importlib.import_module(sys.argv[1])
files = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
sources = [file for file in files if file and file.endswith(".py") and "/site-packages/" in file]
print(json.dumps({file.rpartition("/site-packages/")[2]: os.path.getsize(file) for file in sources}))
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints a row for each module that imports modules of a test suite, and the sum of all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.first_imports", description=__doc__)
    parser.add_argument("python", type=Path, help="the Python of the environment")
    parser.add_argument("modules", nargs="+", metavar="MODULE", help="the modules to import, each in its own process")
    options = parser.parse_args(arguments)
    rows = [["import", "modules", "without bytecode", "bytes of their source"], ["---"] * 4]
    failed, every, left = [], 0, 0
    for module in options.modules:
        done = subprocess.run([options.python, "-c", _IMPORT, module], capture_output=True)
        if done.returncode:
            failed.append(module)
            continue
        sizes: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
        tests = [path for path in sizes if is_for_tests(path)]
        every, left = every + len(sizes), left + len(tests)
        if tests:
            rows.append([module, str(len(sizes)), str(len(tests)), str(sum(sizes[path] for path in tests))])
    print(markdown(rows))
    imported = len(options.modules) - len(failed)
    print(f"\n{imported} imports loaded {every} modules of packages; {left} of them get no bytecode.")
    if failed:
        print(f"These imports failed: {', '.join(failed)}.")


if __name__ == "__main__":
    main()
