"""Finds secrets in the content of a file: keys and tokens whose form is known, logins in URLs, secret variables.

The forms are those of detect-secrets, without its detectors by entropy: random texts are common in notebooks and data.
A secret of no known form is not found, except as the value of a variable in a file that sets variables.

Source: https://github.com/Yelp/detect-secrets
"""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Callable, Iterable, Iterator

from jupyter_condabuild.conda.secrets import scrub

_DETECTORS = {
    "aws": "AWSKeyDetector",
    "azure_storage_key": "AzureStorageKeyDetector",
    "basic_auth": "BasicAuthDetector",
    "github_token": "GitHubTokenDetector",
    "gitlab_token": "GitLabTokenDetector",
    "jwt": "JwtTokenDetector",
    "pypi_token": "PypiTokenDetector",
    "sendgrid": "SendGridDetector",
    "slack": "SlackDetector",
    "square_oauth": "SquareOAuthDetector",
    "stripe": "StripeDetector",
}
"""Modules of detect_secrets.plugins and their classes. Each secret of theirs contains one of `_SIGNS`."""

_MORE = (
    ("GitHub Token", re.compile(r"github_pat_[A-Za-z0-9_]{22,}")),
    ("Hugging Face Token", re.compile(r"\bhf_[A-Za-z0-9]{30,}")),
    ("Google API Key", re.compile(r"\bAIza[0-9A-Za-z_-]{35}")),
    ("Google OAuth Secret", re.compile(r"\bGOCSPX-[0-9A-Za-z_-]{28}")),
    ("Docker Hub Token", re.compile(r"\bdckr_[po]at_[A-Za-z0-9_-]{20,}")),
    ("Anthropic API Key", re.compile(r"\bsk-ant-[A-Za-z0-9_-]{20,}")),
    (
        "OpenAI Token",
        re.compile(r"\bsk-(?:(?:proj|svcacct|admin)-[A-Za-z0-9_-]{20}|[\w-]{0,100}T3BlbkFJ[A-Za-z0-9]{20})"),
    ),
    ("NPM Token", re.compile(r":_authToken\s*=\s*(?:npm_\w{30,}|[A-Fa-f0-9-]{36})")),
    ("conda Token", re.compile(r"/t/[A-Za-z]{2}-[0-9a-fA-F-]{20,}")),
    (
        "Authorization Header",
        re.compile(
            r"authorization\\?[\"']?\s*[:=]\s*\\?[\"']?(?:bearer|basic|token)\s+([\w.~+/=-]{16,})", re.IGNORECASE
        ),
    ),
)
"""Forms that detect-secrets does not know."""

_SIGNS = (
    *(b"AKIA", b"ASIA", b"ABIA", b"ACCA", b"A3T", b"AccountKey", b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_"),
    *(b"github_pat_", b"glpat-", b"gldt-", b"glft-", b"glsoat-", b"glrt-", b"GR1348941", b"glcbt-", b"glimt-"),
    *(b"glptt-", b"glagent-", b"gloas-", b"eyJ", b"_authToken", b"sk-", b"PRIVATE KEY", b"PuTTY-User-Key"),
    *(b"pypi-Ag", b"SG.", b"xox", b"hooks.slack.com", b"sq0csp-", b"k_live_", b"hf_", b"AIza", b"GOCSPX-", b"dckr_"),
    *(b"/t/", b"uthorization", b"UTHORIZATION", b"aws", b"AWS"),
)
"""Texts without which a file has no secret of these forms: looking for them is fast, and most files have none."""

_LOGIN = re.compile(rb"://[^\s:/?#@]{0,200}:[^\s/@]{1,200}@")
_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
    r"(?:(?:\\{1,8}r)?\\{1,8}n[\"']?,?\s*[\"']?|\s+[\"']?)(?:\\{1,8}n)?[A-Za-z0-9+/=_:-]{8}"
    r"|^PuTTY-User-Key-File-\d",
    re.MULTILINE,
)
_PLACEHOLDER = re.compile(
    r"(?:user(?:name)?|login|me|my)?[-_.]?(?:pass(?:word|wd|phrase)?|pwd?|secret|token|key|credentials?)?\d?"
    r"|x+|y+|\*+|\.+|foo|bar|abc|123\d*|changeme|hunter2|guest|admin|root|postgres|example",
    re.IGNORECASE,
)
_REFERENCE = re.compile(r"[{}$<>%*|\\]|\.\.\.|…")
"""Characters of a template or an elision: ``${TOKEN}``, ``<password>``, ``%s``."""

_VARIABLE = re.compile(
    r"(?:(?P<name>[A-Za-z_]\w{0,99})[\"']?\s{0,9}[=:]\s{0,9}|^\s*set(?:env)?(?:\s+-\w+)*\s+(?P<csh>[A-Za-z_]\w{0,99})\s+)"
    r"(?P<quote>[\"']?)(?P<value>[^\s\"'$`;/][^\s\"'$`;]{5,})(?P=quote)"
)
_SETS_VARIABLES = re.compile(
    r"(?:^|/)etc/conda/(?:de)?activate\.d/|(?:^|/)etc/conda/env_vars\.d/|(?:^|/)conda-meta/state$|(?:^|/)kernel\.json$"
)
_SECRET_VARIABLE = re.compile(
    r"(?:^|_)(?:tokens?|secrets?|passw(?:or)?d|passphrase|pwd|pat|credentials?|(?:api|access|private|secret|auth)_?key|auth)"
    r"(?:_(?!(?:file|path|dir|url|env|name|type)$)|$)",
    re.IGNORECASE,
)
_CONDA_OR_PIP = re.compile(r"(?:^|/)(?:\.?condarc|pip\.conf|pip\.ini|\.?pip/pip\.conf|direct_url\.json)$")

_WINDOW, _OVERLAP = 8000, 400
"""Longer lines are searched in parts, because the time of some expressions grows faster than their input."""

VERSION = 1
"""Changes with every change of the forms: files that an earlier version found clean are searched again."""


def find(data: bytes, path: str, *, scrubbed: bool = False) -> list[tuple[int, str]]:
    """Returns the line and the kind of each secret in the content of a file, sorted by line. Binary data has none.

    Args:
        path: the path of the file, which decides whether the file sets variables.
        scrubbed: whether the image gets the file without the logins of its URLs.
    """
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        data = data.decode("utf-16", "replace").encode()
    if b"\0" in data[:8192]:
        return []
    variables, settings = bool(_SETS_VARIABLES.search(path)), bool(_CONDA_OR_PIP.search(path))
    if not (variables or settings or any(sign in data for sign in _SIGNS) or _LOGIN.search(data)):
        return []
    text = data.decode("utf-8", "surrogateescape")
    if scrubbed:
        text = scrub(text)
    found = set(_of_known_form(text))
    if variables:
        found |= set(_secret_variables(text))
    if settings and not scrubbed:
        found |= {(number, "login") for number, line in _lines(text) if scrub(line) != line}
    return sorted(found)


def _of_known_form(text: str) -> Iterator[tuple[int, str]]:
    keys = {text.count("\n", 0, match.start()) + 1 for match in _PRIVATE_KEY.finditer(text)}
    yield from ((number, "Private Key") for number in keys)
    lines = list(_lines(text))
    for kind, secrets in _detectors():
        if max(map(len, (line for _, line in lines))) <= _WINDOW and not any(secrets(text)):
            continue  # one search of the whole text is faster than a search of each line
        for number, line in lines:
            if any(_is_real(kind, secret) for secret in secrets(line)):
                yield number, kind


def _secret_variables(text: str) -> Iterator[tuple[int, str]]:
    for number, line in _lines(text):
        for match in _VARIABLE.finditer(line):
            if _SECRET_VARIABLE.search(match["name"] or match["csh"]) and not _is_placeholder(match["value"]):
                yield number, "Secret Variable"


def _lines(text: str) -> Iterable[tuple[int, str]]:
    for number, line in enumerate(text.split("\n"), 1):
        if len(line) <= _WINDOW:
            yield number, line
        else:
            yield from ((number, line[i : i + _WINDOW + _OVERLAP]) for i in range(0, len(line), _WINDOW))


def _is_real(kind: str, secret: str) -> bool:
    if kind == "Basic Auth Credentials":
        return not _is_placeholder(secret)
    return "EXAMPLE" not in secret


def _is_placeholder(value: str) -> bool:
    return bool(_PLACEHOLDER.fullmatch(value) or _REFERENCE.search(value))


@functools.cache
def _detectors() -> list[tuple[str, Callable[[str], Iterable[str]]]]:
    """Returns kinds of secrets, each with the function that yields the secrets of this kind in a text."""
    found: list[tuple[str, Callable[[str], Iterable[str]]]] = []
    for module, name in _DETECTORS.items():
        detector = getattr(importlib.import_module(f"detect_secrets.plugins.{module}"), name)()
        found.append((detector.secret_type, detector.analyze_string))
    for kind, form in _MORE:
        found.append((kind, functools.partial(_matches, form)))
    return found


def _matches(form: re.Pattern[str], text: str) -> Iterator[str]:
    return (match[0] for match in form.finditer(text))
