"""Each route of the contract refuses every request without a valid login."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from http.cookies import SimpleCookie

import pytest
from tornado.web import create_signed_value

from tests.server.conftest import Api
from tests.server.test_routes import DIGEST, ID, error_of, logged_in, operations

Way = Callable[[Api, dict[str, str]], dict[str, str]]
"""Returns the headers of a request, from the headers of a browser that has logged in."""

YEARS = 365 * 24 * 3600


def _cookie(api: Api, browser: dict[str, str], *, secret: bytes = b"", age: float = 0, value: str = "") -> str:
    """Returns the cookies of a browser with another login, signed with a secret, so many seconds ago."""
    found = SimpleCookie(browser["Cookie"])
    name = next(name for name in found if name.startswith("username-"))
    login = value
    if not value:
        key = secret or api.app.web_app.settings["cookie_secret"]
        members = ("username", "name", "display_name", "initials", "avatar_url", "color")
        user = json.dumps(dict.fromkeys(members, "somebody"))
        login = create_signed_value(key, name, user, clock=lambda: time.time() - age).decode()
    rest = [f"{key}={morsel.value}" for key, morsel in found.items() if key != name]
    return "; ".join([*rest, f'{name}="{login}"'])


def _login(**how: object) -> Way:
    def headers(api: Api, browser: dict[str, str]) -> dict[str, str]:
        return {"Cookie": _cookie(api, browser, **how), "X-XSRFToken": browser["xsrf"]}  # type: ignore[arg-type]

    return headers


WAYS: dict[str, Way] = {
    "nothing": lambda api, browser: {},
    "an empty token": lambda api, browser: {"Authorization": "token "},
    "the token of another server": lambda api, browser: {"Authorization": "token " + "0" * 48},
    "the beginning of the token": lambda api, browser: {"Authorization": api.headers["Authorization"][:-1]},
    "the token and more": lambda api, browser: {"Authorization": api.headers["Authorization"] + "0"},
    "the token as a password": lambda api, browser: {"Authorization": "Basic OnRva2Vu"},
    "the token in another header": lambda api, browser: {"X-Token": api.app.identity_provider.token},
    "the name of a user in a proxy's header": lambda api, browser: {"X-Forwarded-User": "root", "Remote-User": "root"},
    "an address of this machine in a proxy's header": lambda api, browser: {"X-Forwarded-For": "127.0.0.1"},
    "the cookie of another server": _login(secret=b"another secret"),
    "a cookie that has expired": _login(age=YEARS),
    "a cookie without a signature": _login(value="somebody"),
    "a cookie of nothing": _login(value="2|1:0|10:0|8:username|0:|"),
    "the cookie for writing alone": lambda api, browser: {
        "Cookie": f"_xsrf={browser['xsrf']}",
        "X-XSRFToken": browser["xsrf"],
    },
}


@pytest.mark.parametrize("way", WAYS)
async def test_no_request_without_a_login_reaches_a_route(api: Api, way: str) -> None:
    """A user without a login is refused at each route, in the form of the contract."""
    headers = WAYS[way](api, await logged_in(api))
    for verb, path, _, _ in operations():
        answer = await api(verb, path, {}, headers=headers)
        assert answer.status in (401, 403), (verb, path)
        assert error_of(answer) in ("unauthorized", "forbidden")


async def test_a_fresh_cookie_of_this_server_is_accepted(api: Api) -> None:
    """So the other cookies are refused only because of their signature and time."""
    headers = _login()(api, await logged_in(api))
    assert (await api("GET", "condabuild/builds", headers=headers)).status == 200


def tricks(path: str) -> Iterator[str]:
    """Returns other spellings of a route."""
    first, _, rest = path.partition("/")
    yield from (f"{first}//{rest}", f"{first}/./{rest}", f"{first}/../{first}/{rest}", f"{first}/%2e%2e/{first}/{rest}")
    yield from (f"{path}/", f"{path};x", f"{path}%00", f"{path}%2f", f"%63{path[1:]}", f"{first.upper()}/{rest}")
    yield from (f"static/../{path}", f"api/../{path}", f"login/../{path}", f"{path}?token=", f"{path}#/static/x")


async def test_no_spelling_of_a_path_avoids_the_login(api: Api) -> None:
    """Dots, slashes, escapes and letters are tried. No answer without a login is an answer of a route."""
    for verb, path, _, _ in operations():
        for spelling in tricks(path):
            for headers in ({}, {"X-HTTP-Method-Override": "GET", "X-Original-URL": "/static/x"}):
                answer = await api(verb, spelling, {}, headers=headers)
                assert answer.status in (302, 400, 401, 403, 404, 405), (verb, spelling, answer.status)


async def test_an_id_cannot_be_a_path(api: Api) -> None:
    """A user with a login cannot leave the folder of the builds or of the lock files either."""
    for name in (
        "..",
        "%2e%2e",
        "..%2f..%2fetc%2fpasswd",
        f"{ID}%2f..%2f{ID}",
        "%00",
        "a" * 5000,
        "\u202e",
        f"{DIGEST}%0a",
    ):
        for path in (f"builds/{name}", f"builds/{name}/events", f"lockfiles/{name}"):
            answer = await api("GET", f"condabuild/{path.encode('ascii', 'backslashreplace').decode()}")
            assert answer.status in (400, 404), (path, answer.status)
            assert len(answer.body) < 1000
