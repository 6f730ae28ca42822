"""`airflow standalone` less its two log servers, which would listen on every interface.

The API server reads task logs from the local disk, so nothing is lost on one machine.
"""

from __future__ import annotations

from typing import Any

from airflow.cli.commands import standalone_command

_SERVES_LOGS = ("scheduler", "triggerer")


def main() -> None:
    start_part = standalone_command.SubCommand.__init__

    def start_quietly(self: Any, parent: Any, name: str, command: list[str], env: Any) -> None:
        options = ["--skip-serve-logs"] if name in _SERVES_LOGS else []
        start_part(self, parent, name, [*command, *options], env)

    setattr(standalone_command.SubCommand, "__init__", start_quietly)  # noqa: B010
    standalone_command.StandaloneCommand.entrypoint(None)  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
