"""`docs/cli.md`, made from the commands' own help: `python -m jobs.cli.docs > docs/cli.md`."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

WIDTH = 90

_HEAD = """\
<!-- Made by `python -m jobs.cli.docs > docs/cli.md`; change the help texts instead. -->
# The `reclake` command

Exit codes: 0 done; 1 a person has to act, the message says how; 2 the command line is wrong;
75 a server did not answer or another run was in the way, try again.

Answers go to standard output, remarks about them to standard error.
"""
_SETTINGS = """\
## Settings

Environment variables, read at start. `make demo` writes the addresses of its own servers to
`$RECLAKE_HOME/stack/reclake.env`, which `reclake` reads; a variable that you set wins. A bad value
stops the command with an error that names the variable.

| variable | default | meaning |
|---|---|---|
"""


def reference() -> str:
    """The whole page."""
    from jobs.cli.app import app

    parts = [_HEAD]
    for path, command in commands(typer.main.get_command(app)):
        parts.append(f"## {' '.join(path)}\n\n```text\n{help_text(path, command)}\n```\n")
    rows = "".join(f"| `{name}` | {shown} | {text} |\n" for name, shown, text in _settings())
    parts.append(_SETTINGS + rows)
    return "\n".join(parts)


def commands(root: Any) -> Iterator[tuple[tuple[str, ...], TyperCommand | TyperGroup]]:
    """Every command with its words, groups before their members."""

    def below(path: tuple[str, ...], command: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
        yield path, command
        for name, member in getattr(command, "commands", {}).items():
            yield from below((*path, name), member)

    return below(("reclake",), root)


def help_text(path: tuple[str, ...], command: TyperCommand | TyperGroup) -> str:
    """What `--help` prints, at a fixed width."""
    context = typer.Context(
        command, info_name=" ".join(path), terminal_width=WIDTH, max_content_width=WIDTH
    )
    return command.get_help(context).strip()


def _settings() -> Iterator[tuple[str, str, str]]:
    """Variable, default and meaning of each setting, nested ones spelled out."""
    from pydantic import BaseModel, SecretStr

    from jobs.lake.settings import ROOT
    from jobs.settings import Settings

    def below(prefix: str, model: type[BaseModel]) -> Iterator[tuple[str, str, str]]:
        for name, field in model.model_fields.items():
            variable = f"{prefix}{name.upper()}"
            default = field.default
            if isinstance(default, BaseModel):
                yield from below(f"{variable}__", type(default))
                continue
            if isinstance(default, SecretStr):
                default = default.get_secret_value()
            if isinstance(default, Path):
                default = default.relative_to(ROOT)
            if isinstance(default, dict):
                default = json.dumps(default)
            shown = f"`{default}`" if default not in ("", None) else ""
            meaning = field.description or _said_of(name, model.__doc__ or "")
            yield variable, shown, meaning.replace("|", "\\|")

    return below("RECLAKE_", Settings)


def _said_of(name: str, docstring: str) -> str:
    """What a docstring of the form `name: meaning. other: meaning.` says of one name.

    >>> _said_of("size", "All of it. count: how many. size: how large.")
    'how large'
    """
    found = re.search(rf"\b{name}: (.+?)\.(?:\s|$)", " ".join(docstring.split()))
    return found[1] if found else ""


if __name__ == "__main__":
    sys.stdout.write(reference())
