"""Text for HTML and SVG: what has a meaning there made harmless, and tables."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

# XML has no way at all to write these.
_FORBIDDEN = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def escape(text: str) -> str:
    """The text as it is read, between tags or in an attribute's quotes."""
    return html.escape(_FORBIDDEN.sub("\ufffd", text))


def table_markup(rows: Iterable[Sequence[str]], *, right: Iterable[int] = ()) -> str:
    """A table, its first row the head; the columns in `right` are to the right."""
    head, *body = rows
    to_right = frozenset(right)
    lines = [
        "".join(f'<td class="{"r" if at in to_right else "l"}">{escape(cell)}</td>'
                for at, cell in enumerate(row))
        for row in body
    ]  # fmt: skip
    first = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    return f"<table><tr>{first}</tr>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


# Nothing from elsewhere, and nothing that reaches beyond what stands in `class="mlir-lite"`.
STYLE = """<style>
.mlir-lite{background:#fff;color:#22303c;padding:.6em .8em;max-height:40em;overflow:auto;\
border:1px solid #dfe3e7;border-radius:4px;line-height:1.35}
.mlir-lite pre{margin:0;background:none;color:inherit;font-size:12px;line-height:1.4}
.mlir-lite b{color:#1d5fa8;font-weight:600}
.mlir-lite i{font-style:normal;color:#8a5a00}
.mlir-lite u{text-decoration:none;color:#2f7d4f}
.mlir-lite s{text-decoration:none;color:#8a949d}
.mlir-lite [title]{cursor:help}
.mlir-lite td.r{text-align:right}.mlir-lite td.l,.mlir-lite th{text-align:left}
</style>"""


def boxed(content: str) -> str:
    """HTML for a notebook: what is given, on a ground of its own, whatever the page looks like."""
    return f'{STYLE}<div class="mlir-lite">{content}</div>'
