"""Exported files are valid for the tools that read them, and do not depend on the user."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
import time
import uuid
from dataclasses import replace
from pathlib import Path

import docker
import pytest
import yaml
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from docker.models.containers import Container
from spdx_tools.spdx.parser.json.json_parser import parse_from_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

from jupyter_condabuild.conda.formats import dump, load
from jupyter_condabuild.conda.locking import lock
from jupyter_condabuild.conda.packages import PipPackage
from jupyter_condabuild.conda.prefix.snapshot import snapshot
from jupyter_condabuild.errors import BadReference, UsageError
from jupyter_condabuild.jobs.export import KINDS, SBOMS, ExportInputs, export, run
from jupyter_condabuild.jobs.exported_files import Exported
from jupyter_condabuild.jobs.exported_locks import without_local_packages
from jupyter_condabuild.oci.engine import builder
from jupyter_condabuild.oci.engine.daemon import Daemon
from jupyter_condabuild.oci.image import Reference
from jupyter_condabuild.planning.own_files.ignore_files import DOCKERIGNORE, IGNORED_FOLDERS, included_names
from jupyter_condabuild.requests.others import ExportRequest
from tests.conftest import missing
from tests.engines.test_dockerfile import HASH, conda, lockfile
from tests.parts.builds import Workshop, install, small_channel
from tests.parts.channel.package import File, Metadata
from tests.parts.command_line import CommandLine
from tests.parts.engines import DockerWorkshop

IMAGE = "registry.lab.org/team/env:v1"


def asked(*, lab: bool = True, reference: str = IMAGE, **given: object) -> ExportInputs:
    """Returns an environment with JupyterLab, or with only Python."""
    packages = (conda("jupyterlab", version="4.6.6"),) if lab else ()
    known = {"base": "debian:bookworm-slim", "installer": "micromamba", "version": "0.1.0", **given}
    return ExportInputs(lockfile(*packages), Reference.parse(reference) if reference else None, **known)  # type: ignore[arg-type]


def written(made: Exported, folder: Path) -> Path:
    """Returns the exported files."""
    for name, text in made.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def judged(schema: str, file: Path) -> None:
    """Validates a file with a schema of check-jsonschema."""
    check = Path(sys.executable).with_name("check-jsonschema")
    if not check.exists():
        missing("check-jsonschema is not installed")
    done = subprocess.run([check, "--builtin-schema", schema, file], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("image", [IMAGE, "ghcr.io/team/env:v1"])
@pytest.mark.parametrize("engine", ["layers", "docker"])
def test_the_workflow_for_github_is_valid(tmp_path: Path, image: str, engine: str) -> None:
    """The workflow matches GitHub's schema.

    A push builds with the base as the cache, and a schedule makes a new base.
    """
    folder = written(export("github-actions", asked(reference=image, engine=engine)), tmp_path)
    file = folder / ".github/workflows/environment-image.yml"
    judged("vendor.github-workflows", file)
    jobs = yaml.safe_load(file.read_text())["jobs"]
    commands = {name: " ".join(step.get("run", "") for step in job["steps"]) for name, job in jobs.items()}
    assert '--cache-from "$CACHE"' in commands["image"]
    assert re.search(r"jupyter-condabuild base .* --keep \d", commands["base"])
    assert f"--engine {engine}" in commands["image"]
    assert ("secrets.GITHUB_TOKEN" in file.read_text()) == image.startswith("ghcr.io")


@pytest.mark.parametrize("image", [IMAGE, "registry.gitlab.com/team/env:v1"])
@pytest.mark.parametrize("engine", ["layers", "docker"])
def test_the_pipeline_for_gitlab_is_valid(tmp_path: Path, image: str, engine: str) -> None:
    """The pipeline matches GitLab's schema, and takes passwords from masked variables."""
    folder = written(export("gitlab-ci", asked(reference=image, engine=engine)), tmp_path)
    judged("vendor.gitlab-ci", folder / ".gitlab-ci.yml")
    value = yaml.safe_load((folder / ".gitlab-ci.yml").read_text())
    assert ("services" in value[".condabuild"]) == (engine == "docker")
    assert "--cache-from" in value["environment-image"]["script"][0]


def test_pip_packages_make_ci_use_the_docker_engine() -> None:
    """Only pip installs the pip packages of a lock file."""
    pip = (PipPackage("tool", "1.0", index="pypi", sha256=HASH),)
    found = asked()
    text = export("gitlab-ci", replace(found, lockfile=replace(found.lockfile, pip=pip))).files[".gitlab-ci.yml"]
    assert "--engine docker --installer micromamba" in text


@pytest.mark.parametrize("lab", [True, False])
def test_the_file_for_compose_is_valid(tmp_path: Path, lab: bool) -> None:
    """The file matches Compose's schema. docker-compose reads it if it is installed."""
    folder = written(export("compose", asked(lab=lab)), tmp_path)
    judged("vendor.compose-spec", folder / "compose.yaml")
    if compose := shutil.which("docker-compose"):
        command = [compose, "--file", folder / "compose.yaml", "config"]
        done = subprocess.run(command, env={"JUPYTER_TOKEN": "x", "PATH": "/usr/bin"}, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert IMAGE in done.stdout


@pytest.mark.parametrize("lab", [True, False])
@pytest.mark.parametrize("image", [IMAGE, "registry.lab.org/team/9_lives.x:v1"])
def test_the_objects_for_kubernetes_are_valid(lab: bool, image: str) -> None:
    """Each object matches the strict schema of its kind. The pod has no unneeded privileges."""
    validate = pytest.importorskip("kubernetes_validate")
    text = export("kubernetes", asked(lab=lab, reference=image)).files["kubernetes.yaml"]
    objects = [value for value in yaml.safe_load_all(text) if value]
    for value in objects:
        validate.validate(value, "1.31", strict=True)
        assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", value["metadata"]["name"])
    assert [value["kind"] for value in objects] == [
        "PersistentVolumeClaim",
        "Deployment",
        *(["Service"] if lab else []),
    ]
    pod = objects[1]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["containers"][0]["image"] == image


def test_a_dev_container_is_reachable_by_ssh() -> None:
    """The file is JSON with the image, an existing user, and the sshd feature."""
    text = export("devcontainer", asked()).files[".devcontainer/devcontainer.json"]
    value = json.loads(text)
    assert value["image"] == IMAGE
    users = value["features"]["ghcr.io/devcontainers/features/common-utils:2"]
    assert (value["remoteUser"], users["userUid"]) == (users["username"], "1000")
    assert any("/sshd:" in feature for feature in value["features"])
    assert 2222 in value["forwardPorts"]


def test_the_apptainer_definition_has_valid_sections() -> None:
    """Header and sections are those in apptainer.org's "Definition files". The shell sections are valid shell."""
    text = export("apptainer", asked()).files["environment.def"]
    header = dict(line.split(": ", 1) for line in text.splitlines() if re.match(r"[A-Z]\w+: ", line))
    assert header == {"Bootstrap": "docker", "From": IMAGE}
    sections = re.split(r"^%(\w+)\n", text, flags=re.MULTILINE)
    assert sections[1::2] == ["environment", "runscript", "test", "help"]
    for script in sections[2:8:2]:
        subprocess.run(["sh", "-n"], input=script, text=True, check=True)
    assert re.search(r"jupyter lab --ip=127\.0\.0\.1 .*--allow-root;", text)


def slurm_job(folder: Path, made: Exported, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs an exported job as Slurm does: with bash, in a folder. Apptainer only prints its arguments."""
    (folder / "bin").mkdir(exist_ok=True)
    (folder / "bin" / "apptainer").write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    (folder / "bin" / "apptainer").chmod(0o755)
    ((name, text),) = made.files.items()
    (folder / name).write_text(text)
    environ = {"PATH": f"{folder / 'bin'}:/usr/bin:/bin", **variables}
    return subprocess.run(["bash", name, *words], cwd=folder, env=environ, capture_output=True, text=True)


def test_the_slurm_job_runs_a_command_in_the_sif(tmp_path: Path) -> None:
    """The options stand before the first command, as sbatch needs them. A GPU of the job is used. Words stay whole."""
    made = export("slurm", asked(lab=False))
    assert made.next == "sbatch env.slurm"
    head, _, _ = made.files["env.slurm"].partition("\nset -euo pipefail\n")
    assert all(line.startswith("#") for line in head.splitlines())
    assert "#SBATCH --job-name=env" in head
    assert f"jupyter condabuild sif {asked().image} -o env.sif" in head  # it needs no environment
    (tmp_path / "env.sif").touch()
    done = slurm_job(tmp_path, made, "python", "my script.py", SLURM_SUBMIT_DIR=str(tmp_path))
    sif = str(tmp_path / "env.sif")
    assert done.stdout.splitlines() == ["run", "--env", "PYTHONNOUSERSITE=1", sif, "python", "my script.py"]
    with_gpu = slurm_job(tmp_path, made, SLURM_JOB_GPUS="0").stdout.splitlines()
    assert with_gpu == ["run", "--env", "PYTHONNOUSERSITE=1", "--nv", "./env.sif"]


def test_the_name_of_an_image_is_enough_for_files_that_run_it(
    workshop: Workshop, registry: str, rattler_prefix: Path, tmp_path: Path
) -> None:
    """The lock file inside the image says what it starts and has. The active environment is another one."""
    packages = [(Metadata(name, "1", noarch="generic"), []) for name in ("jupyterlab", "ipykernel")]
    made = install(tmp_path / "env", small_channel(tmp_path / "channel", packages), "jupyterlab", "ipykernel")
    reference = f"{registry}/alone-{uuid.uuid4().hex}/env:v1"
    digest = workshop.build(made, reference=reference, push=True).event.digest
    run = CommandLine(tmp_path)
    run.environ["CONDA_PREFIX"] = str(rattler_prefix)
    assert run("export", "slurm", "-t", reference).status == 0
    assert "starts what the image starts: JupyterLab" in (tmp_path / "env.slurm").read_text()
    assert run("export", "jupyter-scheduler", "-t", reference).status == 0
    assert f"env@{digest}" in (tmp_path / "image_jobs.py").read_text()
    refused = run("export", "slurm", "-t", reference.replace("v1", "v2"))
    assert (refused.status, "v2" in refused.err) == (1, True), refused.err
    assert run("export", "slurm", rattler_prefix, "-t", reference, "--force").status == 0
    assert "starts what the image starts: Python" in (tmp_path / "env.slurm").read_text()
    assert run("export", "slurm").status == 2


def test_the_slurm_job_names_a_missing_sif_and_how_to_reach_jupyterlab(tmp_path: Path) -> None:
    """Without the image, the job fails with its path. With JupyterLab, the log has the command for the tunnel."""
    made = export("slurm", asked())
    failed = slurm_job(tmp_path, made, SIF="/elsewhere/my env.sif")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert "There is no image at /elsewhere/my env.sif" in failed.stderr
    (tmp_path / "env.sif").touch()
    assert slurm_job(tmp_path, made).stdout.startswith("ssh -L 8888:127.0.0.1:8888 -J ")
    assert "ssh" not in export("slurm", asked(lab=False)).files["env.slurm"]


def test_the_dockerfile_is_exported_with_its_files(tmp_path: Path) -> None:
    """Each file that the Dockerfile copies is exported, and .dockerignore includes it."""
    made = export("dockerfile", asked())
    folder = written(made, tmp_path)
    allowed = included_names(folder)
    for line in made.files["Dockerfile"].splitlines():
        if line.startswith("COPY ") and "--from" not in line:
            for word in line.split()[1:-1]:
                assert word.startswith("--") or word == "." or (word in made.files and word in allowed), line
    assert load(folder / "environment/conda-lock.yml").digest == asked().lockfile.digest


@pytest.mark.parametrize("base", ["oci-archive:/lab/base.tar", "docker-daemon:debian:12-slim"])
def test_a_dockerfile_needs_a_base_in_a_registry(base: str) -> None:
    """An archive and an image of an engine are refused by name: a Dockerfile cannot name them."""
    with pytest.raises(UsageError, match=f"the base is {base}") as refused:
        export("dockerfile", asked(base=base))
    assert "debian:12-slim" in refused.value.hint


def test_dockerignore_leaves_out_unneeded_files_and_passwords(tmp_path: Path) -> None:
    """The exported list has the files that a build leaves out. The user can include data again with a line."""
    for name in (*IGNORED_FOLDERS, "data", "logs"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_text("x")
    for name in ("a.py", "a.pyc", ".env", "x.log", "src~"):
        (tmp_path / name).write_text("x")
    assert included_names(tmp_path) == {"a.py", ".env"}  # .env is left out because of its name, see own_files
    (tmp_path / ".dockerignore").write_text(f"{DOCKERIGNORE}!data\n")
    assert included_names(tmp_path) == {".dockerignore", "a.py", "data", "data/x"}


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"dockerfile", *SBOMS}))
def test_an_image_with_a_missing_or_invalid_name_is_refused(kind: str) -> None:
    """No file is written."""
    with pytest.raises(UsageError):
        export(kind, asked(reference=""))
    with pytest.raises(BadReference):
        export(kind, asked(reference='x"\n  privileged: true'))


def test_packages_of_only_this_machine_are_left_out_and_named() -> None:
    """Editable installs and packages of local channels are named. The lock file does not have the editable installs."""
    pip = (PipPackage("mine", "1", url="file:mine", editable=True), PipPackage("known", "1", index="pypi"))
    local = conda("local", url="file:///home/me/channel/linux-64/local-1.0-0.conda")
    kept, lost = without_local_packages(lockfile(local, pip=pip))
    assert (lost, [package.name for package in kept.pip]) == (["mine", "local"], ["known"])


def test_the_command_writes_files_and_does_not_overwrite(tmp_path: Path) -> None:
    """Files have the right modes. A file with other content is kept without --force."""
    run = CommandLine(tmp_path)
    lock = tmp_path / "conda-lock.yml"
    lock.write_text(dump(lockfile(conda())))
    out = tmp_path / "out"
    done = run("export", "dockerfile", "--lockfile", lock, "-o", out, "--json")
    assert done.status == 0, done.err
    assert (out / "environment/entrypoint").stat().st_mode & 0o777 == 0o755
    assert {Path(path).name for path in done.json["files"]} >= {"Dockerfile", ".dockerignore", "conda-lock.yml"}
    before = (out / "Dockerfile").read_text()
    (out / "Dockerfile").write_text("mine")
    done = run("export", "dockerfile", "--lockfile", lock, "-o", out)
    assert (done.status, (out / "Dockerfile").read_text()) == (2, "mine")
    assert run("export", "dockerfile", "--lockfile", lock, "-o", out, "--force").status == 0
    assert (out / "Dockerfile").read_text() == before


def test_an_exported_dockerfile_can_be_built(
    tmp_path: Path, docker_workshop: DockerWorkshop, docker_client: docker.DockerClient, rattler_prefix: Path
) -> None:
    """A build of the exported folder, as in CI, makes an image that runs."""
    given = asked(
        base=docker_workshop.base, installer="rattler", installer_image=Reference.parse(docker_workshop.installer_image)
    )
    made = export("dockerfile", replace(given, lockfile=lock(snapshot(rattler_prefix))))
    folder = written(made, tmp_path / "repository")
    (folder / "notebook.py").write_text("import tqdm; print('works')")
    subprocess.run(["tar", "-cf", tmp_path / "context.tar", "-C", folder, "."], check=True)
    name = docker_workshop.name(what="exported")
    with Daemon.connect() as engine:
        options = builder.BuildOptions(name, {}, network=builder.network(engine))
        builder.build(engine, tmp_path / "context.tar", options, "buildkit", lambda answer: None)
        assert engine.run(name, ["python", "notebook.py"]) == (0, "works\n")
    assert docker_client.images.get(name).labels["org.jupyter.condabuild.environment"].startswith("sha256:")


def test_compose_runs_the_image(
    tmp_path: Path, docker_workshop: DockerWorkshop, rattler_prefix: Path, docker_client: docker.DockerClient
) -> None:
    """docker-compose starts the service, its command works, and a file can be written to the volume."""
    compose = shutil.which("docker-compose")
    if not compose:
        missing("docker-compose is not installed")
    name = docker_workshop.name(what="composed")
    docker_workshop.build(rattler_prefix, reference=name, load=True)
    folder = written(export("compose", asked(lab=False, reference=name)), tmp_path / "project")
    value = yaml.safe_load((folder / "compose.yaml").read_text())
    # This engine may have no own network, and the image has no JupyterLab. A web server is used instead.
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    script = "touch made && exec python -m http.server --bind 127.0.0.1 " + str(port)
    value["services"]["environment"] |= {"network_mode": "host", "command": ["sh", "-c", script]}
    (folder / "compose.yaml").write_text(yaml.safe_dump({"version": "3.8", **value}))
    base = [compose, "--project-name", f"condabuild-{port}", "--file", folder / "compose.yaml"]
    environ = {"PATH": "/usr/bin:/bin", "DOCKER_HOST": docker_workshop.docker_host or "unix:///var/run/docker.sock"}
    try:
        done = subprocess.run([*base, "up", "--detach"], env=environ, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        (container,) = docker_client.containers.list(filters={"name": f"condabuild-{port}"})
        assert "made" in _page(container, port)
    finally:
        subprocess.run([*base, "down", "--volumes"], env=environ, capture_output=True, check=True)
    assert not docker_client.containers.list(all=True, filters={"name": f"condabuild-{port}"})


def _page(container: Container, port: int) -> str:
    """Returns the answer of the server in the container. The engine may have a network of its own."""
    ask = f"import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:{port}/', timeout=5).read().decode())"
    deadline = time.monotonic() + 60
    while True:
        status, output = container.exec_run(["python", "-c", ask])
        if status == 0:
            return str(output.decode())
        assert time.monotonic() < deadline, output
        time.sleep(0.05)


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - {"dockerfile", *SBOMS}))
def test_a_missing_name_is_reported_before_the_environment_is_read(kind: str, tmp_path: Path) -> None:
    """The folder is not an environment. The first error is the missing name."""
    with pytest.raises(UsageError, match="the name of the image"):
        run(ExportRequest(kind=kind, prefix=tmp_path / "nowhere"), print)


def test_a_pipeline_uses_fixed_versions() -> None:
    """Actions have a commit, because a tag can be moved. Our own package has its version, and is a wheel."""
    text = export("github-actions", asked()).files[".github/workflows/environment-image.yml"]
    used = re.findall(r"uses: *(\S+)", text)
    assert len(used) == 4
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", one) for one in used), used
    for kind, path in (("github-actions", ".github/workflows/environment-image.yml"), ("gitlab-ci", ".gitlab-ci.yml")):
        text = export(kind, asked()).files[path]
        installed = re.findall(r"pip install (?:--quiet )?(.*)", text)
        assert set(installed) == {"'jupyter-condabuild==0.1.0'"}
        assert 'PIP_ONLY_BINARY: ":all:"' in text


@pytest.mark.parametrize("kind", ["spdx", "cyclonedx"])
def test_an_sbom_of_an_environment_is_a_file(kind: str, tmp_path: Path) -> None:
    """The SBOM belongs to no image, and has a licence for each package and a fixed date."""
    packages = [(Metadata("a", "1.0", noarch="generic", license="MIT"), [File("share/a", b"a")])]
    prefix = install(tmp_path / "env", small_channel(tmp_path / "channel", packages), "a")
    run = CommandLine(tmp_path)
    first = run("export", kind, prefix, "-o", tmp_path / "one")
    assert first.status == 0, first.err
    run("export", kind, prefix, "-o", tmp_path / "two")
    [file] = (tmp_path / "one/environment").iterdir()
    assert file.read_bytes() == (tmp_path / "two/environment" / file.name).read_bytes()
    text = file.read_text()
    assert '"MIT"' in text
    assert "1980-01-01T00:00:00" in text
    assert "pkg:oci" not in text
    if kind == "cyclonedx":
        assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    else:
        assert validate_full_spdx_document(parse_from_file(str(file))) == []
