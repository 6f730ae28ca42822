"""What part the LLM had in a text, or why it had none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jobs.cli.explain.day import Day, Row
from jobs.cli.terminal.output import say, text

HEAD = ("status", "gate_score", "prompt_version", "model", "selected_ds")


def part_in_text(
    day: Day, used: Row | None, answers: Sequence[Row], subject: str, budget: int | None
) -> dict[str, Any]:
    """What the LLM did for one text of the day. Keys: why (one sentence), answers.

    used: the text's row (text_source, prompt_version, model); None when there is no text.
    answers: all answers about the same content, newest first (`HEAD`, then the answer's fields).
    subject: the content or profile hash that stands in the ledger.
    budget: how many contents the day could select; None when the step that asks did not run.
    """
    failed = day.row(
        "SELECT ds, error FROM ops.llm_ledger WHERE subject = $subject AND status = 'error' "
        "ORDER BY recorded_at DESC LIMIT 1",
        subject=subject,
    )
    threshold = day.settings.llm.gate_threshold
    return {"why": why(used, answers, failed, budget, threshold), "answers": list(answers)}


def why(
    used: Row | None,
    answers: Sequence[Row],
    failed: Row | None,
    budget: int | None,
    threshold: float,
) -> str:
    """One sentence on the LLM's part in a text; see `part_in_text`.

    failed: the newest call that was given up (ds, error). threshold: the least gate score of an
    accepted answer in the present settings.
    """
    if used is None:
        return "There is no text on this day, so nothing to describe."
    if used["text_source"] == "enriched":
        return f"Its answer is part of the text ({used['prompt_version']}, {used['model']})."
    not_selected = "the step that asks the LLM did not run for this day"
    if budget is not None:
        not_selected = f"the day's budget of {budget:,} went to others that come first"
    if not answers and failed:
        return f"The call of {failed['ds']} failed: {text(failed['error'])}."
    if not answers:
        return f"Not asked: {not_selected}."
    newest = answers[0]
    paid = f"paid for by the run of {newest['selected_ds']}"
    if newest["status"] == "rejected_by_gate":
        score = text(newest["gate_score"])
        return f"The quality gate rejected its answer, {paid}: {score}, needed {text(threshold)}."
    if newest["status"] == "invalid_output":
        return f"Its answer, {paid}, did not fit the prompt's schema."
    if newest["status"] == "refused":
        return f"The server or the model refused to answer; the try was {paid}."
    if newest["status"] == "too_long":
        return f"The question was longer than the model takes; the try was {paid}."
    return f"It has an answer, {paid}, but this day did not select it: {not_selected}."


def print_part(part: dict[str, Any]) -> None:
    """The sentence, then every answer with what it says."""
    say(f"  {'LLM':<12}{part['why']}")
    for answer in part["answers"]:
        head = ", ".join(
            f"{name} {text(answer[name])}" for name in HEAD if answer[name] is not None
        )
        say(f"    answer: {head}")
        for name, value in answer.items():
            if name not in HEAD and value:
                say(f"      {name}: {text(value)}")
