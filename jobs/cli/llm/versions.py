"""Two versions of a prompt on the same sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyspark.sql import functions as F

from jobs.cli.terminal.output import print_table, say, text
from jobs.lake import Sink
from jobs.lake.errors import UpstreamMissing
from jobs.llm.answers import of_version
from jobs.llm.commits import LEDGER
from jobs.llm.contents import CONTENT_FIELDS, has_text
from jobs.llm.daily import WorkList, enrich_day
from jobs.llm.plan import Ask
from jobs.llm.prompt import Prompt, prompt_of
from jobs.llm.status import SUCCESS
from jobs.llm.subjects import TABLES, asked_until, fields_of, subject_of
from jobs.settings import RunParams

if TYPE_CHECKING:
    from jobs.lake.runtime import Lake

Row = dict[str, Any]

_DAYS = "`reclake status` says which days there are."
_WHERE_ASKED = {
    "item": _DAYS,
    "user": _DAYS,
    "companion": "Run a day with a companion_budget first: its questions are the sample.",
    "pair": "Run a day with a reason_budget first: its questions are the sample.",
}


def compare(
    lake: Lake, name: str, versions: tuple[int, int], ds: date, sample: int, *, dry_run: bool
) -> Row:
    """Ask a sample of day `ds` under both versions; nothing that was answered is paid again.

    Keys: prompt, ds, model, versions (prompt_version, counts, success share, mean gate score and
    completion length in characters, by version), rows (subject, and each version's status, gate
    score and answer). Raises PromptError, also for a name without a prompt, and UpstreamMissing
    when the day has nothing to ask.
    """
    prompts = [_version(lake, name, number) for number in versions]
    asks = _drawn(lake, name, ds, sample)
    if not asks:
        raise UpstreamMissing(
            f"llm diff {name} ds={ds}: there is nothing to ask about on that day. Nothing was "
            f"sent. {_WHERE_ASKED[name]}"
        )
    run = lake.by_hand(ds, params=RunParams(dry_run=dry_run))
    table = TABLES[name]

    def enrich(prompt: Prompt) -> Mapping[str, int | float | str]:
        known = _answers(lake, table, prompt, asks)
        new = [ask for ask in asks if _key(ask) not in known]
        work, answers = WorkList(new, len(asks) - len(new)), lake.read_as_of(table, ds)
        ledger = lake.tables.read(LEDGER)
        return enrich_day(run, Sink(lake.tables), table, prompt, work, answers, ledger).counts

    counts = [enrich(prompt) for prompt in prompts]
    answered = [_answers(lake, table, prompt, asks) for prompt in prompts]
    rows = [
        {
            "subject": text({k: v for k, v in ask.fields.items() if k in prompts[0].inputs and v}),
            "answers": [by_key.get(_key(ask)) for by_key in answered],
        }
        for ask in asks
    ]
    return {
        "prompt": name,
        "ds": ds,
        "model": lake.settings.llm_model,
        "versions": [
            {"prompt_version": p.prompt_version, "counts": dict(c)} | _summary(list(a.values()))
            for p, c, a in zip(prompts, counts, answered, strict=True)
        ],
        "rows": rows,
    }


def print_comparison(found: Row) -> None:
    """Each subject with both answers, then the shares."""
    versions = [version["prompt_version"] for version in found["versions"]]
    for row in found["rows"]:
        say(f"\n{row['subject']}")
        for version, answer in zip(versions, row["answers"], strict=True):
            if answer is None:
                say(f"  {version}: no answer")
                continue
            score = text(answer["gate_score"]) or "no score"
            said = "; ".join(f"{k} {text(v)}" for k, v in answer["answer"].items())
            say(f"  {version}: {answer['status']}, {score}: {said or text(answer['raw_text'])}")
    say()
    columns = ("answers", "success", "gate_score", "characters")
    print_table(
        ("version", *columns),
        [[v["prompt_version"], *(v[column] for column in columns)] for v in found["versions"]],
    )


def _version(lake: Lake, name: str, number: int) -> Prompt:
    llm = lake.settings.llm.model_copy(
        update={"prompts": {**lake.settings.llm.prompts, name: number}}
    )
    return prompt_of(name, lake.settings.model_copy(update={"llm": llm}))


def _drawn(lake: Lake, name: str, ds: date, sample: int) -> list[Ask]:
    """Items or users as of the day; for pairs and companions, what days up to it asked, because
    only a run of the day has the indexes and lists that their questions come from."""
    if name == "item":
        items = lake.read_as_of("silver.items", ds).where(F.col("is_sellable") & has_text("title"))
        contents = items.groupBy("content_hash").agg(*(F.min(n).alias(n) for n in CONTENT_FIELDS))
        rows = contents.orderBy("content_hash").limit(sample).toArrow().to_pylist()
        return [Ask({"content_hash": r["content_hash"]}, r["content_hash"], r) for r in rows]
    if name in ("companion", "pair"):
        keys = asked_until(lake, name, ds, sample)
        subject = subject_of(name)
        return [
            Ask(key, key[subject], fields)
            for key, fields in zip(keys, fields_of(lake, name, keys), strict=True)
            if fields is not None
        ]
    profiles = lake.read_as_of("silver.user_profiles", ds).orderBy("profile_hash", "user_id")
    return [
        Ask(
            {"user_id": row["user_id"], "profile_hash": row["profile_hash"]},
            row["profile_hash"],
            {"profile": row["profile"]},
        )
        for row in profiles.limit(sample).toArrow().to_pylist()
    ]


def _key(ask: Ask) -> tuple[str, ...]:
    return tuple(ask.key.values())


def _answers(
    lake: Lake, table: str, prompt: Prompt, asks: Sequence[Ask]
) -> dict[tuple[str, ...], Row]:
    """By key: status, gate_score, raw_text, and answer, the fields that are not null."""
    key = list(asks[0].key)
    fields = list(prompt.answer_schema["properties"])
    kept = [name for name in fields if name in lake.contracts[table].column_names]
    all_answers = lake.read_as_of(table, date.max)
    wanted = all_answers.sparkSession.createDataFrame(
        pa.Table.from_pylist([dict(ask.key) for ask in asks])
    )
    found = (
        of_version(all_answers, prompt, lake.settings.llm_model)
        .join(F.broadcast(wanted), key, "left_semi")
        .select(*key, "status", "gate_score", "raw_text", *kept)
        .toArrow()
        .to_pylist()
    )
    return {
        tuple(row[name] for name in key): {
            "status": row["status"],
            "gate_score": row["gate_score"],
            "raw_text": row["raw_text"],
            "answer": {name: row[name] for name in kept if row[name]},
        }
        for row in found
    }


def _summary(answers: Sequence[Row]) -> Row:
    scores = [a["gate_score"] for a in answers if a["gate_score"] is not None]
    lengths = [len(a["raw_text"]) for a in answers if a["raw_text"]]
    return {
        "answers": len(answers),
        "success": sum(a["status"] == SUCCESS for a in answers) / len(answers) if answers else None,
        "gate_score": sum(scores) / len(scores) if scores else None,
        "characters": sum(lengths) / len(lengths) if lengths else None,
    }
