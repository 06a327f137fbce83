"""An environment of macOS or Windows whose platforms the settings name: a name gets an image for each."""

from __future__ import annotations

from pathlib import Path

import pytest

from jupyter_condabuild.errors import UsageError
from jupyter_condabuild.jobs import lock, plan, snapshot
from jupyter_condabuild.requests.others import LockRequest
from tests.parts.builds import Workshop
from tests.parts.jobs import plan_request, request, silent
from tests.parts.small_image import two_platforms

BOTH = ("linux-64", "linux-aarch64")


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    """An empty store, and a base for two processors."""
    return Workshop(tmp_path, two_platforms(tmp_path / "two.tar"))


def test_the_setting_gives_a_name_an_image_for_each_platform(
    workshop: Workshop, mac: Path, linux: Path, tmp_path: Path
) -> None:
    """For an environment and a lock file of macOS, if nobody names a platform; for no environment of Linux."""
    lockfile = tmp_path / "mac.yml"
    lockfile.write_text(
        lock.run(request(LockRequest, prefix=mac), silent).lockfile_text(request(LockRequest, prefix=mac))
    )
    for source in (mac, lockfile):
        wanted = {"archive": str(tmp_path / "index.tar"), "default_platforms": BOTH}
        done = workshop.build(source, **wanted).event
        assert list(done.images or {}) == list(BOTH)
        named = workshop.build(source, archive=str(tmp_path / "named.tar"), platforms=BOTH).event
        assert done.digest == named.digest
        assert workshop.build(source, **wanted, platform=BOTH[1]).event.images is None
        kind = "prefix" if source == mac else "lockfile"
        given = {kind: source, "base": workshop.base, "store_dir": workshop.store, "default_platforms": BOTH}
        assert list(plan.run(plan_request(**given), silent).summary()["images"]) == list(BOTH)
        with pytest.raises(UsageError, match="The docker engine builds an image for one platform"):
            workshop.build(source, **wanted, engine="docker")
    assert workshop.build(linux, **wanted).event.images is None


def test_a_snapshot_has_a_table_for_each_platform(workshop: Workshop, mac: Path) -> None:
    """The rest is the snapshot for the first platform; the warnings are those of all, each once."""
    given = {"prefix": mac, "base": workshop.base, "store_dir": workshop.store}
    both = snapshot.run(plan_request(**given, platforms=BOTH), silent)
    one, other = (snapshot.run(plan_request(**given, platform=platform), silent) for platform in BOTH)
    assert both["other_substitutions"] == [other["substitution"]]
    for member in ("digest", "identity", "platform", "substitution", "conda", "lock"):
        assert both[member] == one[member]
    assert one["other_substitutions"] == []
    assert [one for one in other["warnings"] if one not in both["warnings"]] == []
    assert len({str(one) for one in both["warnings"]}) == len(both["warnings"])
    assert len(both["warnings"]) > len(one["warnings"])
    with pytest.raises(UsageError, match="An image cannot be for 'linux-mips'"):
        snapshot.run(plan_request(**given, platforms=["linux-64", "linux-mips"]), silent)
