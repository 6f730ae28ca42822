"""Which folders of jobs/ import which, as docs/architecture.md draws it.

python -m tests.architecture    draws the pictures of docs/architecture.md again
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "architecture.md"
# From the ground up; a folder imports from its own floor's folders never, and from lower ones only.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("lake",),
    ("vectors", "delta_jars"),
    ("llm",),
    ("recall",),
    ("judging",),
    ("bronze", "silver", "gold", "milvus"),
    ("settings", "python_workers"),
    ("spark",),
    ("airflow_task", "spark_server"),
    ("evaluation",),
    ("cli",),
)
WINGS: tuple[tuple[str, ...], ...] = (
    ("settings", "facts"),
    ("sources",),
    ("kernels", "params", "following"),
    ("lists",),
    ("methods", "measuring"),
    ("channels",),
    ("fusion",),
)
Edges = Mapping[tuple[str, str], Sequence[str]]


def imports_of(path: Path) -> set[str]:
    """The modules of jobs that a file imports anywhere, in functions and for types too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found |= {node.module, *(f"{node.module}.{name.name}" for name in node.names)}
        elif isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
    return {name for name in found if name.startswith("jobs.")}


def edges_below(package: str, known: Iterable[str]) -> Edges:
    """(importing, imported) of the parts of a package, and the files that import.

    package: dotted. known: its parts, folders or modules; files of others are left out.
    """
    folder, names = ROOT / package.replace(".", "/"), set(known)
    edges: dict[tuple[str, str], list[str]] = {}
    for path in sorted(folder.rglob("*.py")):
        part = path.relative_to(folder).parts[0].removesuffix(".py")
        for module in imports_of(path):
            other = module.removeprefix(f"{package}.").split(".")[0]
            if not module.startswith(f"{package}.") or part not in names or other not in names:
                continue
            if part != other:
                file = str(path.relative_to(ROOT))
                files = edges.setdefault((part, other), [])
                files += [] if file in files else [file]
    return edges


def picture(floors: Sequence[Sequence[str]], edges: Edges) -> str:
    """The floors as a Mermaid graph, the highest on top; an arrow runs from whoever imports.

    An arrow is left out where others lead the same way through a floor between.
    """
    lines = ["```mermaid", "flowchart TD"]
    for number in range(len(floors) - 1, -1, -1):
        names = "; ".join(floors[number])
        lines += [f"  subgraph floor{number} [ ]", f"    {names}", "  end"]
    direct = {(a, b) for a, b in edges if not _leads(a, b, edges)}
    lines += [f"  {a} --> {b}" for a, b in sorted(direct)]
    return "\n".join([*lines, "```"])


def _leads(start: str, end: str, edges: Edges) -> bool:
    """Whether a way of two arrows or more runs from start to end."""
    ways = [b for a, b in edges if a == start and b != end]
    seen: set[str] = set()
    while ways:
        here = ways.pop()
        if here == end:
            return True
        if here not in seen:
            seen.add(here)
            ways += [b for a, b in edges if a == here]
    return False


def pictures() -> dict[str, str]:
    """The pictures of the page by the heading that they stand below."""
    return {
        "The floors of jobs/": picture(FLOORS, edges_below("jobs", sum(FLOORS, ()))),
        "The wings of recall": picture(WINGS, edges_below("jobs.recall", sum(WINGS, ()))),
    }


def drawn(page: str) -> str:
    """The page with its pictures drawn again."""
    for heading, text in pictures().items():
        head, mark, rest = page.partition(f"## {heading}\n")
        before, _, after = rest.partition("```mermaid\n")
        page = head + mark + before + text + after.partition("```")[2]
    return page


if __name__ == "__main__":
    PAGE.write_text(drawn(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
