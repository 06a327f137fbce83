"""Some mutations of each kind of input; `python -m tests.torture.fuzz --examples 100000` reads many more."""

from __future__ import annotations

import pytest

from tests.torture.fuzz import Target, targets

EXAMPLES = 200


@pytest.mark.parametrize("target", targets(), ids=lambda target: target.name)
def test_what_strangers_write_raises_only_our_errors(target: Target) -> None:
    """A changed valid input is read, or refused with an error for users."""
    target.run(EXAMPLES)
    assert target.executions >= EXAMPLES
    assert target.uncaught == {}
