"""Channels whose terms of use ask some users to pay, with the addresses of the terms. There is no other such list."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Terms:
    """The terms of use of channels. `starts` are the starts of their URLs."""

    name: str
    url: str
    summary: str
    starts: tuple[str, ...]


COMMERCIAL = (
    Terms(
        name="Anaconda",
        url="https://www.anaconda.com/legal/terms/terms-of-service",
        summary="organizations with more than 200 people need a paid licence, with exceptions",
        starts=(
            "https://repo.anaconda.com/",
            "https://repo.anaconda.cloud/",
            "https://repo.continuum.io/",
            "https://conda.anaconda.org/anaconda/",
            "https://conda.anaconda.org/main/",
        ),
    ),
)


def terms_of(channel: str) -> Terms | None:
    """Returns the terms of a channel's URL, or None if no commercial terms are known."""
    url = channel.rstrip("/").replace("http://", "https://", 1) + "/"
    return next((terms for terms in COMMERCIAL if url.lower().startswith(terms.starts)), None)
