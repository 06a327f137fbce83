"""Variables for proxies that are meant for other hosts do not stop a build with servers on this machine."""

from __future__ import annotations

import hashlib
import uuid
from pathlib import Path

import pytest

from tests.parts.channel.channel import Channel
from tests.parts.command_line import CommandLine

DEAD = "127.0.0.1:9"


@pytest.mark.parametrize(
    "variables",
    [
        {"NO_PROXY": "fd00::/8"},
        {"no_proxy": "[::1]", "http_proxy": f"http://{DEAD}", "https_proxy": f"http://{DEAD}"},
        {"ALL_PROXY": f"socks5h://{DEAD}", "NO_PROXY": "10.0.0.0/8,*.lab.org"},
        {"HTTP_PROXY": "nonsense://x:y", "HTTPS_PROXY": "http://h:port"},
    ],
    ids=str,
)
def test_a_build_downloads_and_pushes_on_this_machine(
    tmp_path: Path, channel: Channel, channel_url: str, registry: str, base_archive: Path, variables: dict[str, str]
) -> None:
    """The package comes from a channel, and the image goes to a registry. Neither is asked through a proxy."""
    archive = next(path for path in channel.archives if path.name.startswith("plaindata-"))
    url = f"{channel_url}/{archive.parent.name}/{archive.name}"
    lockfile = tmp_path / "explicit.txt"
    lockfile.write_text(f"@EXPLICIT\n{url}#sha256:{hashlib.sha256(archive.read_bytes()).hexdigest()}\n")
    name = f"{registry}/proxies/{uuid.uuid4().hex}:v1"
    arguments = ["build", "--lockfile", lockfile, "-t", name, "--push", "--base", f"oci-archive:{base_archive}"]
    done = CommandLine(tmp_path, variables)(*arguments, "--json")
    assert done.status == 0, done.err
    assert done.json["reference"] == name
    assert done.json["bytes_pushed"] > 0
