"""The mutations of the fuzzer."""

from __future__ import annotations

import json
import random

from tests.torture.mutation import ODD, restructured


def test_a_mutation_does_not_change_the_next_mutations() -> None:
    """The odd values stay as they are. One that contained itself made a document without an end."""
    before = repr(ODD)
    corpus = [json.dumps({"a": {"b": [1, 2]}, "c": "d"}).encode()]
    chance = random.Random(1)
    for _ in range(2000):
        restructured(corpus, chance.randbytes(33))
    assert repr(ODD) == before
