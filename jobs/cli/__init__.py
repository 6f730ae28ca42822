"""The `reclake` command. Importing it loads no engine; each command imports what it needs."""

from jobs.cli.app import main

__all__ = ["main"]
