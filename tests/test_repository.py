"""The files around the package: GitHub's workflows and forms, the citation, and the files of a release."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
GITHUB = ROOT / ".github"
WORKFLOWS = sorted(GITHUB.glob("workflows/*.yml"))

SCHEMAS = {
    "workflows/*.yml": "vendor.github-workflows",
    "ISSUE_TEMPLATE/config.yml": "vendor.github-issue-config",
    "ISSUE_TEMPLATE/[!c]*.yml": "vendor.github-issue-forms",
    "dependabot.yml": "vendor.dependabot",
    "../CITATION.cff": "vendor.citation-file-format",
}
"""Files in .github, and the copies of their schemas in check-jsonschema."""


def load(path: Path) -> dict[str, Any]:
    """Returns the mapping in a YAML file."""
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("pattern", SCHEMAS)
def test_each_file_matches_its_schema(pattern: str) -> None:
    """GitHub silently ignores a form with an error, and reports an invalid workflow only after a push."""
    files = sorted(GITHUB.glob(pattern))
    assert files
    check = Path(sys.executable).with_name("check-jsonschema")
    done = subprocess.run(
        [check, "--builtin-schema", SCHEMAS[pattern], *files], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_by_commit(path: Path) -> None:
    """A tag can be moved to other code. A comment has the version for readers and for Dependabot."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if re.match(r"\s*(- )?uses:", line)]
    assert lines
    for line in lines:
        assert re.search(r"uses: [\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line), line


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_have_only_read_permission(path: Path) -> None:
    """Each of the two jobs that publish has one more permission. A checkout leaves no token."""
    workflow = load(path)
    assert workflow["permissions"] == {"contents": "read"}
    more = {name: job["permissions"] for name, job in workflow["jobs"].items() if "permissions" in job}
    assert more == (
        {"pypi": {"id-token": "write"}, "github": {"contents": "write"}} if path.name == "release.yml" else {}
    )
    for name, job in workflow["jobs"].items():
        assert job["timeout-minutes"], name
        for step in job["steps"]:
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False, name


def test_only_the_publishing_job_has_the_environment_pypi() -> None:
    """PyPI trusts this workflow in this environment. The rules of the environment say who may release."""
    jobs = load(GITHUB / "workflows" / "release.yml")["jobs"]
    assert {name: job["environment"] for name, job in jobs.items() if "environment" in job} == {"pypi": "pypi"}
    # It runs none of our code, which could use its identity.
    assert [step["uses"].partition("@")[0] for step in jobs["pypi"]["steps"]] == [
        "actions/download-artifact",
        "pypa/gh-action-pypi-publish",
    ]


def listed_for(system: str) -> list[str]:
    """Returns the tests that the workflow runs on a system other than Linux."""
    matrix = load(GITHUB / "workflows" / "test.yml")["jobs"]["elsewhere"]["strategy"]["matrix"]["include"]
    (found,) = [entry["tests"].split() for entry in matrix if entry["name"] == system]
    return found


def passes(*arguments: str) -> None:
    """Runs pytest without the fixtures of this suite."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--noconftest", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "skipped" not in done.stdout


def test_tests_for_windows_need_no_posix_system() -> None:
    """The tests pass without the modules and functions that Python has only on POSIX systems."""
    passes("-p", "tests.parts.without_posix", *listed_for("Windows"))


def test_tests_for_macos_need_no_fixtures() -> None:
    """macOS runs the tests for Windows and some others. They pass without an engine, a registry and an environment."""
    windows, macos = listed_for("Windows"), listed_for("macOS")
    assert set(windows) < set(macos)
    passes(*(path for path in macos if path not in windows))


class TestReleaseNotes:
    """The tests of scripts/release-notes."""

    @pytest.fixture
    def files(self, tmp_path: Path) -> list[str]:
        """A changelog, and the package.json with a version."""
        changelog, package = tmp_path / "CHANGELOG.md", tmp_path / "package.json"
        changelog.write_text(
            "# Changelog\n\n## [Unreleased]\n\n- Later.\n\n## [0.2.0] - 2026-11-02\n\n### Added\n\n- One `thing`.\n\n"
            "- Another.\n\n## [0.2.0-rc1] - 2026-11-01\n\n- Early.\n\n## [0.1.0] - 2026-10-01\n\n- First.\n"
        )
        package.write_text('{\n  "name": "jupyter-condabuild",\n  "version": "0.2.0",\n  "private": true\n}\n')
        return [str(changelog), str(package)]

    def notes(self, tag: str, files: list[str]) -> subprocess.CompletedProcess[str]:
        """Returns the output of the script."""
        command = [str(ROOT / "scripts" / "release-notes"), tag, *files]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def test_the_notes_are_the_section_of_the_version(self, files: list[str]) -> None:
        """The notes go from the heading of the version to the next heading."""
        assert self.notes("v0.2.0", files).stdout == "### Added\n\n- One `thing`.\n\n- Another.\n"

    def test_the_tag_must_have_the_version_of_the_package(self, files: list[str]) -> None:
        """A tag for another version would publish a wheel with a wrong name."""
        done = self.notes("v0.1.0", files)
        assert done.returncode == 1
        assert "the tag is v0.1.0, and the version in package.json is 0.2.0" in done.stderr

    def test_a_section_is_required(self, files: list[str]) -> None:
        """Each release has notes."""
        changelog = Path(files[0])
        changelog.write_text(changelog.read_text().replace("## [0.2.0] - 2026-11-02\n", ""))
        done = self.notes("v0.2.0", files)
        assert (done.returncode, done.stdout) == (1, "")
        assert "no section '## [0.2.0]'" in done.stderr

    def test_the_version_is_read_from_package_json(self) -> None:
        """The script reads the format of package.json in the repository."""
        stderr = self.notes("v", []).stderr
        assert re.search(r"the version in package\.json is \d+\.\d+\.\d+", stderr), stderr


def test_the_citation_agrees_with_the_package() -> None:
    """Its title and licence are the same as in pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = load(ROOT / "CITATION.cff")
    assert citation["title"] == project["name"]
    assert citation["license"] == project["license"]
    assert [author["name"] for author in citation["authors"]] == [author["name"] for author in project["authors"]]


def test_commands_for_contributors_exist() -> None:
    """Each `make` target and script in the instructions for contributors exists."""
    text = "".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "CONTRIBUTING.md", GITHUB / "pull_request_template.md")
    )
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z]+)", text))
    assert named
    assert named <= targets
    for script in set(re.findall(r"\bscripts/[\w-]+(?:\.py)?", text)):
        assert (ROOT / script).is_file(), script
