"""Finds secrets in the content of a file: keys and tokens whose form is known, logins in URLs, secret variables.

The forms are those of detect-secrets, without its detectors by entropy: random texts are common in notebooks and data.
A secret of no known form is not found, except as the value of a variable in a file that sets variables.

Source: https://github.com/Yelp/detect-secrets
"""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence, Set

from jupyter_condabuild.conda.secrets import scrub

_VALUE = rb"[^\n]{0,128}?[\"'][0-9A-Za-z/+]{40}[\"']"
"""What follows ``aws`` in front of a secret key of AWS. The three letters alone are in many words, such as laws."""

_A = rb"A(?:KIA|SIA|BIA|CCA|3T|(?:WS|ws)%b|ccountKey|Iza)" % _VALUE

_DETECTORS = (
    ("aws", "AWSKeyDetector", (_A, rb"aws%b" % _VALUE)),
    ("azure_storage_key", "AzureStorageKeyDetector", (_A,)),
    ("basic_auth", "BasicAuthDetector", (rb"://[^\s:/?#@]{0,200}:[^\s/@]{1,200}@",)),
    ("github_token", "GitHubTokenDetector", (rb"gh[opsur]_",)),
    ("gitlab_token", "GitLabTokenDetector", (rb"gl(?:pat|dt|ft|soat|rt|cbt|imt|ptt|agent|oas)-", rb"GR1348941")),
    ("jwt", "JwtTokenDetector", (rb"eyJ",)),
    ("pypi_token", "PypiTokenDetector", (rb"pypi-AgE",)),
    ("sendgrid", "SendGridDetector", (rb"SG\.",)),
    ("slack", "SlackDetector", (rb"xox[abposr]-", rb"hooks\.slack\.com")),
    ("square_oauth", "SquareOAuthDetector", (rb"sq0csp-",)),
    ("stripe", "StripeDetector", (rb"k_live_",)),
)
"""Modules of detect_secrets.plugins, their classes, and expressions of which each secret of theirs contains one.

Most files match none of these expressions. They begin with a plain text, because such a search is fast.
"""

_MORE = (
    ("GitHub Token", re.compile(r"github_pat_[A-Za-z0-9_]{22,}"), (rb"github_pat_",)),
    ("Hugging Face Token", re.compile(r"\bhf_[A-Za-z0-9]{30,}"), (rb"hf_",)),
    ("Google API Key", re.compile(r"\bAIza[0-9A-Za-z_-]{35}"), (_A,)),
    ("Google OAuth Secret", re.compile(r"\bGOCSPX-[0-9A-Za-z_-]{28}"), (rb"GOCSPX-",)),
    ("Docker Hub Token", re.compile(r"\bdckr_[po]at_[A-Za-z0-9_-]{20,}"), (rb"dckr_",)),
    ("Anthropic API Key", re.compile(r"\bsk-ant-[A-Za-z0-9_-]{20,}"), (rb"sk-",)),
    ("OpenAI Token", re.compile(r"\bsk-(?:proj|svcacct|admin)-[A-Za-z0-9_-]{20}"), (rb"sk-",)),
    ("OpenAI Token", re.compile(r"\bsk-[\w-]{0,100}T3BlbkFJ[A-Za-z0-9]{20}"), (rb"sk-",)),
    ("NPM Token", re.compile(r":_authToken\s*=\s*(?:npm_\w{30,}|[A-Fa-f0-9-]{36})"), (rb":_authToken",)),
    ("conda Token", re.compile(r"/t/[A-Za-z]{2}-[0-9a-fA-F-]{20,}"), (rb"/t/[A-Za-z]{2}-",)),
    (
        "Authorization Header",
        re.compile(
            r"[Aa]uthorization\\?[\"']?\s*[:=]\s*\\?[\"']?"
            r"(?:[Bb]earer|BEARER|[Bb]asic|BASIC|[Tt]oken)\s+([\w.~+/=-]{16,})"
        ),
        (rb"uthorization",),
    ),
)
"""Forms that detect-secrets does not know, or finds more slowly."""

_KEY_SIGNS = frozenset((rb"PRIVATE KEY", rb"PuTTY-User-Key"))
_SIGNS = {
    sign: re.compile(sign).search
    for sign in (*_KEY_SIGNS, *(sign for _, _, signs in (*_DETECTORS, *_MORE) for sign in signs))
}

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

LOGIN = "Basic Auth Credentials"
SOFT = frozenset((LOGIN, "JSON Web Token", "Authorization Header"))
"""Kinds that are examples where a published package has them: in documentation, and in parsers of these forms."""


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
    signs = {sign for sign, search in _SIGNS.items() if search(data)}
    if not (variables or settings or signs):
        return []
    text = data.decode("utf-8", "surrogateescape")
    if scrubbed:
        text = scrub(text)
    lines = list(_lines(text))
    found = set(_of_known_form(text, lines, signs))
    if variables:
        found |= set(_secret_variables(lines))
    if settings and not scrubbed:
        found |= {(number, "login") for number, line in lines if scrub(line) != line}
    return sorted(found)


def _of_known_form(text: str, lines: Sequence[tuple[int, str]], signs: Set[bytes]) -> Iterator[tuple[int, str]]:
    if _KEY_SIGNS & signs:
        keys = {text.count("\n", 0, match.start()) + 1 for match in _PRIVATE_KEY.finditer(text)}
        yield from ((number, "Private Key") for number in keys)
    short = all(len(line) <= _WINDOW for _, line in lines) if signs else True
    for kind, secrets in _detectors(signs):
        if short and not any(secrets(text)):
            continue  # one search of the whole text is faster than a search of each line
        for number, line in lines:
            if any(_is_real(kind, secret, line) for secret in secrets(line)):
                yield number, kind


def _secret_variables(lines: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    for number, line in lines:
        for match in _VARIABLE.finditer(line):
            if _SECRET_VARIABLE.search(match["name"] or match["csh"]) and not _is_placeholder(match["value"]):
                yield number, "Secret Variable"


def _lines(text: str) -> Iterable[tuple[int, str]]:
    for number, line in enumerate(text.split("\n"), 1):
        if len(line) <= _WINDOW:
            yield number, line
        else:
            yield from ((number, line[i : i + _WINDOW + _OVERLAP]) for i in range(0, len(line), _WINDOW))


def _is_real(kind: str, secret: str, line: str) -> bool:
    if kind == LOGIN:
        return not (_is_placeholder(secret) or len(secret) < 3 or f"/{secret}:{secret}@" in line)
    return "EXAMPLE" not in secret


def _is_placeholder(value: str) -> bool:
    return bool(_PLACEHOLDER.fullmatch(value) or _REFERENCE.search(value))


Secrets = Callable[[str], Iterable[str]]
"""Yields the secrets of one kind in a text."""


def _detectors(signs: Set[bytes]) -> Iterator[tuple[str, Secrets]]:
    """Yields the kinds of secrets of which a file has a sign, each with its search."""
    for module, name, ways in _DETECTORS:
        if not signs.isdisjoint(ways):
            yield _of_library(module, name)
    for kind, form, ways in _MORE:
        if not signs.isdisjoint(ways):
            yield kind, functools.partial(_matches, form)


@functools.cache
def _of_library(module: str, name: str) -> tuple[str, Secrets]:
    """Returns the kind and the search of a detector of detect-secrets, whose first import takes 100 ms."""
    detector = getattr(importlib.import_module(f"detect_secrets.plugins.{module}"), name)()
    return detector.secret_type, detector.analyze_string


def _matches(form: re.Pattern[str], text: str) -> Iterator[str]:
    return (match[0] for match in form.finditer(text))
