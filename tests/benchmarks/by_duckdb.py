"""The rows of steps over the log as DuckDB makes them from the same files: Spark's peer.

Each query is written from the step's definition, not from its code. It is no second way to make a
table: nothing in `jobs/` uses it.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, timedelta
from typing import Any

import duckdb
import pyarrow as pa
from deltalake import DeltaTable

from jobs.recall.settings.strength import StrengthSettings
from jobs.recall.sources.methods import CooccurrenceSettings
from jobs.settings import Settings
from jobs.silver.user_profiles import (
    ACTIVE_DAYS,
    MIN_USERS_PER_VALUE,
    TOP_CATEGORIES,
    TOP_PRODUCTS,
)

_SCORES_AGREE = 1e-6
# A query that has taken as many CPU seconds is ended: several times what Spark takes.
MOST_SECONDS = 150.0
_SELLABLE = "SELECT item_id FROM items WHERE is_sellable"


def rows_of(step: str, settings: Settings, ds: date) -> tuple[pa.Table | None, float]:
    """The rows of a step of QUERIES for a day, in the columns of its key and score, None where
    DuckDB took MOST_SECONDS; and the CPU seconds of this process for them, reading included."""
    started = time.process_time()
    spilled = settings.home / "bench" / "duckdb"
    spilled.mkdir(parents=True, exist_ok=True)
    # The demo's servers hold the rest of the memory.
    limits: dict[str, Any] = {
        "threads": os.cpu_count() or 1,
        "memory_limit": "4GB",
        "temp_directory": str(spilled),
    }
    with duckdb.connect(config=limits) as connection:
        for name, query in _inputs(settings.of_lake.lake, ds).items():
            connection.execute(f"CREATE VIEW {name} AS {query}")
        found = None
        try:
            with _interrupted_at(connection, started + MOST_SECONDS):
                found = connection.sql(QUERIES[step](connection, settings, ds)).to_arrow_table()
        except duckdb.InterruptException:
            pass
    return found, time.process_time() - started


@contextmanager
def _interrupted_at(connection: duckdb.DuckDBPyConnection, cpu_seconds: float) -> Iterator[None]:
    """Interrupt the connection's query when this process has spent as many CPU seconds."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.5):
            if time.process_time() > cpu_seconds:
                connection.interrupt()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def share_of_equal(ours: pa.Table, theirs: pa.Table) -> float:
    """The share of our rows that DuckDB makes too, with a score that differs by a millionth at
    most. Powers differ in their last bit from library to library."""
    keys = ", ".join(name for name in theirs.column_names if name != "score")
    near = f"abs(ours.score - theirs.score) <= {_SCORES_AGREE} * greatest(1, ours.score)"
    with duckdb.connect() as connection:
        connection.register("ours", ours)
        connection.register("theirs", theirs)
        ((equal,),) = connection.sql(
            f"SELECT count(*) FROM ours JOIN theirs USING ({keys}) "
            f"WHERE {near if 'score' in theirs.column_names else 'true'}"
        ).fetchall()
    return equal / max(ours.num_rows, theirs.num_rows)


def _inputs(lake: str, ds: date) -> dict[str, str]:
    """Views of the log and of the newest records, as a run of the day sees them."""
    newest = "QUALIFY row_number() OVER (PARTITION BY {id} ORDER BY valid_from DESC) = 1"
    of_day = f"WHERE valid_from <= DATE '{ds}' "
    return {
        "interactions": f"SELECT * FROM {_files(lake, 'silver.interactions')} "
        f"WHERE event_date <= DATE '{ds}' AND ingest_ds <= DATE '{ds}'",
        "taken": "SELECT * FROM interactions WHERE weight > 0",
        "active": f"SELECT user_id FROM {_files(lake, 'silver.user_profiles')} "
        f"WHERE ds = DATE '{ds}'",
        "items": f"SELECT * FROM {_files(lake, 'silver.items')} "
        + of_day
        + newest.format(id="item_id"),
        "users": f"SELECT * FROM {_files(lake, 'silver.users')} "
        + of_day
        + newest.format(id="user_id"),
    }


def _files(lake: str, table: str) -> str:
    held = DeltaTable(f"{lake}/{table.replace('.', '/')}").file_uris()
    return f"read_parquet({held!r}, hive_partitioning = true)"


def _popular(_: duckdb.DuckDBPyConnection, settings: Settings, ds: date) -> str:
    """gold.popular_items_daily: kind, segment, rank, item_id, score."""
    popular, trending, new, seasonal = (
        settings.section(name) for name in ("popular", "trending", "new", "seasonal")
    )
    units, age = 2**24, f"(DATE '{ds}' - event_date)"

    def in_units(value: str) -> str:
        return f"round_even(({value}) * {units}, 0)::BIGINT"

    def recent(of: Any) -> tuple[str, str, str]:
        last = f"min({age}) FILTER ({age} < {of.window_days})"
        use = f"coalesce({in_units(f'pow(0.5, {last} / {of.half_life_days})')}, 0)"
        return use, "0", f"{last} IS NOT NULL"

    def pace(half_life_days: float) -> str:
        decayed = in_units(f"pow(0.5, {age} / {half_life_days})")
        return f"coalesce(sum({decayed}) FILTER ({age} < {trending.window_days}), 0)"

    middle = f"({age} + 182)"
    in_years = f"(floor({middle} / 364)::BIGINT BETWEEN 1 AND {seasonal.years})"
    in_season = f"({in_years} AND abs({middle} % 364 - 182) <= {seasonal.window_days})"
    measures = {
        "popular": recent(popular),
        "new": recent(new),
        "trending": (
            pace(trending.short_half_life_days),
            pace(trending.long_half_life_days),
            f"count(*) FILTER ({age} < {trending.window_days}) > 0",
        ),
        "seasonal": (
            f"count(*) FILTER ({in_season}) * {units}",
            f"count(*) FILTER ({in_years}) * {units}",
            f"count(*) FILTER ({in_season}) > 0",
        ),
    }
    active = {name: f"{name}_user" for name in measures} | {"seasonal": "seasonal_whole > 0"}
    columns = ", ".join(
        f"{part} AS {name}_part, {whole} AS {name}_whole, {is_user} AS {name}_user"
        for name, (part, whole, is_user) in measures.items()
    )
    sums = ", ".join(
        f"sum({name}_part) AS {name}_part, sum({name}_whole) AS {name}_whole, "
        f"count(*) FILTER ({name}_user) AS {name}_users"
        for name in measures
    )
    large = ", ".join(
        f"count(DISTINCT user_id) FILTER ({is_active}) >= {popular.segment_min_users} "
        f"AS {name}_large"
        for name, is_active in active.items()
    )
    of_late = (
        f"SELECT item_id FROM items LEFT JOIN (SELECT item_id, min(first_date) AS first_taken "
        "FROM counts WHERE segment = 'all' GROUP BY item_id) USING (item_id), "
        "(SELECT min(first_date) AS first_event FROM counts WHERE segment = 'all'), "
        "(SELECT min(valid_from) AS first_drop FROM items) WHERE is_sellable "
        f"AND least(first_taken, valid_from) >= DATE '{ds - timedelta(days=new.window_days - 1)}' "
        "AND (first_taken IS NOT NULL OR valid_from > first_drop) "
        f"AND first_event <= DATE '{ds - timedelta(days=2 * new.window_days)}'"
    )

    def used(kind: str, offered: str) -> str:
        return (
            f"SELECT '{kind}' AS kind, segment, item_id, max(score) AS score FROM ("
            f"SELECT segment, item_id, {kind}_part / {units} AS score FROM counts "
            f"WHERE {kind}_users > 0 AND {kind}_large AND item_id IN ({offered}) "
            f"UNION ALL SELECT 'all', item_id, 0 FROM ({offered})) GROUP BY segment, item_id"
        )

    def lifted(kind: str, of: Any) -> str:
        return (
            f"SELECT '{kind}' AS kind, segment, item_id, round(({kind}_part / {units} / share + "
            f"{of.smoothing}) / ({kind}_whole / {units} + {of.smoothing}), 6) AS score FROM counts "
            f"JOIN (SELECT segment, sum({kind}_part) / sum({kind}_whole) AS share FROM counts "
            f"WHERE {kind}_whole > 0 GROUP BY segment) USING (segment) WHERE {kind}_whole > 0 "
            f"AND {kind}_large AND {kind}_users >= {of.min_users} AND item_id IN ({_SELLABLE}) "
            "AND score > 1"
        )

    lists = " UNION ALL ".join(
        (
            used("popular", _SELLABLE),
            used("new", of_late),
            lifted("trending", trending),
            lifted("seasonal", seasonal),
        )
    )
    attribute = popular.segment_attribute
    return f"""
        WITH days AS (SELECT DISTINCT user_id, item_id, event_date FROM taken),
        pairs AS (
            SELECT user_id, item_id, min(event_date) AS first_date, {columns}
            FROM days GROUP BY user_id, item_id
        ),
        segmented AS (
            SELECT pairs.*, '{attribute}=' || nullif(trim(attributes['{attribute}']), '') AS segment
            FROM pairs LEFT JOIN users USING (user_id)
        ),
        large AS (
            SELECT segment, {large} FROM segmented WHERE segment IS NOT NULL GROUP BY segment
        ),
        counts AS (
            SELECT 'all' AS segment, item_id, min(first_date) AS first_date, {sums},
                {", ".join(f"true AS {name}_large" for name in measures)}
            FROM segmented GROUP BY item_id
            UNION ALL
            SELECT segment, item_id, min(first_date), {sums},
                {", ".join(f"any_value({name}_large)" for name in measures)}
            FROM segmented JOIN large USING (segment) GROUP BY segment, item_id
        )
        SELECT kind, segment, item_id, score,
            row_number() OVER (PARTITION BY kind, segment ORDER BY score DESC, item_id) AS rank
        FROM ({lists})
        QUALIFY rank <= CASE kind WHEN 'popular' THEN {popular.items} WHEN 'new' THEN {new.items}
            WHEN 'trending' THEN {trending.items} ELSE {seasonal.items} END
    """


def _cooccurrence(connection: duckdb.DuckDBPyConnection, settings: Settings, ds: date) -> str:
    """silver.i2i_candidates, cooccurrence: item_id, neighbor_item_id, score."""
    return _neighbors(connection, "user_id", "user_id", settings.section("cooccurrence"), ds)


def _session(connection: duckdb.DuckDBPyConnection, settings: Settings, ds: date) -> str:
    """silver.i2i_candidates, session, of a log whose every row has a session_id."""
    of_sessions = settings.section("session").of_sessions()
    return _neighbors(connection, "user_id || ' ' || session_id", "user_id", of_sessions, ds)


def _neighbors(
    connection: duckdb.DuckDBPyConnection,
    together: str,
    owner: str,
    settings: CooccurrenceSettings,
    ds: date,
) -> str:
    _make_strengths(connection, together, owner, settings)
    return f"""
        WITH of_items AS (
            SELECT item_id, count(*) AS n FROM strengths GROUP BY item_id
            HAVING n >= {settings.min_support}
        ),
        of_holders AS (SELECT holder, count(*) AS n FROM strengths GROUP BY holder),
        entries AS (
            SELECT holder, owner, item_id, item_id IN ({_SELLABLE}) AS is_sellable,
                i.n AS item_users, a * pow(h.n, -{settings.user_exponent}) AS l,
                a * pow(i.n, -{settings.neighbor_exponent}) AS r
            FROM strengths JOIN of_items i USING (item_id) JOIN of_holders h USING (holder)
        ),
        pairs AS (
            SELECT s.item_id, t.item_id AS neighbor_item_id, count(DISTINCT s.owner) AS support,
                sum(s.l * t.r) * pow(any_value(s.item_users), -{settings.item_exponent}) AS total
            FROM entries s JOIN entries t USING (holder)
            WHERE s.item_id <> t.item_id AND t.is_sellable
            GROUP BY s.item_id, t.item_id
        )
        SELECT item_id, neighbor_item_id,
            total * (support - 1) / (support - 1 + {settings.shrinkage}) AS score
        FROM pairs WHERE support >= {settings.min_support} AND score > 0
        QUALIFY row_number() OVER (PARTITION BY item_id ORDER BY score DESC, neighbor_item_id)
            <= {settings.neighbors}
    """


def _make_strengths(
    connection: duckdb.DuckDBPyConnection,
    together: str,
    owner: str,
    settings: StrengthSettings,
) -> None:
    """The table strengths: holder, owner, item_id, a; the newest items of each holder."""
    age = "(max(event_date) OVER (PARTITION BY user_id) - event_date)"
    decayed = f"weight * pow(0.5, age_days / {settings.half_life_days})"
    connection.execute(f"""
        CREATE TEMP TABLE strengths AS
        SELECT holder, owner, item_id, x / (x + {settings.saturation}) AS a
        FROM (
            SELECT {together} AS holder, any_value({owner}) AS owner, item_id,
                max(event_ts) AS last, sum({decayed}) AS x
            FROM (SELECT *, {age} AS age_days FROM taken) GROUP BY holder, item_id
        )
        WHERE x > 0
        QUALIFY row_number() OVER (PARTITION BY holder ORDER BY last DESC, item_id)
            <= {settings.history_length}
    """)


def _repurchase(_: duckdb.DuckDBPyConnection, settings: Settings, ds: date) -> str:
    """silver.user_candidates, repurchase: user_id, item_id, score."""
    of = settings.section("repurchase")
    return f"""
        WITH pairs AS (
            SELECT user_id, item_id, DATE '{ds}' - max(event_date) AS since,
                count(*) - 1 AS repeats, max(event_date) - min(event_date) AS between_days,
                sum(pow(0.5, (DATE '{ds}' - event_date) / {of.half_life_days})) AS x
            FROM (SELECT DISTINCT user_id, item_id, event_date FROM taken) GROUP BY user_id, item_id
        ),
        of_items AS (
            SELECT item_id, sum(between_days) / sum(repeats) AS usual_days
            FROM pairs WHERE repeats > 0 GROUP BY item_id
        ),
        scored AS (
            SELECT user_id, item_id, x * pow(coalesce(least(1.0, since / coalesce(
                CASE WHEN repeats > 0 THEN between_days / repeats END, usual_days)), 1.0),
                {of.due_exponent}) AS score
            FROM pairs LEFT JOIN of_items USING (item_id) WHERE user_id IN (FROM active)
        )
        {_unseen(of.items, of.exclude_seen_days, ds)}
    """


def _similar_users(connection: duckdb.DuckDBPyConnection, settings: Settings, ds: date) -> str:
    """silver.user_candidates, similar_users: user_id, item_id, score."""
    of = settings.section("similar_users")
    _make_strengths(connection, "user_id", "user_id", of)
    return f"""
        WITH of_items AS (SELECT item_id, count(*) AS n FROM strengths GROUP BY item_id),
        of_users AS (SELECT holder, count(*) AS n FROM strengths GROUP BY holder),
        entries AS (
            SELECT holder, item_id, i.n AS item_users, a,
                a * pow(i.n, -{of.likeness_exponent}) AS l, a * pow(u.n, -{of.user_exponent}) AS r
            FROM strengths JOIN of_items i USING (item_id) JOIN of_users u USING (holder)
        ),
        alike AS (
            SELECT s.holder AS user_id, t.holder AS other, sum(s.l * t.r) AS likeness
            FROM entries s JOIN entries t USING (item_id)
            WHERE s.holder <> t.holder AND s.holder IN (FROM active)
            GROUP BY s.holder, t.holder HAVING count(*) >= {of.min_common_items}
            QUALIFY row_number() OVER (PARTITION BY s.holder ORDER BY likeness DESC, t.holder)
                <= {of.users}
        ),
        scored AS (
            SELECT user_id, item_id,
                sum(likeness * a * pow(item_users, -{of.popularity_exponent})) AS score
            FROM alike JOIN entries ON other = holder WHERE item_users >= {of.min_item_users}
            GROUP BY user_id, item_id
        )
        {_unseen(of.items, of.exclude_seen_days, ds)}
    """


def _unseen(items: int, days: int, ds: date) -> str:
    """The best of `scored` that can be sold and that the user did not see lately."""
    return f"""
        SELECT user_id, item_id, score FROM scored
        ANTI JOIN (FROM interactions WHERE event_date > DATE '{ds - timedelta(days=days)}')
            USING (user_id, item_id)
        WHERE score > 0 AND item_id IN ({_SELLABLE})
        QUALIFY row_number() OVER (PARTITION BY user_id ORDER BY score DESC, item_id) <= {items}
    """


def _profiles(_: duckdb.DuckDBPyConnection, settings: Settings, ds: date) -> str:
    """silver.user_profiles: user_id, profile."""
    first, weeks = ds - timedelta(days=ACTIVE_DAYS - 1), ACTIVE_DAYS / 7

    def weights(column: str) -> str:
        return (
            f"SELECT user_id, lower(trim({column})) AS name, sum(weight) AS w FROM described "
            f"WHERE length(trim({column})) > 0 GROUP BY ALL"
        )

    def shares(column: str, most: int) -> str:
        share = "(round(w / sum(w) OVER (PARTITION BY user_id) * 10) * 10)::INTEGER AS share"
        order = "PARTITION BY user_id ORDER BY share DESC, name"
        return (
            f"SELECT user_id, string_agg(name || ' (' || share || '%)', ', ' "
            f"ORDER BY share DESC, name) AS {column} FROM (FROM (SELECT user_id, name, {share} "
            f"FROM ({weights(column)})) WHERE share > 0 "
            f"QUALIFY row_number() OVER ({order}) <= {most}) GROUP BY user_id"
        )

    names = (
        f"SELECT user_id, string_agg(name, ', ' ORDER BY name) AS title FROM "
        f"(FROM ({weights('title')}) QUALIFY row_number() OVER "
        f"(PARTITION BY user_id ORDER BY w DESC, name) <= {TOP_PRODUCTS}) GROUP BY user_id"
    )
    return f"""
        WITH recent AS (FROM interactions WHERE event_date >= DATE '{first}'),
        described AS (
            SELECT user_id, weight, title, category, brand
            FROM recent LEFT JOIN items USING (item_id)
        ),
        totals AS (
            SELECT user_id, count(DISTINCT session_id) AS visits, count(session_id) AS lines,
                round(sum(amount) / nullif(count(amount), 0))::INTEGER AS price
            FROM recent GROUP BY user_id
        ),
        habits AS (
            SELECT user_id, concat_ws(' ',
                CASE WHEN visits >= {2 * weeks} THEN 'Shops several times a week.'
                    WHEN visits >= {0.75 * weeks} THEN 'Shops every week.'
                    WHEN visits >= 3 THEN 'Shops a few times a month.'
                    WHEN visits > 0 THEN 'Shops rarely.' END,
                CASE WHEN visits = 0 THEN NULL WHEN lines / visits >= 20 THEN 'Large baskets.'
                    WHEN lines / visits >= 6 THEN 'Medium baskets.' ELSE 'Small baskets.' END,
                'About ' || price || ' a product.') AS habits
            FROM totals
        ),
        attributed AS (
            SELECT user_id, e.key AS name, e.value AS value
            FROM (SELECT user_id, unnest(map_entries(attributes)) AS e FROM users)
            WHERE length(trim(e.value)) > 0
        ),
        household AS (
            SELECT user_id, string_agg(lower(replace(name, '_', ' ') || ' ' || trim(value)), ', '
                ORDER BY name) AS household
            FROM attributed SEMI JOIN (
                SELECT name, value FROM attributed GROUP BY ALL
                HAVING count(DISTINCT user_id) >= {MIN_USERS_PER_VALUE}
            ) USING (name, value) GROUP BY user_id
        )
        SELECT user_id, concat_ws(' ', 'Buys most often: ' || category || '.',
            'Favourite products: ' || title || '.', 'Brands: ' || brand || '.',
            nullif(habits, ''), 'Household: ' || household || '.') AS profile
        FROM habits LEFT JOIN ({shares("category", TOP_CATEGORIES)}) USING (user_id)
        LEFT JOIN ({names}) USING (user_id) LEFT JOIN ({shares("brand", 1)}) USING (user_id)
        LEFT JOIN household USING (user_id)
    """


QUERIES: Mapping[str, Callable[[duckdb.DuckDBPyConnection, Settings, date], str]] = {
    "gold.popular_items_daily": _popular,
    "silver.i2i_candidates.cooccurrence": _cooccurrence,
    "silver.i2i_candidates.session": _session,
    "silver.user_profiles": _profiles,
    "silver.user_candidates.repurchase": _repurchase,
    "silver.user_candidates.similar_users": _similar_users,
}
