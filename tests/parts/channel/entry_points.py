"""Console scripts as installers write them for `name = module:function`."""

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
    """Returns the path in the prefix and the text of the script for an entry point."""
    command, _, target = entry_point.partition(" = ")
    module, _, call = target.partition(":")
    python = f"{prefix}/bin/python"
    return f"bin/{command}", TEMPLATE.format(python=python, module=module, name=call.split(".")[0], call=call)
