"""Why an item's neighbors are what they are."""

from __future__ import annotations

from typing import Any

from jobs.cli.explain import llm
from jobs.cli.explain.day import Day, Row, heading
from jobs.cli.output import counted, print_records, say, shown, text

_NEIGHBORS = """
    SELECT g.rank, g.neighbor_item_id, g.score, g.methods, g.method_scores, g.reason,
           g.reason_prompt_version, g.reason_model, c.support
    FROM gold.i2i_daily g
    LEFT JOIN (
        SELECT neighbor_item_id, max(support) AS support FROM silver.i2i_candidates
        WHERE ds = $ds AND item_id = $item GROUP BY neighbor_item_id
    ) c USING (neighbor_item_id)
    WHERE g.ds = $ds AND g.item_id = $item ORDER BY g.rank
"""
_BUNDLES = """
    SELECT rank, antecedent, consequent_item_id, baskets_count, users_count, confidence, lift,
           reason
    FROM gold.item_bundles_daily
    WHERE ds = $ds AND (consequent_item_id = $item OR list_contains(antecedent, $item))
    ORDER BY rank
"""
_ANSWERS = """
    SELECT status, gate_score, prompt_version, model, selected_ds,
           standard_name, clean_title, summary, attributes, keywords, occasions, seasons, holidays,
           audience, reason,
           CASE WHEN status <> 'success' THEN raw_text END AS raw_text
    FROM silver.item_enrichments WHERE content_hash = $content_hash
    ORDER BY selected_ds DESC, prompt_version, model
"""
_LIST_COLUMNS = (
    "rank",
    "neighbor_item_id",
    "title",
    "score",
    "method_scores",
    "support",
    "reason",
)
_BUNDLE_COLUMNS = ("rank", "antecedent", "consequent_item_id", "lift", "users_count", "reason")
_RECORD = ("title", "category", "department", "brand", "size", "price", "description")


def item_facts(day: Day, item_id: str, neighbor_id: str | None) -> dict[str, Any]:
    """Everything the day says of one item; with `neighbor_id`, also of that pair.

    Keys: item_id, ds, ds_is_default, known_on, why_no_neighbors (null with neighbors), record,
    text, llm {why, answers}, neighbors, bundles, recommended_to_users_count, pair.
    """
    record = day.item(item_id)
    used = day.row(
        "SELECT text, text_source, prompt_version, model, content_hash FROM silver.item_texts "
        "WHERE ds = $ds AND item_id = $item",
        item=item_id,
    )
    content = record["content_hash"] if record else ""
    answers = day.rows(_ANSWERS, content_hash=content)
    budget = day.budget("silver.item_enrichments", "item_budget")
    neighbors = day.rows(_NEIGHBORS, item=item_id)
    titles = day.titles([row["neighbor_item_id"] for row in neighbors])
    for row in neighbors:
        row["title"] = titles.get(row["neighbor_item_id"])
    users = day.row(
        "SELECT count(*) AS users FROM gold.user_recall_daily WHERE ds = $ds AND item_id = $item",
        item=item_id,
    )
    return {
        "item_id": item_id,
        "ds": day.ds,
        "ds_is_default": day.is_default,
        "known_on": day.known_on,
        "why_no_neighbors": None if neighbors else _why_none(day, item_id, record, used),
        "record": record,
        "text": used,
        "llm": llm.part_in_text(day, used, answers, content, budget),
        "neighbors": neighbors,
        "bundles": _bundles(day, item_id),
        "recommended_to_users_count": users["users"] if users else 0,
        "pair": None if neighbor_id is None else _pair(day, item_id, neighbor_id, neighbors),
    }


def _bundles(day: Day, item_id: str) -> list[Row]:
    """The rules that name the item, on either side; none in a lake that is older than the table."""
    if not day.lake.exists("gold.item_bundles_daily"):
        return []
    return day.rows(_BUNDLES, item=item_id)


def _why_none(day: Day, item_id: str, record: Row | None, used: Row | None) -> str:
    if record is None:
        later = day.row(
            "SELECT min(valid_from) AS since FROM silver.items WHERE item_id = $item", item=item_id
        )
        if later and later["since"]:
            return (
                f"Not known yet: it came into the catalogue on {later['since']}, and this day "
                f"sees what arrived up to {day.known_on}."
            )
        other = day.row("SELECT item_id FROM gold.i2i_daily WHERE ds = $ds ORDER BY 1 LIMIT 1")
        example = f" An item that has neighbors: {other['item_id']}." if other else ""
        return f"Unknown id: silver.items does not have it.{example}"
    if not record["is_sellable"]:
        return f"Not sellable; its record of {record['valid_from']} says so."
    if used is None:
        return "It has no text on this day, and no method found it a neighbor."
    return (
        "Sellable and with text, yet without neighbors, which should not happen: build the day "
        f"again with `reclake run gold.i2i_daily --ds {day.ds}`."
    )


def _pair(day: Day, item_id: str, neighbor_id: str, neighbors: list[Row]) -> dict[str, Any]:
    """Two items side by side. Keys: neighbor_item_id, title, rank, candidates, why."""
    record = day.item(neighbor_id)
    candidates = day.rows(
        "SELECT method, rank, score, support FROM silver.i2i_candidates "
        "WHERE ds = $ds AND item_id = $item AND neighbor_item_id = $neighbor ORDER BY method",
        item=item_id,
        neighbor=neighbor_id,
    )
    listed = next((row for row in neighbors if row["neighbor_item_id"] == neighbor_id), None)
    return {
        "neighbor_item_id": neighbor_id,
        "title": record["title"] if record else None,
        "rank": listed["rank"] if listed else None,
        "candidates": candidates,
        "why": _why_pair(item_id, neighbor_id, record, listed, candidates, neighbors),
    }


def _why_pair(
    item_id: str,
    neighbor_id: str,
    record: Row | None,
    listed: Row | None,
    candidates: list[Row],
    neighbors: list[Row],
) -> str:
    if listed:
        return f"A neighbor at rank {listed['rank']}: {listed['reason']}"
    if item_id == neighbor_id:
        return "Not a neighbor: no item is its own neighbor."
    if record is None:
        return "Not a neighbor: no such item as of this day."
    if not record["is_sellable"]:
        return f"Not a neighbor: not sellable; its record of {record['valid_from']} says so."
    if candidates and neighbors:
        by = ", ".join(f"{row['method']} (rank {row['rank']})" for row in candidates)
        return (
            f"Not a neighbor: found by {by}, but after fusion {len(neighbors)} others came before "
            f"it; the last of them has score {neighbors[-1]['score']:.4f}."
        )
    return "Not a neighbor: no method found the pair."


def print_item(facts: dict[str, Any], limit: int) -> None:
    """The facts for a person; at most `limit` neighbors and rules."""
    say(f"item {facts['item_id']}, {heading(facts)}")
    if record := facts["record"]:
        for name in _RECORD:
            if record[name] is not None:
                say(f"  {name:<12}{text(record[name])}")
        sellable = "yes" if record["is_sellable"] else "no"
        say(f"  {'sellable':<12}{sellable}, since {record['valid_from']}")
    if used := facts["text"]:
        say(f"  {'text':<12}({used['text_source']}) {text(used['text'])}")
    if used or facts["llm"]["answers"]:
        llm.print_part(facts["llm"])
    if facts["record"]:
        say(f"  {'listed for':<12}{counted(facts['recommended_to_users_count'], 'user')}")
    if facts["why_no_neighbors"]:
        say(f"\nNo neighbors. {facts['why_no_neighbors']}")
    else:
        neighbors = facts["neighbors"]
        say(
            f"\nNeighbors ({shown(neighbors, limit)}; support is the number of users behind a pair)"
        )
        print_records(neighbors[:limit], _LIST_COLUMNS, indent=2)
        for row in neighbors[:limit]:
            if row["reason_model"]:
                say(
                    f"  The reason at rank {row['rank']} begins with a sentence by "
                    f"{row['reason_model']} ({row['reason_prompt_version']})."
                )
    if bundles := facts["bundles"]:
        say(f"\nBundles ({shown(bundles, limit)}; rules that name the item)")
        print_records(bundles[:limit], _BUNDLE_COLUMNS, indent=2)
    if pair := facts["pair"]:
        say(f"\nneighbor {pair['neighbor_item_id']} {pair['title'] or ''}".rstrip())
        say(f"  {pair['why']}")
        if pair["candidates"]:
            print_records(pair["candidates"], tuple(pair["candidates"][0]), indent=2)
