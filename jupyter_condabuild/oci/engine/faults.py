"""Turns the failures that an engine reports, and the exceptions of docker-py, requests and sockets, into our errors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from jupyter_condabuild.errors import DiskFull, EngineFault, EngineUnavailable


@contextmanager
def engine_errors(doing: str, where: str) -> Iterator[None]:
    """Turns the exceptions of docker-py, requests and sockets into our errors.

    Args:
        doing: completes "… while …" in an error, as in "loading the image".
        where: the address of the engine.

    Raises:
        EngineFault: the engine refused a request, or gave an answer that is not valid.
        EngineUnavailable: the engine does not answer.
        DiskFull: the engine has no space left.
    """
    import docker
    import requests
    import urllib3

    try:
        yield
    except docker.errors.APIError as error:
        raise engine_error(f"The engine failed while {doing}", str(error.explanation or error)) from None
    except (docker.errors.StreamParseError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise EngineFault(
            f"The engine at {where} gave an answer that is not valid while {doing} ({error!r})."
        ) from None
    except (docker.errors.DockerException, requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        raise EngineUnavailable(
            f"The engine at {where} stopped answering while {doing}: {one_line(root_cause(error))}.",
            "Check that the engine is running ('docker info') and try again.",
        ) from None


def raise_failure(answers: Iterable[Any], doing: str) -> None:
    """Reads a stream of answers and raises EngineFault or DiskFull if the engine reports a failure in it.

    Args:
        answers: the decoded answers of the engine.
        doing: completes "The engine could not …" in an error, as in "load the image".
    """
    for answer in answers:
        if isinstance(answer, dict) and (failure := answer.get("error") or answer.get("message")):
            raise engine_error(f"The engine could not {doing}", str(failure))


def downloaded(answers: Iterable[Any], progress: Callable[[int], None]) -> Iterator[Any]:
    """Yields the answers of a pull, and calls `progress` with the number of bytes that were downloaded so far."""
    layers: dict[str, int] = {}
    for answer in answers:
        detail = answer.get("progressDetail") or {} if isinstance(answer, dict) else {}
        if detail and answer["status"] == "Downloading" and isinstance(complete := detail.get("current"), int):
            layers[str(answer.get("id"))] = complete
            progress(sum(layers.values()))
        yield answer


def engine_error(summary: str, text: str) -> EngineFault | DiskFull:
    """Returns the error for a failure that the engine reports. The message is `summary` and the engine's own text."""
    text = " ".join(text.split())[:1000].rstrip(".")
    if "no space left" in text.lower():
        return DiskFull(
            f"{summary}: {text}.", "Free some space on the engine's disk ('docker system df', 'docker system prune')."
        )
    return EngineFault(f"{summary}: {text}.")


def root_cause(error: BaseException) -> BaseException:
    """Returns the first exception in the chain of causes of an exception."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return error


def one_line(error: BaseException) -> str:
    """Returns the text of an exception on one line, with at most 300 characters."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(text.split())[:300].rstrip(".")
