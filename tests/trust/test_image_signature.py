"""Who built an image: verify, plan and snapshot say whether a signer whom the user trusts has signed its receipt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from jupyter_condabuild.events import Event, Finished, Log
from jupyter_condabuild.jobs import plan, snapshot, verify
from jupyter_condabuild.requests.others import VerifyRequest
from tests.parts.builds import Workshop, install, small_channel
from tests.parts.channel.package import File, Metadata
from tests.parts.jobs import plan_request, request
from tests.parts.registry.faults import FakeRegistry, Reply, Seen, spec_error
from tests.trust.test_signatures import allow, make_key

PACKAGE = (Metadata("one", "1", noarch="generic"), [File("share/one", b"one")])


@dataclass
class Lab:
    """An environment, a registry, and the keys of Ada, who is trusted, and of Eve."""

    workshop: Workshop
    registry: FakeRegistry
    prefix: Path
    ada: Path
    eve: Path
    signers: Path
    events: list[Event] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The name of the image."""
        return f"{self.registry.host}/team/env:v1"

    def push(self, key: Path | None = None) -> None:
        """Builds and pushes the image."""
        self.workshop.build(self.prefix, reference=self.name, push=True, again=True, signing_key=str(key or ""))

    def verified(self, *, trusting: bool = True) -> verify.Verification:
        """The verification of the image."""
        options = {"reference": self.name, "base": self.workshop.base, "store_dir": str(self.workshop.store)}
        signers = {"trusted_signers": str(self.signers)} if trusting else {}
        return verify.run(request(VerifyRequest, **options, **signers), self.events.append)

    def planned(self, *, trusting: bool = True, tag: str = "v1") -> dict[str, Any]:
        """The options of a plan for the same tag."""
        name = self.name.replace(":v1", f":{tag}")
        options = {"prefix": self.prefix, "reference": name, "base": self.workshop.base}
        signers = {"trusted_signers": self.signers} if trusting else {}
        return {**options, **signers, "store_dir": self.workshop.store}


@pytest.fixture
def lab(workshop: Workshop, tmp_path: Path, fake_registry: FakeRegistry) -> Lab:
    channel = small_channel(tmp_path / "channel", [PACKAGE])
    prefix = install(tmp_path / "env", channel, "one")
    ada, eve = make_key(tmp_path), make_key(tmp_path, "eve")
    return Lab(workshop, fake_registry, prefix, ada, eve, allow(tmp_path, ("ada@lab.org", ada)))


def _none(lab: Lab) -> None:
    lab.push()


def _trusted(lab: Lab) -> None:
    lab.push(lab.ada)


def _untrusted(lab: Lab) -> None:
    lab.push(lab.eve)


def _of_another_image(lab: Lab) -> None:
    """A receipt of Ada's for another image is attached to this one."""
    lab.push(lab.ada)
    honest = _fallback(lab)
    tags = lab.registry.manifests["team/env"]
    receipt = tags[honest]
    (lab.prefix / "share/mine").write_text("x")
    lab.push()
    tags[_fallback(lab)] = receipt


def _fallback(lab: Lab) -> str:
    _, raw = lab.registry.manifests["team/env"]["v1"]
    return f"sha256-{sha256(raw).hexdigest()}"


STATES: dict[str, tuple[Callable[[Lab], None], bool, str, str]] = {
    "no signature": (_none, True, "unsigned", "Unsigned"),
    "a trusted signer": (_trusted, True, "verified", "Built by ada@lab.org, signature verified."),
    "another signer": (_untrusted, True, "untrusted", "Signed by a signer who is not trusted"),
    "a signer, and nobody is trusted": (_trusted, False, "untrusted", "Signed by a signer who is not trusted"),
    "a receipt of another image": (_of_another_image, True, "unsigned", "Unsigned"),
}


@pytest.mark.parametrize("state", STATES)
def test_verify_plan_and_snapshot_say_who_built_the_image(lab: Lab, state: str) -> None:
    """With the same words and the same members in JSON."""
    push, trusting, expected, words = STATES[state]
    push(lab)
    found = lab.verified(trusting=trusting)
    signer = "ada@lab.org" if expected == "verified" else ""
    assert (found.summary()["signature"], found.summary()["signer"]) == (expected, signer)
    assert words in found.text()
    (finished,) = [event for event in lab.events if isinstance(event, Finished)]
    assert (finished.signature, finished.signer) == (expected, signer)
    assert any(words in event.text for event in lab.events if isinstance(event, Log))
    planned = plan.run(plan_request(**lab.planned(trusting=trusting)), lab.events.append)
    assert words in planned.text()
    shown = snapshot.run(plan_request(**lab.planned(trusting=trusting)), lab.events.append)["plan"]
    for summary in (planned.summary(), shown):
        assert (summary["signature"], summary["signer"]) == (expected, signer)


def test_a_tag_without_an_image_has_no_signature(lab: Lab) -> None:
    """Nothing is said."""
    planned = plan.run(plan_request(**lab.planned(tag="none")), lab.events.append)
    assert planned.summary()["signature"] == ""
    assert "igned" not in planned.text()


def test_a_registry_that_does_not_answer_is_not_taken_for_unsigned(lab: Lab) -> None:
    """It refuses the list of receipts, and nothing else."""
    lab.push(lab.ada)

    def refuse(seen: Seen) -> Reply | None:
        if "/referrers/" in seen.path or "/manifests/sha256-" in seen.path:
            return spec_error(403, "DENIED", "not for you")
        return None

    lab.registry.guard = refuse
    found = lab.verified()
    assert found.is_verified
    assert found.signature.state == "unknown"
    assert "does not say" in found.text()
