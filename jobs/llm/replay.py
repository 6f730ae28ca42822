"""Answers that could not be used, tried again: forgotten and asked anew, or judged for free."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from jobs.lake.errors import Terminal
from jobs.lake.schema import arrow_schema
from jobs.llm.bulk import answer_columns
from jobs.llm.errors import InvalidAnswer
from jobs.llm.gate import Gate
from jobs.llm.prompt import Fields, Prompt, prompt_of
from jobs.llm.status import INVALID, REFUSED, REJECTED, SUCCESS, TOO_LONG
from jobs.llm.subjects import TABLES, fields_of

if TYPE_CHECKING:
    from jobs.lake.runtime import Lake

ASKED_AGAIN = (INVALID, REFUSED, TOO_LONG)
# A judgement holds the vectors of all its answers' words.
JUDGED_AT_ONCE = 1_000


class NothingToReplay(Terminal):
    """A prompt or status that `reclake llm replay` does not know."""


@dataclass(frozen=True)
class Replayed:
    """What a replay did. rows: answers with the status. changed: forgotten, or accepted now."""

    table: str
    prompt_version: str
    model: str
    status: str
    rows: int
    changed: int
    dry_run: bool

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def summary(self) -> str:
        would = "would be " if self.dry_run else ""
        head = (
            f"{self.table}, {self.prompt_version}, {self.model}: {self.rows:,} rows with status "
            f"{self.status}"
        )
        if self.status == REJECTED:
            return f"{head}; {self.changed:,} {would}accepted by today's gate."
        run = "" if self.dry_run else f"\nNext: reclake run {self.table} --ds DAY"
        return f"{head}; {self.changed:,} {would}forgotten, to be asked again.{run}"


def replay(lake: Lake, name: str, status: str, *, dry_run: bool) -> Replayed:
    """Try the answers of one status again, of the prompt version and model in use.

    Raises NothingToReplay for a prompt or a status that cannot be replayed.
    """
    if name not in TABLES:
        raise NothingToReplay(f"{name}: no such prompt; one of {', '.join(TABLES)}")
    if status not in (*ASKED_AGAIN, REJECTED):
        raise NothingToReplay(
            f"{status}: cannot be replayed; one of {', '.join((*ASKED_AGAIN, REJECTED))}. Failed "
            "and skipped calls are asked again by every run."
        )
    table, prompt = TABLES[name], prompt_of(name, lake.settings)
    version, model = prompt.prompt_version, lake.settings.llm_model
    same = {"prompt_version": version, "model": model, "status": status}
    filters = [(column, "=", value) for column, value in same.items()]
    rows = lake.tables.rows(table, lake.contracts[table].column_names, filters).to_pylist()
    if status == REJECTED:
        passed = _judged_again(lake, name, prompt, rows)
        if passed and not dry_run:
            found = pa.Table.from_pylist(passed, arrow_schema(lake.contracts[table]))
            lake.tables.update(table, lake.tables.from_arrow(table, found))
        changed = len(passed)
    else:
        changed = len(rows)
        if rows and not dry_run:
            quoted = {column: value.replace("'", "''") for column, value in same.items()}
            predicate = " AND ".join(f"{column} = '{value}'" for column, value in quoted.items())
            lake.tables.delete(table, predicate)
    return Replayed(table, version, model, status, len(rows), changed, dry_run)


def _judged_again(
    lake: Lake, name: str, prompt: Prompt, rows: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The rows that today's gate accepts, as it keeps them."""
    asked: list[tuple[dict[str, Any], Fields, dict[str, Any]]] = []
    for row, fields in zip(rows, fields_of(lake, name, rows), strict=True):
        try:
            answer = prompt.parse(row["raw_text"] or "")
        except InvalidAnswer:  # an answer to the prompt's simpler form
            if prompt.fallback is None:
                continue
            answer = prompt.fallback.parse(row["raw_text"] or "")
        if fields is not None:
            asked.append((row, fields, answer))
    if not asked:
        return []
    from jobs.vectors.encoder import Encoder  # brings torch

    gate = Gate(Encoder.of(lake.settings), lake.settings.llm.gate_threshold)
    verdicts = [
        verdict
        for some in (asked[n : n + JUDGED_AT_ONCE] for n in range(0, len(asked), JUDGED_AT_ONCE))
        for verdict in gate.judge(prompt, [(fields, answer) for _, fields, answer in some])
    ]
    return [
        row | answer_columns(verdict.answer) | {"status": SUCCESS, "gate_score": verdict.score}
        for (row, _, _), verdict in zip(asked, verdicts, strict=True)
        if verdict.accepted
    ]
