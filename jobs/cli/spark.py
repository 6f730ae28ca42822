"""`reclake spark`: a Spark Connect server of this machine."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from jobs.cli.terminal.options import Json
from jobs.cli.terminal.output import note, print_json, say

app = typer.Typer(help="A Spark Connect server of this machine, for all commands.")


@app.command("start")
def start(
    port: Annotated[
        int, typer.Option("--port", min=1, max=65535, help="On loopback. Default: 15002.")
    ] = 15002,
    memory: Annotated[
        str,
        typer.Option(
            "--memory",
            metavar="SIZE",
            help="The JVM's heap, as Spark writes it: 4g. Default: a quarter of the memory, 1 to "
            "6 GiB.",
        ),
    ] = "",
    as_json: Json = False,
) -> None:
    """Start a server in the background and wait until it answers.

    It has Delta, which is downloaded once, and keeps the code of queries warm from command to
    command. One server for each RECLAKE_HOME; it lives until `reclake spark stop`.

    \b
    Example:
      reclake spark start
    """
    from jobs import spark_server
    from jobs.cli.terminal.services import answers
    from jobs.cli.terminal.session import settings

    chosen = memory or spark_server.driver_memory()
    server = spark_server.start(settings().home, port, chosen, note, answers)
    if as_json:
        print_json(asdict(server) | {"url": server.url})
        return
    say(f"Spark answers at {server.url} (process {server.pid}).")
    if server.url != settings().spark_url:
        say(f"For other commands: export RECLAKE_SPARK_URL={server.url}")


@app.command("stop")
def stop(as_json: Json = False) -> None:
    """End the server that `reclake spark start` started.

    \b
    Example:
      reclake spark stop
    """
    from jobs import spark_server
    from jobs.cli.terminal.session import settings

    server = spark_server.stop(settings().home)
    if as_json:
        print_json({"ended": server and asdict(server)})
        return
    said = f"ended process {server.pid}" if server else "no server of this home is running"
    say(f"Spark: {said}.")
