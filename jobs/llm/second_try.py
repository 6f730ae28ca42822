"""Answers that could not be used, tried again: asked anew, or judged again for free.

A new answer replaces the row with its key, chunk by chunk, so that a killed replay loses nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyspark.sql import functions as F

from jobs.lake.errors import Terminal
from jobs.lake.schema import arrow_schema
from jobs.lake.sink import Sink
from jobs.llm.commits import LEDGER, answer_columns
from jobs.llm.daily import WorkList, enrich_day
from jobs.llm.errors import InvalidAnswer
from jobs.llm.gate import AnswerGate
from jobs.llm.plan import Ask
from jobs.llm.prompt import Fields, Prompt, prompt_of
from jobs.llm.status import INVALID, REFUSED, REJECTED, SUCCESS, TOO_LONG
from jobs.llm.subjects import TABLES, fields_of, key_of, subject_of

if TYPE_CHECKING:
    from jobs.lake.runtime import Lake
    from jobs.lake.tables import Tables

ASKED_AGAIN = (INVALID, REFUSED, TOO_LONG)
# A judgement holds the vectors of all its answers' words.
JUDGED_AT_ONCE = 1_000


class NothingToTry(Terminal):
    """A prompt or status that `reclake llm replay` does not know."""


@dataclass(frozen=True)
class TriedAgain:
    """What a replay did, or would do.

    rows: answers with the status. known: those whose subject the lake still knows. changed: answers
    that are accepted now. counts: of the questions asked, as in a paying step (`jobs.llm.daily`).
    """

    table: str
    prompt_version: str
    model: str
    status: str
    rows: int
    known: int
    changed: int
    counts: Mapping[str, int | float | str]
    dry_run: bool

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def summary(self) -> str:
        head = (
            f"{self.table}, {self.prompt_version}, {self.model}: {self.rows:,} rows with status "
            f"{self.status}, {self.known:,} of them still known"
        )
        if self.status == REJECTED:
            would = "would be " if self.dry_run else ""
            return f"{head}; {self.changed:,} {would}accepted by today's gate."
        said = ", ".join(f"{name} {value}" for name, value in self.counts.items() if value)
        if self.dry_run:
            return f"{head}; asked again this would be: {said or 'nothing'}."
        return f"{head}; asked again: {said or 'nothing'}. {self.changed:,} accepted now."


def try_again(lake: Lake, name: str, status: str, *, dry_run: bool) -> TriedAgain:
    """Try the answers of one status again, of the prompt version and model in use.

    Raises NothingToTry for a prompt or a status that cannot be replayed, and the errors of asking.
    """
    if name not in TABLES:
        raise NothingToTry(f"{name}: no such prompt; one of {', '.join(TABLES)}")
    if status not in (*ASKED_AGAIN, REJECTED):
        raise NothingToTry(
            f"{status}: cannot be replayed; one of {', '.join((*ASKED_AGAIN, REJECTED))}. Failed "
            "and skipped calls are asked again by every run."
        )
    llm = lake.settings.section("llm")
    table, prompt = TABLES[name], prompt_of(name, llm)
    version, model = prompt.prompt_version, llm.llm_model
    same = {"prompt_version": version, "model": model, "status": status}
    found = lake.tables.rows(
        table,
        lake.contracts[table].column_names,
        [(column, "=", value) for column, value in same.items()],
    ).to_pylist()
    key = key_of(lake, name)
    rows = list({tuple(row[column] for column in key): row for row in found}.values())
    pairs = zip(rows, fields_of(lake, name, rows), strict=True)
    known = [(row, fields) for row, fields in pairs if fields is not None]
    counts: Mapping[str, int | float | str] = {}
    if status == REJECTED:
        passed = _judged_again(lake, prompt, known)
        if passed and not dry_run:
            accepted = pa.Table.from_pylist(passed, arrow_schema(lake.contracts[table]))
            lake.tables.update(table, lake.tables.from_arrow(table, accepted))
        changed = len(passed)
    else:
        counts = _asked_again(lake, name, prompt, status, known, dry_run=dry_run)
        changed = int(counts.get("success", 0))
    return TriedAgain(
        table, version, model, status, len(rows), len(known), changed, counts, dry_run
    )


class _InPlace(Sink):
    """Writes chunks of answers in place of the rows with their keys, in one table."""

    def __init__(self, tables: Tables, table: str) -> None:
        super().__init__(tables)
        self._table = table

    def append(self, table: str, rows: pa.Table, chunk_id: str) -> None:
        if table != self._table:
            super().append(table, rows, chunk_id)
            return
        self._tables.update(table, self._tables.from_arrow(table, rows))


def _asked_again(
    lake: Lake,
    name: str,
    prompt: Prompt,
    status: str,
    known: Sequence[tuple[dict[str, Any], Fields]],
    *,
    dry_run: bool,
) -> Mapping[str, int | float | str]:
    """Ask about the rows; the counts of `enrich_day`, for the newest day that selected one."""
    if not known:
        return {}
    table, key, subject = TABLES[name], key_of(lake, name), subject_of(name)
    asks = [Ask({n: row[n] for n in key}, row[subject], fields) for row, fields in known]
    ds = max(row["selected_ds"] for row, _ in known)
    run = lake.by_hand(ds, params=lake.settings.params.model_copy(update={"dry_run": dry_run}))
    others = lake.read_as_of(table, ds).where(F.col("status") != status)
    ledger = lake.tables.read(LEDGER)
    work = WorkList(asks, cached=0)
    return enrich_day(run, _InPlace(lake.tables, table), table, prompt, work, others, ledger).counts


def _judged_again(
    lake: Lake, prompt: Prompt, known: Sequence[tuple[dict[str, Any], Fields]]
) -> list[dict[str, Any]]:
    """The rows that today's gate accepts, as it keeps them."""
    asked: list[tuple[dict[str, Any], Fields, dict[str, Any]]] = []
    for row, fields in known:
        try:
            answer = prompt.parse(row["raw_text"] or "")
        except InvalidAnswer:  # an answer to the prompt's simpler form
            if prompt.fallback is None:
                continue
            answer = prompt.fallback.parse(row["raw_text"] or "")
        asked.append((row, fields, answer))
    if not asked:
        return []
    from jobs.vectors.encoder import Encoder  # brings torch

    settings = lake.settings
    threshold = settings.section("llm").llm.gate_threshold
    gate = AnswerGate(Encoder.of(settings.section("encoder")), threshold)
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
