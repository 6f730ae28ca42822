"""What the glossary says of every method and channel, made of their entries.

python -m tests.recall.described    writes both tables of docs/glossary.md again
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from jobs.recall.sources import FILL_CHANNEL
from jobs.recall.sources.channels import CHANNELS
from jobs.recall.sources.methods import METHODS
from jobs.recall.sources.source import Source
from jobs.settings import RecallSettings

PAGE = Path(__file__).resolve().parents[2] / "docs" / "glossary.md"


def table(sources: Sequence[Source], weights: Mapping[str, float]) -> str:
    """One row a source: its name, what it goes by, its default weight, its module."""
    rows = ["| name | what it goes by | weight | module |", "|---|---|---|---|"]
    for source in sources:
        weight = f"{weights[source.name]:g}" if weights[source.name] else "none"
        if source.name == FILL_CHANNEL:
            weight += ", always built"
        path = source.module.replace(".", "/")
        rows.append(f"| `{source.name}` | {source.summary} | {weight} | `{path}.py` |")
    return "\n".join(rows)


def drawn(page: str) -> str:
    """The page with both tables written again."""
    recall = RecallSettings()
    parts = {
        "methods": table(METHODS, recall.i2i.weights),
        "channels": table(CHANNELS, recall.user.weights),
    }
    for name, text in parts.items():
        block = f"<!-- {name} -->\n{text}\n<!-- /{name} -->"
        page = re.sub(
            rf"<!-- {name} -->.*?<!-- /{name} -->", lambda _, b=block: b, page, flags=re.S
        )
    return page


if __name__ == "__main__":
    PAGE.write_text(drawn(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
