"""The events of an invented build, and a clock for it."""

from __future__ import annotations

from jupyter_condabuild.events import Event, Finished, Layer, Log, Phase, Progress, Warning

DIGEST = "sha256:" + "9a2f" * 16
DONE = Finished("registry.lab.org/team/env:v1", DIGEST, 330_000_000, 2_900_000, 76, 70, 17.8)
WARNING = Warning("pip-without-hash", "Two packages were installed by pip without a hash.", "Reinstall them.")
START: list[Event] = [
    Phase("snapshot", "started"),
    Phase("snapshot", "done", 0.42),
    WARNING,
    Phase("layers", "started"),
    *(Layer(f"k{number}", (f"p{number}",), 1000, "reused-remote") for number in range(70)),
    Log("Linking 6 packages."),
    Progress("layers", 10_000_000, 40_000_000),
    Progress("numpy", 1_000_000, 6_200_000),
    Progress("click and 12 more", 0, 900_000),
]


class Clock:
    """A clock whose seconds pass on request."""

    now = 100.0

    def __call__(self) -> float:
        return self.now
