"""What the log is like, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from jobs.cli.terminal.output import print_table, say

if TYPE_CHECKING:
    from jobs.recall.facts import Facts
    from jobs.settings import RecallSettings


def print_facts(facts: Facts, said: Mapping[str, str], recall: RecallSettings) -> None:
    """The facts, and which settings follow them."""
    from jobs.recall.following import taken_advice

    print_table(("measure", "value", ""), _told(facts, said), indent=2)
    for given in taken_advice(recall, facts) if recall.follow_data else ():
        say(f"  so {given.told()}")


def _told(facts: Facts, said: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """The facts as a person reads them: what, how much, and what else is to be said."""
    unsure = "" if facts.users > 1 else "one user alone"
    lines = [
        ("events", f"{facts.events:,.0f}", said.get("days", "")),
        ("users", f"{facts.users:,.0f}", unsure),
        ("items taken", f"{facts.items:,.0f}", f"of {facts.catalogue_items:,.0f} in the catalogue"),
        ("density", f"{facts.density:.3%}", "of all pairs of a user and an item"),
        ("items of a user", f"{facts.items_per_user:,.0f}", "the median"),
        ("days of a user", f"{facts.user_days:,.0f}", f"the median, of {facts.days:,.0f} days"),
        ("taken again", f"{facts.repeat_share:.1%}", _again(facts)),
        ("items of a visit", f"{facts.visit_items:,.1f}", "the mean"),
        ("order tells", f"{facts.order:.1%}", "0% is chance"),
        ("unknown items", f"{facts.unknown_share:.1%}", said.get("unknown_share", "")),
        ("most common item", f"{facts.largest_share:.1%}", _of_users(said)),
    ]
    if facts.busy_users:
        text = f"{facts.busy_share:.1%} of all events are of users with more than 500 a day; bots?"
        lines.append(("busy users", f"{facts.busy_users:,.0f}", text))
    return lines


def _again(facts: Facts) -> str:
    return f"usually after {facts.return_days:,.0f} days" if facts.return_days else ""


def _of_users(said: Mapping[str, str]) -> str:
    return f"of all users took {said['largest_share']}" if "largest_share" in said else ""
