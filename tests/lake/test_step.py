"""What all registered steps have in common."""

from __future__ import annotations

from jobs.lake import Read
from jobs.lake.intake.drops import Drops
from jobs.lake.step import EffectResult, steps


def test_invariant_5_every_step_that_takes_rows_in_accounts_for_each_of_them() -> None:
    accounts = {step.task_id: step.accounts_for for step in steps().values()}
    taken_in = {
        step.task_id: name
        for step in steps().values()
        for name, read in step.reads.items()
        if isinstance(read, Drops) or (isinstance(read, Read) and read.pending)
    }
    assert len(taken_in) >= 6
    assert accounts == dict.fromkeys(accounts, "") | taken_in


def test_an_effect_may_count_nothing_but_rows() -> None:
    done = EffectResult(3, 2)
    assert (done.rows_in, done.rows_out, done.counts) == (3, 2, {})
