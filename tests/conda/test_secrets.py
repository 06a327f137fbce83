"""Credentials are removed from all text that leaves the process, and the other text does not change."""

from __future__ import annotations

import json
import string
from urllib.parse import quote, unquote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jupyter_condabuild.conda.secrets import scrub, scrub_json, scrub_json_bytes, scrub_url

SECRET = "sEcReT"
HOSTS = st.sampled_from(["conda.example.org", "localhost:8443", "[::1]:80", "10.0.0.1", "repo.lab"])
SCHEMES = st.sampled_from(["https", "http", "HTTPS", "git+https", "s3", "ftp", "oci"])
SEGMENT = st.text(string.ascii_letters + string.digits + "._+=~!,-@:$", min_size=1, max_size=12).filter(
    lambda text: text.lower() != "t" and not text.startswith("@")
)
# The characters that RFC 3986 allows in userinfo and query, and some that people do not encode.
LEGAL = st.text(string.ascii_letters + string.digits + "-._~!$'()*+,;=", max_size=8)
HARMLESS_KEYS = st.sampled_from(["a", "page", "version", "author", "channel", "sort"])
SMELLY_KEYS = st.sampled_from(
    ["token", "access_token", "sig", "X-Amz-Signature", "X-Amz-Credential", "x-goog-signature", "password", "api_key",
     "API-KEY", "client_secret", "key", "pass", "PRIVATE-TOKEN", "auth", "jwt", "%74oken"]
)  # fmt: skip


@st.composite
def urls(draw: st.DrawFn) -> str:
    """Returns a URL without credentials."""
    path = "".join(f"/{segment}" for segment in draw(st.lists(SEGMENT, max_size=3)))
    query = "&".join(f"{key}={draw(LEGAL)}" for key in draw(st.lists(HARMLESS_KEYS, max_size=2)))
    return f"{draw(SCHEMES)}://{draw(HOSTS)}{path}{f'?{query}' if query else ''}"


@st.composite
def secrets(draw: st.DrawFn) -> str:
    """Returns a recognisable secret among characters that can be around it in a URL."""
    return f"{draw(LEGAL)}{SECRET}{draw(LEGAL)}"


@st.composite
def credentialed(draw: st.DrawFn) -> tuple[str, str]:
    """Returns a URL with one kind of credentials, and the same URL without them."""
    scheme, host = draw(SCHEMES), draw(HOSTS)
    head, path = f"{scheme}://", "".join(f"/{segment}" for segment in draw(st.lists(SEGMENT, max_size=2)))
    secret = draw(secrets())
    match draw(st.sampled_from(["user", "password", "encoded", "token", "first", "last", "only", "fragment"])):
        case "user":
            return f"{head}{secret}@{host}{path}", f"{head}{host}{path}"
        case "password":
            odd = draw(st.sampled_from(["", "%2F", "%40", "%23", "/", "#"]))
            return f"{head}user:{secret}{odd}@{host}{path}", f"{head}{host}{path}"
        case "encoded":
            return f"{head}user%3A{secret}%40{host}{path}", f"{head}{host}{path}"
        case "token":
            token = draw(st.text(string.ascii_letters + "-_", max_size=5)) + SECRET
            return f"{head}{host}/t/{token}{path}", f"{head}{host}{path}"
        case "first":
            return f"{head}{host}{path}?{draw(SMELLY_KEYS)}={quote(secret)}&a=1", f"{head}{host}{path}?a=1"
        case "last":
            return f"{head}{host}{path}?a=1&{draw(SMELLY_KEYS)}={secret}", f"{head}{host}{path}?a=1"
        case "only":
            return f"{head}{host}{path}?{draw(SMELLY_KEYS)}={secret}", f"{head}{host}{path}"
        case _:
            return f"{head}{host}{path}#access_token={secret}", f"{head}{host}{path}"


@given(credentialed())
def test_credentials_are_removed_from_a_url(case: tuple[str, str]) -> None:
    """The result is the same URL without credentials."""
    url, without = case
    assert scrub_url(url) == without


@given(credentialed(), st.integers(1, 2))
def test_credentials_are_removed_from_an_encoded_url(case: tuple[str, str], times: int) -> None:
    """A URL in a parameter of another URL, percent-encoded once or twice, is cleaned."""
    url, _ = case
    for _ in range(times):
        url = quote(url, safe="")
    cleaned = scrub(f"https://go.example.org/?next={url}&page=2")
    assert SECRET not in unquote(unquote(unquote(cleaned)))
    assert cleaned.startswith("https://go.example.org/?next=")
    assert cleaned.endswith("&page=2")


@given(urls())
def test_a_url_without_credentials_is_not_changed(url: str) -> None:
    """The URL is not normalised, lower-cased or encoded again."""
    assert scrub_url(url) == url


@given(st.lists(credentialed(), min_size=1, max_size=3), st.sampled_from([" ", "\n", '", "', " , ", ") ("]))
def test_credentials_are_removed_from_free_text(cases: list[tuple[str, str]], separator: str) -> None:
    """Credentials are removed at any place in a message, a log line or a command line of a history."""
    text = "Cannot reach " + separator.join(url for url, _ in cases) + " now"
    cleaned = scrub(text)
    assert SECRET not in cleaned
    assert cleaned.startswith("Cannot reach ")
    assert cleaned.endswith(" now")


PIECES = [
    "https://", "https%3A%2F%2F", "ssh://", "@", "%40", ":", "/t/", "%2Ft%2F", "/", "?token=", "%3Fsig%3D", "&", "#",
    "a", "x.org", "Authorization: ", "t", "80", " ", "'", '"',
]  # fmt: skip


@settings(max_examples=1000)
@example("https:///t/a&@h")  # the token hides the user name at first
@given(st.one_of(st.text(), st.lists(st.sampled_from(PIECES), max_size=12).map("".join)))
def test_the_result_is_not_changed_by_a_second_run(text: str) -> None:
    """For any input, the result is clean by the same rules."""
    once = scrub(text)
    assert scrub(once) == once


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | urls() | st.text("abc/ %@"),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("abc"), inner),
)


@given(JSON)
def test_json_without_credentials_is_not_changed(value: object) -> None:
    """Spaces, the order of keys and escapes do not change, so that about.json of a package keeps its hash."""
    for text in (json.dumps(value), json.dumps(value, indent=4, ensure_ascii=False) + "\n"):
        assert scrub_json_bytes(text.encode()) == text.encode()


@given(credentialed())
def test_credentials_are_removed_from_json(case: tuple[str, str]) -> None:
    """Credentials are removed from strings and keys, at any depth, and with JSON's escapes."""
    url, without = case
    value = {"channels": [url, {url: [url]}], "n": 1}
    assert scrub_json(value) == {"channels": [without, {without: [without]}], "n": 1}
    escaped = json.dumps(value).replace("/", "\\/").replace("@", "\\u0040")
    assert json.loads(scrub_json_bytes(escaped.encode())) == scrub_json(value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://conda.anaconda.org/t/<TOKEN>/main/linux-64", "https://conda.anaconda.org/main/linux-64"),
        ("https://h/t/a/t/b/c", "https://h/c"),
        ("git+ssh://git@github.com/a/b@v1", "git+ssh://git@github.com/a/b@v1"),
        ("git+ssh://git:pw@github.com/a/b@v1", "git+ssh://git@github.com/a/b@v1"),
        ("git+https://github.com/a/b@v1#subdirectory=c", "git+https://github.com/a/b@v1#subdirectory=c"),
        ("https://user:pa/ss@h/x", "https://h/x"),
        ("docker://ubuntu:22.04@sha256:00ff", "docker://ubuntu:22.04@sha256:00ff"),
        (
            "# cmd: conda create -c conda.example.org/t/tk-12345678/lab x",
            "# cmd: conda create -c conda.example.org/lab x",
        ),
        ("# cmd: conda create -c me:pw@conda.example.org/lab x", "# cmd: conda create -c conda.example.org/lab x"),
        ("mail bob:bob@example.org, or mailto:bob@example.org", "mail bob:bob@example.org, or mailto:bob@example.org"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
        ("share/doc/t/template/index.html", "share/doc/t/template/index.html"),
        ("('https://h/x?token=abc'), then", "('https://h/x'), then"),
        ("https://h/x?token=a%26b&c=1", "https://h/x?c=1"),
        ("https://h/x?author=ann&keyword=b&monkey=c", "https://h/x?author=ann&keyword=b&monkey=c"),
    ],
)
def test_odd_cases(text: str, expected: str) -> None:
    """Texts that are easy to miss or to break are scrubbed correctly."""
    assert scrub(text) == expected


def test_broken_json_is_cleaned() -> None:
    """A partial file, or a file with an unknown encoding, loses its credentials and no other byte."""
    assert scrub_json_bytes(b'{"url": "https://u:p@h/x", "a": "\xff\\u12') == b'{"url": "https://h/x", "a": "\xff\\u12'


def test_a_long_text_takes_a_short_time() -> None:
    """No pattern backtracks without a limit: 400 kB of the worst text take a short time."""
    for unit in ("a", "a:", "https://", "https://a/t/", "https://a@", "%25", "@", "a.b", "?token=x&"):
        scrub(unit * (400_000 // len(unit)))


@pytest.mark.parametrize(
    "text",
    [
        "x://a:" * 200_000,
        "x://a:" * 200_000 + "@sha256:",
        "%40" + "x://a:" * 200_000,
        "x://" + "a" * 1_000_000,
        "x%3a%2f%2fa%3a" * 100_000 + "%40sha256:",
        "https://h/?%" + "25" * 500_000 + "=1",
        "/t/" * 300_000 + "@x://",
    ],
)
def test_a_hostile_text_takes_linear_time(text: str) -> None:
    """With a quadratic pattern, this test would not end."""
    assert len(scrub(text)) <= len(text)


def test_a_hostile_json_file_takes_linear_time() -> None:
    """An endless text is read once, and not from each quotation mark. Its bytes do not change."""
    data = b'{"a": "' + b'\\"' * 500_000
    assert scrub_json_bytes(data) == data
    assert scrub_json_bytes(b'{"a": "https://u:p@h/') == b'{"a": "https://h/'


def test_a_deeply_encoded_name_counts_as_a_secret() -> None:
    """After twenty rounds of decoding, a name is removed with its value."""
    assert scrub_url("https://h/?a%2" + "%3" * 100 + "5=v") == "https://h/"
