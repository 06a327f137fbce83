"""The page of the documentation that explains the warnings, as HTML; its headings have the anchors of GitHub."""

from __future__ import annotations

import functools
import html
import re
from pathlib import Path

from jupyter_condabuild.warning_codes import PAGE

_IN_PACKAGE = Path(__file__).with_name(f"{PAGE}.md")
_IN_REPOSITORY = Path(__file__).parents[2] / f"docs/{PAGE}.md"
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 70em;
  padding: 0 1em; color-scheme: light dark }
table { border-collapse: collapse }
td, th { border: 1px solid #8886; padding: .3em .6em; text-align: left; vertical-align: top }
code { background: #8882; padding: 0 .2em }
:target { background: #fc08 }
"""


@functools.cache
def page() -> str:
    """Returns the page. A wheel has its own copy of the Markdown file; an editable install uses the repository's."""
    import mistune

    class Renderer(mistune.HTMLRenderer):
        def heading(self, text: str, level: int, **_: object) -> str:
            return f'<h{level} id="{anchor(text)}">{text}</h{level}>\n'

    file = _IN_PACKAGE if _IN_PACKAGE.is_file() else _IN_REPOSITORY
    render = mistune.create_markdown(renderer=Renderer(), plugins=["table"])
    body = render(file.read_text(encoding="utf-8"))
    head = f'<meta charset="utf-8"><title>jupyter-condabuild</title><style>{_STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{body}</body></html>'


def anchor(heading: str) -> str:
    """Returns the anchor of a heading: in lower case, without punctuation, with hyphens for spaces."""
    text = re.sub(r"<[^>]*>", "", html.unescape(heading)).lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
