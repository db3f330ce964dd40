"""A card as sections, and as Markdown."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class Section:
    """A heading with paragraphs, then a table, then a list; each may lack."""

    heading: str
    paragraphs: Sequence[str] = ()
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    items: Sequence[str] = ()


def to_markdown(title: str, card: Sequence[Section]) -> str:
    """The card as a Markdown file."""
    lines = [f"# {title}"]
    for section in card:
        lines += ["", f"## {section.heading}"]
        for paragraph in section.paragraphs:
            lines += ["", _escaped(paragraph)]
        if section.rows:
            lines += ["", _row(section.columns)]
            lines.append(_row(["---"] * len(section.columns)))
            lines += [_row([_escaped(c) for c in r]) for r in section.rows]
        if section.items:
            lines.append("")
            lines += [f"- {_escaped(item)}" for item in section.items]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escaped(text: str) -> str:
    """Ids and names of the data may hold Markdown's own characters."""
    for character in "\\`*_<>[]|#":
        text = text.replace(character, f"\\{character}")
    return text.replace("\n", " ")
