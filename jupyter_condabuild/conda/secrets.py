"""Removes credentials from URLs, channels, messages and JSON files.

The credentials in a URL are ``user:password@`` (with ``ssh`` the user name stays), the ``/t/<token>`` of conda servers,
and query parameters with names such as ``token`` or ``api_key``. They may also be percent-encoded, as in a URL inside a
URL. Credentials are removed, not masked, so that the rest still works as a URL. Every other byte stays unchanged. A
path segment ``t`` always counts as the start of a conda token: a broken link is better than a published token. The
value of an ``Authorization`` header is replaced by ``***``.
"""

from __future__ import annotations

import functools
import json
import re
from typing import Any
from urllib.parse import unquote

_SCHEME = r"[a-z][a-z0-9+.-]{0,30}"
_SLASH = r"(?:/|%(?:25)*2f)"
_ANY_AT = r"@|%(?:25)*40"
_AT = rf"(?P<at>{_ANY_AT})(?!sha256:)"  # in repository@sha256:…, a digest follows, not a host
_START = rf"{_SCHEME}(?::|%(?:25)*3a){_SLASH}{_SLASH}"  # the start of a URL, percent-encoded any number of times
_CLOSING = "'),.>]}:;"  # characters that belong to the sentence or list around a URL

# A "port" that is not a number is a password that contains / ? or #. No parser accepts it, but users write it.
_PASSWORD = re.compile(
    rf"(?P<start>{_SCHEME}://)(?P<user>[^\s/?#\":@\[]+):(?!\d*(?:[/?#\s\"]|$))[^\s\"@]*{_AT}", re.IGNORECASE
)
_ENCODED_PASSWORD = re.compile(
    rf"(?P<start>{_SCHEME}%(?P<n>(?:25)*)3a%(?P=n)2f%(?P=n)2f)"
    rf"(?P<user>(?:(?!%(?P=n)(?:2f|3f|23|3a|40))[^\s/?#&\":@])+)%(?P=n)3a"
    rf"(?!\d*(?:%(?P=n)(?:2f|3f|23)|[&\s\"]|$))(?:(?!%(?P=n)40)[^\s&\"])*(?P<at>{_ANY_AT})",
    re.IGNORECASE,
)
_USERINFO = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        # A raw password may contain %2F. In an encoded URL, a slash of the password is encoded once more.
        rf"(?P<start>{_SCHEME}://)(?P<user>(?:(?!{_ANY_AT})[^\s/?#\":@])*+)[^\s/?#\"]*{_AT}",
        (
            rf"(?P<start>{_SCHEME}%(?P<n>(?:25)*)3a%(?P=n)2f%(?P=n)2f)"
            rf"(?P<user>(?:(?!{_ANY_AT}|%(?P=n)(?:2f|3f|23|3a))[^\s/?#&\":@])*+)"
            rf"(?:(?!%(?P=n)(?:2f|3f|23))[^\s/?#&\"])*{_AT}"
        ),
    )
)
_AT_SIGN = re.compile(_ANY_AT, re.IGNORECASE)
# The longest texts in which a password can lie. Each has one sign for @ at its end, or signs in it.
_PIECE = re.compile(r"[^\s\"@]*+@(?!sha256:)|[^\s\"@]++", re.IGNORECASE)
_ENCODED_PIECE = re.compile(r"[^\s&\"]++")
_USERINFO_BARE = re.compile(
    r"(?<![\w/%.+-])(?!mailto:)[\w.+-]+:[^\s/:@\"']+@(?=(?:[\w-]+\.)+[a-z]{2,}(?:/|:\d))", re.IGNORECASE
)
_URL = re.compile(rf"(?P<start>{_START})(?P<rest>[^\s\"]*)", re.IGNORECASE)
_WHOLE_URL = re.compile(rf"{_SCHEME}://\S*", re.IGNORECASE)
_TOKEN = re.compile(
    rf"{_SLASH}t{_SLASH}(?:(?!{_SLASH})[^?#&])+?(?={_SLASH}|[?#&]|%(?:25)*(?:3f|23|26)|$)", re.IGNORECASE
)
_TOKEN_BARE = re.compile(
    r"(?<![^\s\"'=,(\[])(?P<head>(?:(?:[\w-]+\.)+[a-z]{2,}|localhost)(?::\d+)?)/t/(?:<token>|[a-z0-9-]{8,})(?=/|\s|$)",
    re.IGNORECASE,
)
_QUERY = re.compile(r"(?:[?#]|%(?:25)*(?:3f|23)).*", re.IGNORECASE | re.DOTALL)
_DELIMITER = re.compile(r"([?#&;]|%(?:25)*(?:3f|23|26|3b))", re.IGNORECASE)
_EQUALS = re.compile(r"=|%(?:25)*3d", re.IGNORECASE)
_SECRET_NAME = re.compile(
    r"token|secret|passw|passphrase|pwd|credential|signature|api[-_.]?key|access[-_.]?key|private[-_.]?key|auth(?!or)"
    r"|jwt|session|bearer|^x[-_](?:amz|goog)[-_]|^(?:.*[-_.])?(?:sig|key|pass|tok|pat|pw)$",
    re.IGNORECASE,
)
_HEADER = re.compile(
    r"(?P<start>\bauthorization[\"']?\s*[:=]\s*[\"']?(?:(?:bearer|basic|token)\s+)?)[^\s\"',;]+", re.IGNORECASE
)
_JSON_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)  # a text that does not end goes to the end of the file
_MOST_ROUNDS = 20
_CANDIDATE = re.compile(r"//|%|@|/t/|authorization", re.IGNORECASE)


@functools.lru_cache(8192)  # snapshot, lock file and report scrub the same few hundred URLs
def scrub_url(url: str) -> str:
    """Returns the URL, or the name of a channel, without credentials."""
    return _scrub_until_clean(url, "")


def scrub(text: str) -> str:
    """Returns the text without the credentials of its URLs and headers. The rest of the text is unchanged."""
    return _scrub_until_clean(text, _CLOSING)


def scrub_json(value: Any) -> Any:
    """Returns a JSON value without credentials in its strings and keys."""
    if isinstance(value, str):
        return _scrub_string(value)
    if isinstance(value, dict):
        return {scrub_json(key): scrub_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [scrub_json(item) for item in value]
    return value


def scrub_json_bytes(data: bytes) -> bytes:
    """Removes credentials from each string of a JSON file. A file without credentials is returned byte for byte."""
    text = data.decode("utf-8", "surrogateescape")
    return _JSON_STRING.sub(_scrub_literal, text).encode("utf-8", "surrogateescape")


def _scrub_literal(match: re.Match[str]) -> str:
    literal = match[0]
    if "\\" not in literal and not _CANDIDATE.search(literal):
        return literal
    try:
        value = json.loads(literal, strict=False)
    except ValueError:  # an incomplete escape sequence in a broken file
        end = '"' if len(literal) > 1 and literal.endswith('"') else ""
        return f'"{scrub(literal[1 : len(literal) - len(end)])}{end}'
    cleaned = _scrub_string(value)
    return literal if cleaned == value else json.dumps(cleaned)


def _scrub_string(text: str) -> str:
    return scrub_url(text) if _WHOLE_URL.fullmatch(text) else scrub(text)


def _scrub_until_clean(text: str, closing: str) -> str:
    for _ in range(_MOST_ROUNDS):
        if not _CANDIDATE.search(text):
            return text
        cleaned = _scrub_once(text, closing)
        if cleaned == text:
            return text
        text = cleaned  # a removed credential may have hidden another one
    return "***"  # no honest text hides so many


def _scrub_once(text: str, closing: str) -> str:
    # Each pattern takes linear time, also for a hostile text.
    text = _PIECE.sub(lambda piece: _without_password(_PASSWORD, piece[0]), text)
    text = _ENCODED_PIECE.sub(lambda piece: _without_password(_ENCODED_PASSWORD, piece[0]), text)
    for pattern in _USERINFO:
        text = pattern.sub(_without_userinfo, text)
    text = _USERINFO_BARE.sub("", text)
    text = _TOKEN_BARE.sub(r"\g<head>", text)
    text = _URL.sub(lambda match: match["start"] + _without_tokens(match["rest"], closing), text)
    return _HEADER.sub(r"\g<start>***", text)


def _without_password(pattern: re.Pattern[str], piece: str) -> str:
    """Returns a piece of text without the passwords that `pattern` finds.

    Nothing behind the last sign for @ can be a password. It is not searched: the pattern would look from each start of
    a URL there to the end of the piece.
    """
    end = 0
    for sign in _AT_SIGN.finditer(piece):
        end = sign.end()
    return pattern.sub(_without_userinfo, piece[:end]) + piece[end:] if end else piece


def _without_tokens(rest: str, closing: str) -> str:
    """Returns the text after ``https://`` without the tokens in the path and the query."""
    url = rest.rstrip(closing) if closing else rest
    cleaned = _TOKEN.sub("", url)
    return _QUERY.sub(lambda match: _without_secrets(match[0]), cleaned) + rest[len(url) :]


def _without_userinfo(match: re.Match[str]) -> str:
    start, user = match["start"], match["user"]
    if user and re.match(r"(?:.*\+)?(?:ssh|sftp)[:%]", start, re.IGNORECASE):
        return start + user + match["at"]
    return start


def _without_secrets(query: str) -> str:
    """Returns a query or fragment (with its first ``?`` or ``#``) without parameters that have the name of a secret."""
    _, *pieces = _DELIMITER.split(query)
    kept: list[str] = []
    dropping: int | None = None  # how many times the delimiter of the dropped parameter is encoded
    inherited = ""  # the ? of a dropped first parameter, which the next parameter of the same query needs
    for delimiter, parameter in zip(pieces[::2], pieces[1::2], strict=True):
        depth = _depth(delimiter)
        separates = delimiter[-1] in "&#" or delimiter[-2:].lower() in ("26", "23")
        if dropping is not None and (depth > dropping or not separates):
            continue  # part of the dropped value
        name, *value = _EQUALS.split(parameter, maxsplit=1)
        if value and _is_secret(name):
            dropping = depth
            inherited = inherited or (delimiter if _opens(delimiter) else "")
            continue
        dropping = None
        same_query = inherited and not _opens(delimiter) and depth == _depth(inherited)
        kept.append((inherited if same_query else delimiter) + parameter)
        inherited = ""
    return "".join(kept)


def _is_secret(name: str) -> bool:
    """Whether the name of a parameter, percent-encoded any number of times, is that of a secret."""
    for _ in range(_MOST_ROUNDS):
        decoded = unquote(name)
        if decoded == name:
            return bool(_SECRET_NAME.search(name))
        name = decoded
    return True  # no honest name is encoded so often


def _depth(delimiter: str) -> int:
    """Returns how many times a delimiter is percent-encoded."""
    return delimiter.count("25") + delimiter.startswith("%")


def _opens(delimiter: str) -> bool:
    return delimiter[-1] in "?#" or delimiter[-2:].lower() in ("3f", "23")
