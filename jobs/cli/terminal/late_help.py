"""Help texts that take words from settings and sources, filled in when they are shown.

Importing settings and sources takes a second, which a command that shows no help need not spend.
"""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperCommand


class LateHelp(TyperCommand):
    """A command whose options may have `{name}` in their help. `{field}` of RunParams stands for
    its description and default, `{methods_known}` for the names that can be evaluated."""

    def get_help(self, ctx: Any) -> str:
        for option in self.params:
            text = getattr(option, "help", None)
            if text and "{" in text:
                option.help = text.format_map(_Values())  # type: ignore[attr-defined]
        return super().get_help(ctx)


class _Values(dict[str, str]):
    def __missing__(self, name: str) -> str:
        if name == "methods_known":
            from jobs.recall.sources import CHANNEL_NAMES, METHOD_NAMES

            return ", ".join(dict.fromkeys(["i2i", *METHOD_NAMES, *CHANNEL_NAMES]))
        from jobs.settings import RunParams

        field = RunParams.model_fields[name]
        said = field.description or ""
        shown = field.default not in (None, (), False)
        default = f" Default: {field.default}." if shown else ""
        return f"{said[:1].upper()}{said[1:]}.{default}"


def given(context: typer.Context, names: tuple[str, ...]) -> dict[str, Any]:
    """The options with these names that the command line gives; the model has the defaults."""
    values = {name: context.params[name] for name in names}
    # A budget of 0 is given; it sends nothing.
    return {n: value for n, value in values.items() if value or (value == 0 and value is not False)}
