"""What a command works on: the process's settings, and the lake without or with Spark."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from jobs.lake.errors import Terminal

if TYPE_CHECKING:
    from jobs.lake.runtime import Lake
    from jobs.lake.sql import LakeSql
    from jobs.settings import Settings


class BadSettings(Terminal):
    """A RECLAKE_* variable has a value that cannot be used."""


def settings() -> Settings:
    """The settings of this process; those that are not set come from a running `make demo`.

    Raises BadSettings, which names the variable.
    """
    from pydantic import ValidationError

    from jobs.settings import Settings, get_settings

    try:
        here = get_settings().home / "stack" / "reclake.env"
        return Settings(_env_file=here)  # type: ignore[call-arg]
    except ValidationError as error:
        problems = (
            f"RECLAKE_{'__'.join(str(part) for part in item['loc']).upper()}: {item['msg']}"
            for item in error.errors()
        )
        raise BadSettings("\n".join(problems)) from error


def reader(ds: date | None = None) -> LakeSql:
    """The lake, for reading without Spark."""
    from jobs.lake.sql import LakeSql

    current = settings()
    return LakeSql(current.lake, current.contracts, ds)


def runtime(changed: Settings | None = None) -> Lake:
    """The lake, for running tables on Spark, whose session is opened when a step needs it.

    changed: other settings than this process's.
    """
    from jobs.cli.terminal.services import require_spark
    from jobs.lake.runtime import Lake
    from jobs.spark import connect, submitted

    current = changed or settings()
    if not submitted():
        require_spark(current.spark_url)
    return Lake(lambda: connect(current), current)
