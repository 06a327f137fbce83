"""A machine with an environment that uses files outside of its prefix."""

from __future__ import annotations

import re
from pathlib import Path

from jupyter_condabuild.conda.prefix.launch import launch_variables
from jupyter_condabuild.planning.inputs import Inputs, read_inputs
from jupyter_condabuild.requests.build import PlanRequest
from jupyter_condabuild.requests.job_context import open_job
from tests.parts.jobs import build_request, plan_request
from tests.parts.small_prefix import SITE, SmallPrefix


class Machine:
    """A home folder with an environment of one package below it, and shared folders beside it."""

    def __init__(self, folder: Path) -> None:
        self.home, self.data = folder / "home/ada", folder / "data"
        self.prefix = SmallPrefix(self.home / "envs/demo")
        self.prefix.python()
        self.user_site = self.home / ".local" / SITE
        self.store = folder / "store"

    def put(self, path: Path, text: str = "x = 1\n") -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def install(self, site: Path, name: str, version: str = "1.0") -> None:
        """Writes a module and its dist-info."""
        self.put(site / name / "__init__.py", f"WHERE = {str(site)!r}\n")
        info = site / f"{name}-{version}.dist-info"
        self.put(info / "METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nLicense: MIT\n")
        self.put(info / "RECORD", f"{name}/__init__.py,,\n{info.name}/METADATA,,\n{info.name}/RECORD,,\n")

    def options(self, given: dict[str, object]) -> dict[str, object]:
        variables = {"HOME": str(self.home), **given.pop("variables", {})}  # type: ignore[dict-item]
        launch = launch_variables((), variables, self.home)
        return {"prefix": self.prefix.path, "store_dir": self.store, "launch": list(launch), **given}

    def read(self, kind: type[PlanRequest] = PlanRequest, **given: object) -> Inputs:
        make = plan_request if kind is PlanRequest else build_request
        with open_job(request := make(**self.options(given)), lambda event: None) as job:
            return read_inputs(request, job)

    def warnings(self, **given: object) -> list[str]:
        """Returns the messages of the warnings of files outside, with the folder of the test as T."""
        codes = ("outside-prefix", "outside-settings", "dangling-links", "outside-taken")
        found = [item for item in self.read(**given).warnings if item.code in codes]
        return [
            re.sub(r"(files?), [\d.]+ k?B", r"\1", item.message.replace(str(self.home.parents[1]), "T"))
            for item in found
        ]
