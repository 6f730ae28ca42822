"""Why a user's list is what it is."""

from __future__ import annotations

from datetime import date
from typing import Any

from jobs.cli.explain import llm
from jobs.cli.explain.day import Day, Row, heading
from jobs.cli.terminal.output import counted, print_records, say, shown, text
from jobs.recall.sources import FILL_CHANNEL

# `silver.user_profiles`: who has an interaction in this many days is active.
ACTIVE_DAYS = 90

_HISTORY = """
    SELECT event_ts, event_type, item_id, quantity, weight
    FROM silver.interactions
    WHERE user_id = $user AND event_date <= $ds AND ingest_ds <= $known_on
    ORDER BY event_ts DESC, item_id LIMIT 50
"""
_LIST = """
    SELECT rank, item_id, score, channel, channel_scores, because_item_id, reason
    FROM gold.user_recall_daily WHERE ds = $ds AND user_id = $user ORDER BY rank
"""
_ANSWERS = """
    SELECT status, gate_score, prompt_version, model, selected_ds,
           interests, interest_weights, search_phrases, next_products,
           CASE WHEN status <> 'success' THEN raw_text END AS raw_text
    FROM silver.user_enrichments WHERE user_id = $user AND profile_hash = $profile_hash
    ORDER BY selected_ds DESC, prompt_version, model
"""

_HISTORY_COLUMNS = ("event_ts", "event_type", "item_id", "title", "quantity")
_LIST_COLUMNS = ("rank", "item_id", "title", "score", "channel_scores", "because", "reason")


def user_facts(day: Day, user_id: str, item_id: str | None) -> dict[str, Any]:
    """Everything the day says of one user; with `item_id`, also where that item stands.

    Keys: user_id, ds, ds_is_default, known_on, why_no_list (null with a list), attributes,
    profile, text, llm {why, answers}, history (50 newest), recommendations, item.
    """
    record = day.row(
        "SELECT attributes FROM silver.users WHERE user_id = $user AND valid_from <= $known_on "
        "ORDER BY valid_from DESC LIMIT 1",
        user=user_id,
    )
    profile = day.row(
        "SELECT profile, profile_hash, last_event_date, interactions_count_90d "
        "FROM silver.user_profiles WHERE ds = $ds AND user_id = $user",
        user=user_id,
    )
    used = day.row(
        "SELECT text, text_source, prompt_version, model FROM silver.user_texts "
        "WHERE ds = $ds AND user_id = $user",
        user=user_id,
    )
    profile_hash = profile["profile_hash"] if profile else ""
    answers = day.rows(_ANSWERS, user=user_id, profile_hash=profile_hash)
    budget = day.budget("silver.user_enrichments", "user_budget")
    history = day.rows(_HISTORY, user=user_id)
    recommended = day.rows(_LIST, user=user_id)
    titles = day.titles(
        [row["item_id"] for row in (*history, *recommended)]
        + [row["because_item_id"] for row in recommended]
    )
    for row in history:
        row["title"] = titles.get(row["item_id"])
    for row in recommended:
        row["title"] = titles.get(row["item_id"])
        row["because_title"] = titles.get(row["because_item_id"])
    return {
        "user_id": user_id,
        "ds": day.ds,
        "ds_is_default": day.is_default,
        "known_on": day.known_on,
        "why_no_list": None if recommended else _why_no_list(day, user_id, record, history),
        "attributes": record["attributes"] if record else None,
        "profile": profile,
        "text": used,
        "llm": llm.part_in_text(day, used, answers, profile_hash, budget),
        "history": history,
        "recommendations": recommended,
        "item": None if item_id is None else _item_facts(day, user_id, item_id, recommended),
    }


def _why_no_list(day: Day, user_id: str, record: Row | None, history: list[Row]) -> str:
    if history:
        last: date = history[0]["event_ts"].date()
        ago = (day.ds - last).days
        if ago >= ACTIVE_DAYS:
            return (
                f"Inactive since {last}, {ago} days before this day; a list needs an interaction "
                f"in the last {ACTIVE_DAYS} days."
            )
        return (
            f"Active (last seen {last}), yet without a list, which should not happen: build the "
            f"day again with `reclake run gold.user_recall_daily --ds {day.ds}`."
        )
    later = day.row(
        "SELECT min(ingest_ds) AS arrived, min(event_date) AS happened FROM silver.interactions "
        "WHERE user_id = $user",
        user=user_id,
    )
    if later and later["arrived"]:
        return (
            f"Not known yet: the first interaction is of {later['happened']} and arrived on "
            f"{later['arrived']}, and this day sees what arrived up to {day.known_on}."
        )
    if record:
        return "In silver.users, but without any interaction."
    other = day.row("SELECT user_id FROM gold.user_recall_daily WHERE ds = $ds ORDER BY 1 LIMIT 1")
    example = f" A user who has a list: {other['user_id']}." if other else ""
    return f"Unknown id: neither silver.users nor silver.interactions has it.{example}"


def _item_facts(day: Day, user_id: str, item_id: str, recommended: list[Row]) -> dict[str, Any]:
    """Where one item stands for a user. Keys: item_id, title, rank, candidates, bought, why."""
    record = day.item(item_id)
    candidates = day.rows(
        "SELECT channel, rank, score, because_item_id FROM silver.user_candidates "
        "WHERE ds = $ds AND user_id = $user AND item_id = $item ORDER BY channel",
        user=user_id,
        item=item_id,
    )
    bought = day.row(
        "SELECT count(*) AS times, max(event_date) AS last_date FROM silver.interactions "
        "WHERE user_id = $user AND item_id = $item AND event_date <= $ds "
        "AND ingest_ds <= $known_on AND weight > 0",
        user=user_id,
        item=item_id,
    )
    assert bought is not None
    word = day.row(
        "SELECT event_type, event_date FROM silver.interactions "
        "WHERE user_id = $user AND item_id = $item AND event_date <= $ds "
        "AND ingest_ds <= $known_on AND event_type <> 'return' "
        "ORDER BY event_ts DESC, weight, event_type LIMIT 1",
        user=user_id,
        item=item_id,
    )
    listed = next((row for row in recommended if row["item_id"] == item_id), None)
    return {
        "item_id": item_id,
        "title": record["title"] if record else None,
        "rank": listed["rank"] if listed else None,
        "candidates": candidates,
        "interactions": bought["times"],
        "last_interaction_date": bought["last_date"],
        "why": _why_item(day, record, listed, candidates, bought, word, recommended),
    }


def _why_item(
    day: Day,
    record: Row | None,
    listed: Row | None,
    candidates: list[Row],
    bought: Row,
    word: Row | None,
    recommended: list[Row],
) -> str:
    if listed:
        return f"In the list at rank {listed['rank']}: {listed['reason']}"
    if record is None:
        return "Not in the list: no such item as of this day."
    if not record["is_sellable"]:
        return f"Not in the list: not sellable; its record of {record['valid_from']} says so."
    if refused := _why_refused(day, word):
        return f"Not in the list: {refused}"
    if candidates and recommended:
        by = ", ".join(f"{row['channel']} (rank {row['rank']})" for row in candidates)
        last, cap = recommended[-1], day.settings.recall.user.max_exposure
        enough = f", or enough lists of others hold it (max_exposure {cap:g})" if cap < 1 else ""
        return (
            f"Not in the list: brought by {by}, but after fusion {len(recommended)} others came "
            f"before it{enough}; the last of them has score {last['score']:.4f}."
        )
    return f"Not in the list: no channel brought it.{_why_left_out(day, bought['last_date'])}"


def _why_refused(day: Day, word: Row | None) -> str:
    """That the user disliked or hid the item, if that is their last word and still counts."""
    user = day.settings.recall.user
    days = {"dislike": user.dislike_days, "hide": user.hide_days}
    if word is None or word["event_type"] not in days:
        return ""
    lasts = days[word["event_type"]]
    if (day.ds - word["event_date"]).days >= lasts:
        return ""
    said = {"dislike": "disliked", "hide": "hid"}[word["event_type"]]
    return f"the user {said} it on {word['event_date']}, which counts for {lasts} days."


def _why_left_out(day: Day, taken: date | None) -> str:
    """Which channels leave out what the user took on a day, by the present settings."""
    if taken is None:
        return ""
    recall = day.settings.recall
    sections = {name: name for name in recall.user.built} | {"i2i": "item_history"}
    windows = {
        name: getattr(recall, sections[name]).exclude_seen_days
        for name in recall.user.built
        if name != FILL_CHANNEL
    }
    age = (day.ds - taken).days
    out = [f"{name} {days} days" for name, days in windows.items() if age < days]
    because = f"; left out after a purchase: {', '.join(out)}" if out else ""
    return f" The user last took it on {taken}{because}."


def print_user(facts: dict[str, Any], limit: int) -> None:
    """The facts for a person; at most `limit` rows of each list."""
    say(f"user {facts['user_id']}, {heading(facts)}")
    if facts["attributes"]:
        say(f"  {'known':<12}{text(facts['attributes'])}")
    if profile := facts["profile"]:
        seen = counted(profile["interactions_count_90d"], "interaction")
        last = profile["last_event_date"]
        say(f"  {'active':<12}{seen} in {ACTIVE_DAYS} days, the last on {last}")
        say(f"  {'profile':<12}{text(profile['profile'])}")
    if used := facts["text"]:
        say(f"  {'text':<12}({used['text_source']}) {text(used['text'])}")
    if used or facts["llm"]["answers"]:
        llm.print_part(facts["llm"])
    if facts["history"]:
        say(f"\nHistory, newest first ({shown(facts['history'], limit)})")
        print_records(facts["history"][:limit], _HISTORY_COLUMNS, indent=2)
    if facts["why_no_list"]:
        say(f"\nNo list. {facts['why_no_list']}")
    else:
        say(f"\nRecommendations ({shown(facts['recommendations'], limit)})")
        rows = [
            row | {"because": _named(row["because_item_id"], row["because_title"])}
            for row in facts["recommendations"][:limit]
        ]
        print_records(rows, _LIST_COLUMNS, indent=2)
    if asked := facts["item"]:
        say(f"\nitem {_named(asked['item_id'], asked['title'])}")
        say(f"  {asked['why']}")
        if asked["candidates"]:
            print_records(asked["candidates"], tuple(asked["candidates"][0]), indent=2)


def _named(item_id: str | None, title: str | None) -> str:
    return " ".join(part for part in (item_id, title) if part)
