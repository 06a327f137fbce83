"""Console scripts as installers write them from `name = module:function`."""

from __future__ import annotations

TEMPLATE = """#!{python}
# -*- coding: utf-8 -*-
import re
import sys

from {module} import {name}

if __name__ == '__main__':
    sys.argv[0] = re.sub(r'(-script\\.pyw?|\\.exe)?$', '', sys.argv[0])
    sys.exit({call}())
"""


def script(entry_point: str, prefix: str) -> tuple[str, str]:
    """Path in the prefix and text of the script for one entry point."""
    command, _, target = entry_point.partition(" = ")
    module, _, call = target.partition(":")
    python = f"{prefix}/bin/python"
    return f"bin/{command}", TEMPLATE.format(python=python, module=module, name=call.split(".")[0], call=call)
