"""The report on recall: one HTML file without a link, made from the lake.

Each figure is made from rows that the report also gives as JSON. The metrics come from
`gold.recall_metrics_daily`, the lists from the published tables.
"""

from __future__ import annotations

import io
import json
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import jinja2

from jobs.evaluation.ablation import ARMS
from jobs.evaluation.data import BadData
from jobs.judging.published import FUSED
from jobs.lake.errors import UpstreamMissing
from jobs.lake.sql import LakeSql

Rows = list[dict[str, Any]]

MISSES = 5
_WANTED = """
wanted AS (
    SELECT DISTINCT user_id, item_id FROM silver.interactions
    WHERE event_date > $as_of AND event_date <= $ds AND ingest_ds <= $ds AND weight > 0
      AND user_id IN (SELECT user_id FROM gold.user_recall_daily WHERE ds = $as_of)
)
"""
_TITLES = """
titles AS (
    SELECT item_id, arg_max(title, valid_from) AS title FROM silver.items
    WHERE valid_from <= $ds GROUP BY item_id
)
"""
QUERIES = {
    "over_days": f"""
        SELECT as_of, metric, value, low, high FROM gold.recall_metrics_daily
        WHERE ds <= $ds AND horizon_days = $horizon AND slice = 'all' AND channel = '{FUSED}'
          AND "table" = 'gold.user_recall_daily' AND metric IN ('recall', 'ndcg')
        ORDER BY metric, as_of""",
    "sources": """
        SELECT "table", channel, value, low, high, users FROM gold.recall_metrics_daily
        WHERE ds = $ds AND horizon_days = $horizon AND slice = 'all' AND metric = 'recall'
        ORDER BY "table", value DESC, channel""",
    "slices": f"""
        SELECT slice, value, low, high, users FROM gold.recall_metrics_daily
        WHERE ds = $ds AND horizon_days = $horizon AND metric = 'recall'
          AND channel = '{FUSED}' AND "table" = 'gold.user_recall_daily'
        ORDER BY list_position(['all', 'new_users', 'head', 'long_tail', 'cold'], slice)""",
    "coverage": f"""
        WITH {_WANTED}, sizes AS (SELECT user_id, count(*) AS items FROM wanted GROUP BY ALL),
        lengths AS (SELECT unnest([1, 2, 5, 10, 20, 50, 100]) AS k),
        lists AS (
            SELECT l.user_id, l.item_id, l.rank, w.item_id IS NOT NULL AS hit
            FROM gold.user_recall_daily l LEFT JOIN wanted w USING (user_id, item_id)
            WHERE l.ds = $as_of
        )
        SELECT k,
            count(DISTINCT item_id) / (SELECT count(DISTINCT item_id) FROM gold.i2i_daily
                                       WHERE ds = $as_of) AS coverage,
            coalesce(sum(hit::INT / items), 0) / (SELECT count(*) FROM sizes) AS recall
        FROM lengths JOIN lists ON rank <= k LEFT JOIN sizes USING (user_id)
        WHERE k <= (SELECT max(rank) FROM lists)
        GROUP BY k ORDER BY k""",
    "texts": f"""
        WITH {_WANTED}, sources AS (
            SELECT item_id, text_source FROM silver.item_texts WHERE ds = $as_of
        ), found AS (
            SELECT DISTINCT user_id, item_id FROM silver.user_candidates
            WHERE ds = $as_of AND channel = 'vector' AND rank <= 20
        )
        SELECT text_source, count(*) AS wanted,
            count(f.item_id) / count(*) AS found_by_text
        FROM wanted JOIN sources USING (item_id) LEFT JOIN found f USING (user_id, item_id)
        GROUP BY text_source ORDER BY text_source""",
    "misses": f"""
        WITH {_WANTED}, {_TITLES}, scored AS (
            SELECT w.user_id, count(*) AS wanted, count(l.item_id) AS hits,
                list(coalesce(title, w.item_id) ORDER BY w.item_id) AS took
            FROM wanted w LEFT JOIN titles USING (item_id)
            LEFT JOIN (SELECT * FROM gold.user_recall_daily WHERE ds = $as_of AND rank <= 20) l
                USING (user_id, item_id)
            GROUP BY w.user_id
        ), shown AS (
            SELECT user_id, list(coalesce(title, item_id) ORDER BY rank) AS recalled
            FROM gold.user_recall_daily l LEFT JOIN titles USING (item_id)
            WHERE ds = $as_of AND rank <= 5 GROUP BY user_id
        )
        SELECT user_id, wanted, took[:8] AS took, recalled FROM scored JOIN shown USING (user_id)
        WHERE hits = 0 ORDER BY wanted DESC, user_id LIMIT {MISSES}""",
}


@dataclass(frozen=True)
class Report:
    """Lists of `as_of` against the days up to `ds`. rows: by query of QUERIES. ablation: what
    `reclake evaluate --ablation` wrote, or None."""

    ds: date
    as_of: date
    horizon_days: int
    rows: dict[str, Rows]
    ablation: dict[str, Any] | None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def gather(
    lake: LakeSql, ds: date | None, horizon: int | None, ablation: Path | None = None
) -> Report:
    """All rows of the report. Raises UpstreamMissing when no lists have been judged.

    ds: the day of the metrics, by default the newest. horizon: by default the longest of that day.
    ablation: a file of `reclake evaluate --ablation`; raises BadData for another file.
    """
    asked = lake.query(
        "SELECT ds, as_of, horizon_days FROM gold.recall_metrics_daily "
        "WHERE ($any_day OR ds = $ds) AND ($any_horizon OR horizon_days = $horizon) "
        "ORDER BY ds DESC, horizon_days DESC LIMIT 1",
        {
            "ds": ds or date.min,
            "any_day": ds is None,
            "horizon": horizon or 0,
            "any_horizon": horizon is None,
        },
    ).records()
    if not asked:
        day, days = ds or "any day", f" of {horizon} days" if horizon else ""
        raise UpstreamMissing(
            f"gold.recall_metrics_daily has no metrics of {day} with a horizon{days}: lists are "
            "judged once the days after them are in the lake. Run `reclake evaluate --lake --as-of "
            "DAY --horizon DAYS`, or let recall_daily run for another day."
        )
    (found,) = asked
    values = {"ds": found["ds"], "as_of": found["as_of"], "horizon": found["horizon_days"]}
    rows = {name: lake.query(sql, values).records() for name, sql in QUERIES.items()}
    compared = _read_ablation(ablation) if ablation else None
    return Report(found["ds"], found["as_of"], found["horizon_days"], rows, compared)


def _read_ablation(path: Path) -> dict[str, Any]:
    try:
        read: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if {"verdict", "as_of", "results"} <= read.keys():
            return read
    except (OSError, ValueError, AttributeError) as error:
        raise BadData(f"{path}: cannot be read as JSON: {error}. No page was written.") from error
    raise BadData(
        f"{path}: expected what `reclake evaluate --lake --ablation --json FILE` writes; it has no "
        "verdict. No page was written."
    )


def html(report: Report) -> str:
    """The report as one file: no script, no link, figures inside."""
    template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(
        (Path(__file__).parent / "report.html").read_text(encoding="utf-8")
    )
    return template.render(
        report=report,
        figures=_figures(report),
        sentence=_sentence(report),
        grid=_grid((report.ablation or {}).get("thresholds")),
    )


def _grid(thresholds: dict[str, Any] | None) -> dict[str, Any] | None:
    """epsilons, and rows of (theta, matched names, a cell for each epsilon); None without any."""
    if not thresholds or not thresholds["kept"]:
        return None
    by_theta: dict[float, Rows] = {}
    for kept in thresholds["kept"]:
        by_theta.setdefault(kept["theta"], []).append(kept)
    rows = [(theta, cells[0]["names"], cells) for theta, cells in by_theta.items()]
    return {"epsilons": [cell["epsilon"] for cell in rows[0][2]], "rows": rows}


def _sentence(report: Report) -> str:
    """One sentence: whether items with an LLM text are found more often by their text."""
    shares = {row["text_source"]: row for row in report.rows["texts"]}
    if "enriched" not in shares or len(shares) < 2:
        return "No item that users took next had an LLM text, so there is nothing to compare."
    llm = shares.pop("enriched")
    wanted = sum(row["wanted"] for row in shares.values())
    others = sum(row["found_by_text"] * row["wanted"] for row in shares.values()) / wanted
    more = "more" if llm["found_by_text"] > others else "not more"
    return (
        f"The channel vector found items that the LLM described {more} often than other items: "
        f"{llm['found_by_text']:.1%} of the {llm['wanted']:,} that users took next, against "
        f"{others:.1%} of {wanted:,}. The LLM describes best sellers first, so this compares "
        "different items; it is no test of the LLM."
    )


def _figures(report: Report) -> dict[str, str]:
    rows = report.rows
    by_table: dict[str, Rows] = {}
    for row in rows["sources"]:
        by_table.setdefault(row["table"], []).append(row)
    of_users = by_table.get("gold.user_recall_daily", []) + by_table.get(
        "silver.user_candidates", []
    )
    of_items = by_table.get("gold.i2i_daily", []) + by_table.get("silver.i2i_candidates", [])
    return {
        "over_days": _over_days(rows["over_days"]),
        "channels": _bars(of_users, "channel", "recall@20"),
        "methods": _bars(of_items, "channel", "recall@20 of the last items' neighbors"),
        "slices": _bars(rows["slices"], "slice", "recall@20"),
        "coverage": _curve(rows["coverage"]),
        "ablation": _arms(report.ablation["results"]) if report.ablation else "",
    }


def _over_days(rows: Rows) -> str:
    figure, axes = _axes("day of the lists", "mean over users")
    for metric in dict.fromkeys(row["metric"] for row in rows):
        line = [row for row in rows if row["metric"] == metric]
        days = [row["as_of"].isoformat() for row in line]
        axes.plot(days, [row["value"] for row in line], marker="o", label=metric)
        axes.fill_between(
            days, [row["low"] for row in line], [row["high"] for row in line], alpha=0.2
        )
    axes.set_ylim(bottom=0)
    axes.tick_params(axis="x", rotation=30)
    if rows:
        axes.legend(frameon=False)
    return _svg(figure)


def _bars(rows: Rows, name: str, label: str) -> str:
    figure, axes = _axes(label, "")
    places = range(len(rows), 0, -1)
    values = [row["value"] for row in rows]
    below = [row["value"] - row["low"] for row in rows]
    above = [row["high"] - row["value"] for row in rows]
    axes.barh(places, values, xerr=[below, above], color="#4477aa", ecolor="#222222", capsize=3)
    axes.set_yticks(places, [f"{row[name]} ({row['users']:,} users)" for row in rows])
    return _svg(figure)


def _arms(results: Rows) -> str:
    """Recall of the published lists by slice, a bar for each kind of text."""
    figure, axes = _axes("", "recall")
    rows = [r for r in results if r["method"] == "default" and r["metric"] == "recall"]
    width = 0.8 / len(ARMS)
    for number, arm in enumerate(ARMS):
        places = [place + (number - 1) * width for place in range(len(rows))]
        axes.bar(places, [row["values"][arm] for row in rows], width, label=arm)
    axes.set_xticks(range(len(rows)), [f"{row['slice']} ({row['users']:,} users)" for row in rows])
    axes.legend(frameon=False)
    return _svg(figure)


def _curve(rows: Rows) -> str:
    figure, axes = _axes("share of the items that some list holds", "recall")
    axes.plot([row["coverage"] for row in rows], [row["recall"] for row in rows], marker="o")
    for row in rows:
        axes.annotate(f" top {row['k']}", (row["coverage"], row["recall"]), fontsize=9)
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    return _svg(figure)


def _axes(x: str, y: str) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.2), layout="constrained")
    axes = figure.subplots()
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _svg(figure: Any) -> str:
    """The figure as SVG for a page, the same bytes for the same rows."""
    import matplotlib

    out = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "reclake", "svg.fonttype": "none"}):
        figure.savefig(out, format="svg", metadata={"Date": None})
    return out.getvalue()[out.getvalue().index("<svg") :]
