"""Measures how long it takes to read an environment: `python -m benchmarks.snapshot [PREFIX]`.

The snapshot is measured on 500 artificial packages of 100 files each. The drift is measured on a real prefix (default:
that of the demo). "Cold" means that the files of the prefix were removed from the page cache before.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

from jupyter_condabuild.conda.formats import dump
from jupyter_condabuild.conda.locking import lock
from jupyter_condabuild.conda.prefix.drift import drift
from jupyter_condabuild.conda.prefix.environment import Environment
from jupyter_condabuild.conda.prefix.snapshot import snapshot

SITE = "lib/python3.11/site-packages"
ROUNDS = 5


def main() -> None:
    """Parses the arguments of the command line, measures, and prints the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("prefix", type=Path, nargs="?", default=Path(".state/demo/env"))
    prefix = parser.parse_args().prefix
    with tempfile.TemporaryDirectory() as folder:
        artificial = make(Path(folder) / "env", packages=500, files=100)
        environment = snapshot(artificial)
        size = sum(path.stat().st_size for path in artificial.glob("conda-meta/*.json"))
        counts = f"{len(environment.records)} conda packages, {len(environment.pip)} pip packages"
        print(f"{counts}, {size / 1e6:.0f} MB of records")
        row("snapshot", lambda: snapshot(artificial))
        row("lock and dump", lambda: dump(lock(environment)))
    if not (prefix / "conda-meta").is_dir():
        print(f"There is no environment at {prefix}. Name a prefix to measure the drift.")
        return
    environment = snapshot(prefix)
    result = drift(environment, trust_cache=False)
    print(f"\n{result.files} files, {result.bytes / 1e6:.0f} MB ({result.bytes_read / 1e6:.0f} MB to read), {prefix}")
    for name, before in (("warm", lambda: None), ("cold", lambda: evict(prefix))):
        row(f"read all, {name}", lambda: read(environment), before)
        row(f"drift, {name}, every file read", lambda: drift(environment, trust_cache=False), before)
        row(f"drift, {name}, package cache trusted", lambda: drift(environment), before)
        row(f"drift, {name}, one thread", lambda: drift(environment, workers=1, trust_cache=False), before)


def row(name: str, work: Callable[[], object], before: Callable[[], None] = lambda: None) -> None:
    """Measures `work` several times and prints the median. Calls `before` before each measurement."""
    times = []
    for _ in range(ROUNDS):
        before()
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    print(f"{name:40} {statistics.median(times):6.3f} s")


def make(prefix: Path, packages: int, files: int) -> Path:
    """Makes a prefix with PrefixRecords in the form of conda, and returns its path.

    For every ten packages there is one pip package. The files of the packages do not exist.
    """
    (prefix / "conda-meta").mkdir(parents=True)
    for number in range(packages):
        name = "python" if number == 0 else f"package-{number}"
        record = _record(name, files)
        (prefix / f"conda-meta/{record['fn']}.json".replace(".conda", "")).write_text(json.dumps(record, indent=2))
        _dist_info(prefix, name, "conda")
        if number % 10 == 0:
            _dist_info(prefix, f"pip-{number}", "pip", files)
    specs = [f"package-{number}" for number in range(1, packages, 20)]
    (prefix / "conda-meta/history").write_text(f"# cmd: conda create -c lab\n# update specs: {specs}\n")
    return prefix


def _record(name: str, files: int) -> dict[str, object]:
    version = "3.11.7" if name == "python" else "1.0"
    info = f"{SITE}/{name.replace('-', '_')}-{version}.dist-info"
    paths = [f"{SITE}/{name}/module_{number}.py" for number in range(files - 3)]
    paths += [f"{info}/{file}" for file in ("INSTALLER", "METADATA", "RECORD")]
    digest = sha256(name.encode()).hexdigest()
    entry = {"path_type": "hardlink", "sha256": digest, "size_in_bytes": 1000, "sha256_in_prefix": digest}
    url = f"https://conda.example.org/lab/noarch/{name}-{version}-pyhd_0.conda"
    return {
        "name": name,
        "version": version,
        "build": "pyhd_0",
        "build_number": 0,
        "channel": "https://conda.example.org/lab/noarch",
        "subdir": "noarch",
        "fn": url.rpartition("/")[2],
        "md5": digest[:32],
        "sha256": digest,
        "url": url,
        "size": 100_000,
        "depends": [f"package-{other} >=1.0" for other in range(1, 6)],
        "files": paths,
        "paths_data": {"paths_version": 1, "paths": [{"_path": path, **entry} for path in paths]},
    }


def _dist_info(prefix: Path, name: str, installer: str, files: int = 0) -> None:
    info = prefix / SITE / f"{name.replace('-', '_')}-{'3.11.7' if name == 'python' else '1.0'}.dist-info"
    info.mkdir(parents=True)
    (info / "INSTALLER").write_text(f"{installer}\n")
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n\n{'Text. ' * 500}")
    lines = [f"{name}/module_{number}.py,sha256={'x' * 43},1000\n" for number in range(files)]
    (info / "RECORD").write_text("".join(lines))


def read(environment: Environment) -> None:
    """Reads all files in one thread: the least that a check of the files has to do."""
    for path in _files(environment.prefix):
        with open(path, "rb", buffering=0) as file:
            while file.read(1 << 20):
                pass


def evict(prefix: Path) -> None:
    """Asks the kernel to remove the files from the page cache."""
    for path in _files(prefix):
        file = os.open(path, os.O_RDONLY)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(file)


def _files(prefix: Path) -> Iterator[str]:
    for folder, _, names in os.walk(prefix):
        for name in names:
            path = os.path.join(folder, name)
            if not os.path.islink(path):
                yield path


if __name__ == "__main__":
    main()
