"""What an engine refuses, and what docker-py, requests and sockets raise, as named errors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from jupyter_condabuild.errors import DiskFull, EngineFault, EngineUnavailable


@contextmanager
def named(doing: str, where: str) -> Iterator[None]:
    """Turns what docker-py, requests and the socket raise into named errors."""
    import docker
    import requests
    import urllib3

    try:
        yield
    except docker.errors.APIError as error:
        raise fault(f"The engine failed while {doing}", str(error.explanation or error)) from None
    except (docker.errors.StreamParseError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise EngineFault(
            f"The engine at {where} gave an answer that makes no sense while {doing} ({error!r})."
        ) from None
    except (docker.errors.DockerException, requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        raise EngineUnavailable(
            f"The engine at {where} stopped answering while {doing}: {said(innermost(error))}.",
            "See whether it still runs ('docker info'), and try again.",
        ) from None


def raise_failure(answers: Iterable[Any], doing: str) -> None:
    """Raises the failure that an engine reports within a stream of answers."""
    for answer in answers:
        if isinstance(answer, dict) and (failure := answer.get("error") or answer.get("message")):
            raise fault(f"The engine could not {doing}", str(failure))


def fault(what: str, words: str) -> EngineFault | DiskFull:
    """The error for the engine's own words."""
    words = " ".join(words.split())[:1000].rstrip(".")
    if "no space left" in words.lower():
        return DiskFull(
            f"{what}: {words}.", "Free some space on the engine's disk ('docker system df', 'docker system prune')."
        )
    return EngineFault(f"{what}: {words}.")


def innermost(error: BaseException) -> BaseException:
    """The exception that began it."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return error


def said(error: BaseException) -> str:
    """An exception's words, on one line and not too many."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(text.split())[:300].rstrip(".")
