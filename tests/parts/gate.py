"""A gate in front of a registry: builds that push through it stop until it is opened."""

from __future__ import annotations

import socket
import threading

from tests.parts.registry.faults import Relay


class Gate(Relay):
    """A relay that transfers nothing before it is opened. `knocked` is set when a client waits."""

    def __init__(self, target: str) -> None:
        super().__init__(target)
        self.knocked = threading.Event()
        self.opened = threading.Event()

    def wait(self) -> None:
        """Waits until a client waits at the gate."""
        assert self.knocked.wait(120), "no client waits at the gate"

    def __exit__(self, *exception: object) -> None:
        self.opened.set()
        super().__exit__(*exception)

    def _pass(self, source: socket.socket, sink: socket.socket, direction: str) -> None:
        if direction == "sent":
            self.knocked.set()
            self.opened.wait()
        super()._pass(source, sink, direction)
