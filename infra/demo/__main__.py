"""`python -m infra.demo up`, `down` and `clean` are `make demo`, `make down` and `make clean`."""

from __future__ import annotations

import argparse
import errno
import os
import shutil
import sys
from pathlib import Path

from pydantic import ValidationError
from rich.console import Console

from infra.demo.run import DemoFailed, demo
from infra.demo.settings import DemoSettings
from infra.stack.settings import StackSettings
from infra.stack.stack import Stack
from infra.stack.state import StackBusy, StateUnreadable
from jobs.settings import get_settings

FULL_DISK = (errno.ENOSPC, errno.EDQUOT)
MADE_HERE = (
    "airflow",
    "bench",
    "jars",
    "lake",
    "landing",
    "logs",
    "milvus",
    "models",
    "postgres",
    "run",
    "scratch",
    "snapshots",
    "spark",
    "stack",
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.demo", description=__doc__)
    parser.add_argument("command", choices=["up", "down", "clean"])
    command = parser.parse_args().command
    console = Console(soft_wrap=not sys.stdout.isatty())
    try:
        settings, choices = get_settings(), StackSettings()
        if command == "up":
            demo(settings, choices, DemoSettings(), console)
        else:
            down(Stack(settings, choices), console)
        if command == "clean":
            clean(settings.home, console)
    except ValidationError as error:
        for item in error.errors():
            name = "__".join(str(part) for part in item["loc"]).upper()
            prefix = "DEMO" if error.title == DemoSettings.__name__ else "RECLAKE"
            console.print(f"{prefix}_{name}: {item['msg']}", style="red", markup=False)
        return 2
    except (DemoFailed, StackBusy, StateUnreadable) as error:
        console.print(f"\n{error}", style="red", markup=False, highlight=False)
        return 1
    except OSError as error:
        if error.errno not in FULL_DISK:
            raise
        file = f" ({error.filename})" if error.filename else ""
        target = "demo" if command == "up" else command
        said = (
            f"{os.strerror(error.errno)}{file}: free some disk (RECLAKE_HOME is "
            f"{get_settings().home}), then run `make {target}` again; it goes on from here."
        )
        console.print(f"\n{said}", style="red", markup=False, highlight=False)
        return 1
    except KeyboardInterrupt:
        console.print("\nInterrupted. `make demo` goes on from here, `make down` ends all servers.")
        return 130
    return 0


def down(stack: Stack, console: Console) -> None:
    """Ends the stack and says what was ended."""
    ended = stack.down()
    for name, count in sorted(ended.items()):
        noun = "process" if count == 1 else "processes"
        console.print(f"  {name:10} ended ({count} {noun})", highlight=False)
    if not ended:
        console.print("Nothing of this stack is running.")


def clean(home: Path, console: Console) -> None:
    """Deletes what the demo and the tests made in `home`, and nothing else there."""
    for name in MADE_HERE:
        folder = home / name
        if folder.is_dir():
            shutil.rmtree(folder)
            console.print(f"  {folder} deleted", highlight=False)


if __name__ == "__main__":
    sys.exit(main())
