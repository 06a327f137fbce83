"""Stands for Apptainer, which no package here has: reads its arguments as Apptainer does, and runs bubblewrap instead.

``python apptainer_stand_in.py run|exec [FLAGS] IMAGE [WORDS]``. A flag that Apptainer does not have is an error. A SIF
is unpacked beside it, once, and its own script starts the program. Of a file that is no SIF, what was understood is
printed as JSON.

Source: github.com/apptainer/apptainer, cmd/internal/cli/action_flags.go; apptainer.org, "Environment and Metadata".
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

SWITCHES = {
    *("containall", "contain", "cleanenv", "no-privs", "no-eval", "net", "nv", "no-home", "no-init", "pid", "ipc"),
    *("writable", "writable-tmpfs", "keep-privs", "rocm", "compat", "fakeroot", "userns", "uts", "no-umask"),
}
VALUES = {
    "bind",
    "home",
    "workdir",
    "network",
    "pwd",
    "cwd",
    "no-mount",
    "env",
    "env-file",
    "overlay",
    "scratch",
    "dns",
}


def parse(words: list[str]) -> tuple[str, dict[str, list[str]], list[str]]:
    """Returns the image, the values of each flag, and the words for the container. The first other word ends flags."""
    flags: dict[str, list[str]] = {}
    while words and words[0].startswith("--"):
        name, equals, value = words.pop(0)[2:].partition("=")
        if name in VALUES:
            flags.setdefault(name, []).append(value if equals else words.pop(0))
        elif name in SWITCHES and not equals:
            flags[name] = []
        else:
            sys.exit(f"Error: unknown flag: --{name}")
    return words[0], flags, words[1:]


def is_sif(image: str) -> bool:
    """Whether a path is a SIF (sif-spec, "Global header": the magic follows 32 bytes for the start)."""
    if Path(image).is_dir():
        return False
    with open(image, "rb") as file:
        return file.read(41)[32:] == b"SIF_MAGIC"


def unpacked(image: str) -> str:
    """Returns the folder with the files of a SIF."""
    folder = f"{image}.{os.stat(image).st_mtime_ns}.files"
    if not Path(folder).is_dir():
        rows = subprocess.run(["siftool", "list", image], check=True, capture_output=True, text=True).stdout
        [start] = re.findall(r"\|(\d+)-\d+ +\|FS \(Squashfs", rows)
        subprocess.run(
            ["unsquashfs", "-q", "-n", "-o", start, "-d", folder, image], check=True, stdout=subprocess.DEVNULL
        )
    return folder


def main() -> None:
    """Runs the words in a sandbox with what the flags allow, and nothing else."""
    action, *rest = sys.argv[1:]
    if action not in ("run", "exec"):
        sys.exit(f"Error: unknown command {action!r}")
    if strange := [name for name in os.environ if name.startswith(("APPTAINER_B", "SINGULARITY")) or "CANARY" in name]:
        sys.exit(f"Error: {strange} reached the program")
    image, flags, words = parse(rest)
    given = {name[13:]: value for name, value in os.environ.items() if name.startswith("APPTAINERENV_")}
    if is_sif(image):
        image, words = unpacked(image), [f"/.singularity.d/actions/{action}", *words]
    if not Path(image).is_dir():
        print(json.dumps({"action": action, "image": image, "flags": flags, "words": words, "variables": given}))
        return
    if missing := {"containall", "cleanenv", "no-privs"} - flags.keys():
        sys.exit(f"Error: {missing} are not given, and would be needed for a container without the home folder")
    (home, inside), (work,) = flags["home"][0].split(":"), flags["workdir"]
    for name in ("tmp", "var_tmp"):
        Path(work, name).mkdir(exist_ok=True)
    binds = [(home, inside), (f"{work}/tmp", "/tmp"), (f"{work}/var_tmp", "/var/tmp")]
    binds += [(source, target) for spec in flags.get("bind", ()) for source, target in [spec.split(":")]]
    command = ["bwrap", "--unshare-all", "--unshare-user", "--cap-drop", "ALL", "--die-with-parent"]
    if "net" not in flags:
        command.append("--share-net")
    for entry in sorted(os.scandir(image), key=lambda one: one.name):
        if entry.is_symlink():
            command += ["--symlink", os.readlink(entry.path), f"/{entry.name}"]
        elif entry.name not in ("dev", "proc", "tmp", "var", "home", "run"):
            command += ["--ro-bind", entry.path, f"/{entry.name}"]
    command += ["--dev", "/dev", "--proc", "/proc"]
    for source, target in binds:
        command += ["--bind", source, target]
    command += ["--chdir", flags["pwd"][0], "--", *words]
    os.execvpe("bwrap", command, {"HOME": inside, **given})


if __name__ == "__main__":
    main()
