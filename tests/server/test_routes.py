"""The access to each route, and the answers without access."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml
from jupyter_server.auth import Authorizer
from jupyter_server.auth.decorator import authorized
from tornado import web

from jupyter_condabuild.server import handlers
from tests.server.conftest import Api

CHECKED: Any = web.authenticated(authorized(action="read", resource="any")(lambda self: None))
CONTRACT = yaml.safe_load(handlers.CONTRACT.read_text())
ID = "0123456789abcdef"
DIGEST = "sha256:" + "0" * 64


def operations() -> Iterator[tuple[str, str, str, str]]:
    """Yields the routes of the contract: verb, path of an example, resource and action."""
    for template, item in CONTRACT["paths"].items():
        path = template.replace("{id}", ID).replace("{digest}", DIGEST).removeprefix("/")
        for verb in ("get", "post", "put", "patch", "delete"):
            if verb in item:
                action = "read" if verb == "get" else "write"
                yield verb.upper(), path, item[verb]["x-resource"], action


def error_of(answer: Any) -> str:
    """Returns the code of an answer that is an Error of the contract."""
    assert set(answer.json) - {"platform"} == {"code", "message", "hint"}, answer.body
    assert all(isinstance(text, str) for text in answer.json.values())
    assert answer.headers["Content-Type"] == "application/json"
    return str(answer.json["code"])


async def test_no_route_answers_without_a_token_or_with_a_wrong_one(api: Api) -> None:
    """Every verb of every route is refused before it does anything."""
    for verb, path, _, _ in operations():
        for headers in ({}, {"Authorization": "token wrong"}, {"Authorization": "Bearer wrong"}):
            answer = await api(verb, path, {}, headers=headers)
            assert answer.status == 403, (verb, path, headers)
            assert error_of(answer) == "forbidden"
        answer = await api(verb, f"{path}?token=wrong", {}, headers={})
        assert answer.status == 403, (verb, path)


async def logged_in(api: Api) -> dict[str, str]:
    """Returns the headers of a browser that has logged in."""
    token = api.app.identity_provider.token
    cookies: dict[str, str] = {}
    for page in ("login", f"login?token={token}"):
        answer = await api("GET", page, headers={"Cookie": "; ".join(f"{name}={cookies[name]}" for name in cookies)})
        for cookie in answer.headers.get_list("Set-Cookie"):
            cookies |= [cookie.partition(";")[0].split("=", 1)]
    assert "_xsrf" in cookies
    assert any(name.startswith("username-") for name in cookies), cookies
    return {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items()), "xsrf": cookies["_xsrf"]}


async def test_a_cookie_alone_writes_nothing(api: Api) -> None:
    """With a browser's cookie and without _xsrf, writing requests are refused. With _xsrf, they are accepted."""
    browser = await logged_in(api)
    xsrf = browser.pop("xsrf")
    for verb, path, _, action in operations():
        if action == "write":
            answer = await api(verb, path, {}, headers=browser)
            assert answer.status == 403, (verb, path)
            assert error_of(answer) == "forbidden"
            answer = await api(verb, path, {}, headers={**browser, "X-XSRFToken": "2|wrong"})
            assert answer.status == 403, (verb, path)
        # With a token, the answer says that the object does not exist or that the request is invalid.
        answer = await api(verb, path, {}, headers={**browser, "X-XSRFToken": xsrf})
        assert answer.status in (200, 400, 404), (verb, path, answer.body)


async def test_a_page_of_another_origin_reads_and_writes_nothing(api: Api) -> None:
    """With a browser's cookies, a request from another origin is refused, with and without _xsrf."""
    browser = await logged_in(api)
    foreign = {**browser, "Origin": "https://elsewhere.example", "X-XSRFToken": browser.pop("xsrf")}
    for verb, path, _, _ in operations():
        answer = await api(verb, path, {}, headers=foreign)
        assert answer.status in (403, 404), (verb, path)
        assert error_of(answer) in ("forbidden", "not_found")
        assert "no build" not in answer.json["message"]


class Denying(Authorizer):
    """An authorizer that records each question, and denies it."""

    asked: ClassVar[list[tuple[str, str]]] = []

    def is_authorized(self, handler: Any, user: Any, action: str, resource: str) -> bool:
        if resource.startswith("condabuild:"):
            self.asked.append((action, resource))
            return False
        return True


async def test_every_route_asks_the_authorizer_for_its_own_resource(api: Api) -> None:
    """A denied request is refused. The question has the resource and action of the contract."""
    api.app.web_app.settings["authorizer"] = Denying(parent=api.app)
    for verb, path, resource, action in operations():
        Denying.asked.clear()
        answer = await api(verb, path, {})
        assert answer.status == 403, (verb, path)
        assert error_of(answer) == "forbidden"
        assert Denying.asked == [(action, resource)], (verb, path)


def test_every_verb_of_every_handler_is_guarded_as_in_the_contract() -> None:
    """A route without authentication and authorization, and a route that is not in the contract, are errors."""
    found = set()
    for pattern, handler, _ in handlers.routes(None):  # type: ignore[arg-type]
        for verb in ("get", "head", "post", "put", "patch", "delete"):
            method = getattr(handler, verb)
            if verb in vars(handler):
                assert hasattr(method, "guard"), f"{handler.__name__}.{verb} is not guarded"
                layers = [method, method.__wrapped__]
                assert [layer.__code__ for layer in layers] == [CHECKED.__code__, CHECKED.__wrapped__.__code__]
                action, resource = method.guard
                found.add((pattern, verb, action, resource))
    promised = set()
    for template, item in CONTRACT["paths"].items():
        pattern = re.sub(r"\{\w+\}", "([^/]+)", template).removeprefix("/")
        for verb in ("get", "post", "put", "patch", "delete"):
            if verb in item:
                promised.add((pattern, verb, "read" if verb == "get" else "write", item[verb]["x-resource"]))
    assert {entry for entry in found if entry[0] != "condabuild/.*"} == promised


async def test_unknown_objects_are_refused_in_the_same_form(api: Api) -> None:
    """Unknown routes, verbs, builds and lock files are JSON errors. A 405 has the allowed verbs."""
    for verb, path, status, code in (
        ("GET", "condabuild/nothing", 404, "not_found"),
        ("POST", "condabuild/nothing", 404, "not_found"),
        ("GET", f"condabuild/builds/{ID}", 404, "not_found"),
        ("GET", "condabuild/builds/..%2f..%2fetc", 404, "not_found"),
        ("DELETE", f"condabuild/builds/{ID}", 404, "not_found"),
        ("DELETE", f"condabuild/builds/{ID}?forget=true", 404, "not_found"),
        ("GET", f"condabuild/builds/{ID}/events", 404, "not_found"),
        ("GET", f"condabuild/lockfiles/{DIGEST}", 404, "not_found"),
        ("GET", "condabuild/lockfiles/..%2fhistory.sqlite", 404, "not_found"),
        ("GET", f"condabuild/lockfiles/{DIGEST}?format=tar", 400, "bad_request"),
        ("GET", "condabuild/builds?limit=0", 400, "bad_request"),
        ("GET", "condabuild/builds?limit=1e3", 400, "bad_request"),
        ("PUT", "condabuild/status", 405, "method_not_allowed"),
        ("DELETE", "condabuild/builds", 405, "method_not_allowed"),
    ):
        answer = await api(verb, path, {})
        assert (answer.status, error_of(answer)) == (status, code), (verb, path)
    assert answer.headers["Allow"] == "GET, POST"
    assert (await api("GET", "condabuild/openapi.yaml")).body == handlers.CONTRACT.read_bytes()


@pytest.mark.parametrize("path", ["snapshots", "stamps", "builds", "exports"])
async def test_invalid_bodies_are_refused(api: Api, path: str, kernel_prefix: Path) -> None:
    """A body is not JSON, not an object, or has unknown members, wrong types, bad characters, or no or two sources."""
    good = {"prefix": str(kernel_prefix), **({"kind": "compose"} if path == "exports" else {})}
    for body in (
        b"",
        b"\xff",
        b"[" * 100_000,
        b'{"prefix": ' + b"9" * 5000 + b"}",
        b"[]",
        b"null",
        {},
        {**good, "kernel_id": "x"},
        {"prefix": ""},
        {"prefix": 7},
        {"prefix": None},
        {"prefix": "/\0"},
        b'{"prefix": "/\\ud800"}',
        {**good, "store_dir": "/tmp"},
        {**good, "reference": ["x"]},
        {**good, "engine": True},
        *([{**good, "cache_from": "x"}, {**good, "cache_from": [1]}] if path != "exports" else []),
        {**good, "\ud800": 1},
    ):
        answer = await api("POST", f"condabuild/{path}", body)
        assert (answer.status, error_of(answer)) == (400, "bad_request"), body
    answer = await api("POST", f"condabuild/{path}", {**good, "prefix": "x" * (1 << 20)})
    assert (answer.status, error_of(answer)) == (413, "too_much")


async def test_the_home_folder_cannot_be_included(
    api: Api, kernel_prefix: Path, jp_root_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The home folder is often the root folder of the server."""
    monkeypatch.setenv("HOME", str(jp_root_dir))
    body = {"prefix": str(kernel_prefix), "archive": "x.tar", "include": "."}
    for route, more in (("builds", {}), ("snapshots", {"archive": None})):
        asked = {name: value for name, value in {**body, **more}.items() if value is not None}
        answer = await api("POST", f"condabuild/{route}", asked)
        assert (answer.status, error_of(answer)) == (422, "usage"), route
        assert "is a home folder" in answer.json["message"]


async def test_invalid_requests_are_refused_with_a_hint(api: Api, kernel_prefix: Path) -> None:
    """Invalid names, a build without a destination, and missing folders are refused with the reason."""
    good = {"prefix": str(kernel_prefix)}
    for body, code in (
        ({**good, "push": True, "reference": "UPPER/case"}, "bad_reference"),
        ({**good, "push": True}, "usage"),
        ({**good}, "usage"),
        ({**good, "archive": "x.tar", "engine": "steam"}, "usage"),
        ({**good, "archive": "x.tar", "include": "nowhere"}, "usage"),
    ):
        answer = await api("POST", "condabuild/builds", body)
        assert (answer.status, error_of(answer)) == (422, code), body
        assert answer.json["hint"] or code == "usage"
