"""The time that a plan says is measured: by the builds that used the registry and the channels before."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from jupyter_condabuild.jobs import plan
from jupyter_condabuild.jobs.plan import LayersPreview
from tests.parts.builds import Workshop, explicit, small_channel
from tests.parts.channel.channel import serve
from tests.parts.channel.package import File, Metadata
from tests.parts.jobs import plan_request, silent


def test_the_time_is_measured_and_counts_downloads(workshop: Workshop, tmp_path: Path, registry: str) -> None:
    """Before the first use of a registry and a channel, nobody knows their rates: the plan says so, and no seconds."""
    packages = [(Metadata(name, "1", noarch="generic"), [File(f"share/{name}", os.urandom(2 << 20))]) for name in "pq"]
    channel = small_channel(tmp_path / "channel", packages)
    reference = f"{registry}/plan-time/{uuid.uuid4().hex}:v1"
    sizes = {path.name[0]: path.stat().st_size for path in channel.archives}
    with serve(channel) as url:
        host = url.removeprefix("http://")

        def locked(*names: str) -> Path:
            file = explicit(channel, tmp_path / f"{len(names)}.txt", *names)
            lines = [line.replace(channel.folder.as_uri(), url) for line in file.read_text().splitlines()]
            file.write_text("\n".join(lines))
            return file

        def planned(*names: str) -> LayersPreview:
            given = {"lockfile": locked(*names), "base": workshop.base, "store_dir": workshop.store}
            found = plan.run(plan_request(**given, reference=reference), silent)
            assert isinstance(found, LayersPreview)
            return found

        first = planned("p")
        assert (first.seconds, set(first.unmeasured)) == (None, {host, registry})
        assert f"before the first use of {host} and {registry}" in first.sentence
        workshop.build(locked("p"), reference=reference, push=True)
        unchanged, more = planned("p"), planned("p", "q")
        assert (unchanged.fetched, more.unmeasured) == ({}, ())
        assert first.fetched == {host: sizes["p"]}
        assert more.fetched == {host: sizes["q"]}
        assert unchanged.seconds is not None
        assert more.seconds is not None
        assert 0 < unchanged.seconds < more.seconds < 60
