"""Names of a model's own as the text form can print them."""

from __future__ import annotations

import re
from collections.abc import Iterable

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*", re.ASCII)


def identifier(name: str) -> str:
    """The name as the text form can print it; the name itself where it can."""
    if _NAME.fullmatch(name):
        return name
    text = re.sub(r"[^A-Za-z0-9_.]", "_", name, flags=re.ASCII)
    return f"_{text}" if text[:1].isdigit() else text


def unique(names: Iterable[str]) -> list[str]:
    """Identifiers for names, all different."""
    found: list[str] = []
    taken: set[str] = set()
    for name in names:
        base = identifier(name) or "_"
        choice, count = base, 1
        while choice in taken:
            count += 1
            choice = f"{base}_{count}"
        taken.add(choice)
        found.append(choice)
    return found


def constant_name(name: str) -> str:
    """A name for large data that the text form can print."""
    return re.sub(r"\W", "_", name, flags=re.ASCII)
