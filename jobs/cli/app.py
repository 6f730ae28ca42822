"""The command line's frame: which commands there are, and how an error ends one.

Exit codes: 0 done, 1 a person has to act, 2 the command line is wrong, 75 try again later.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from jobs.cli import (
    evaluate,
    explain,
    first_look,
    init,
    init_source,
    llm,
    replay,
    report,
    run,
    spark,
    sql,
    status,
    tables,
    tune,
)
from jobs.cli.terminal.output import note

TERMINAL, TRANSIENT = 1, 75

app = typer.Typer(
    name="reclake",
    help=(
        "Look at and run the reclake lakehouse.\n\n"
        "Start with `reclake status`. Settings come from RECLAKE_* variables; see docs/cli.md. "
        "`--debug`, anywhere on the line, shows the Python traceback of an error."
    ),
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
_MODULES = (status, tables, sql, run, replay, evaluate, tune, report, first_look, init, init_source)
for module in _MODULES:
    module.add_to(app)
app.add_typer(explain.app, name="explain")
app.add_typer(llm.app, name="llm")
app.add_typer(spark.app, name="spark")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    try:
        app(args=[a for a in arguments if a != "--debug"], prog_name="reclake")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 0
    except Exception as error:
        if debug:
            raise
        return _report(error)
    return 0


def _report(error: Exception) -> int:
    """Says what went wrong, on standard error, and returns the exit code for it."""
    from jobs.lake.errors import LakeError, Transient

    if isinstance(error, LakeError):
        note(f"reclake: {error}")
        return TRANSIENT if isinstance(error, Transient) else TERMINAL
    first_line = next(iter(str(error).splitlines()), "")
    note(
        f"reclake: unexpected {type(error).__name__}: {first_line}\n"
        "Run the same command with --debug to see where."
    )
    return TERMINAL
