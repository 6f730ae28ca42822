"""`reclake status` and `reclake tables`: what they say of the small lake, and of lesser ones."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from jobs.cli.status import Status, next_command
from jobs.cli.terminal.services import ServerSilent, Service, ask_all, require_spark
from jobs.settings import Settings
from tests.cli.conftest import Reclake
from tests.cli.small_lake import D30, rewrite

WELL = Status(
    lake="/lake",
    services=[Service("spark", "sc://127.0.0.1:15002", "up", "Spark 4.2.0")],
    absent=[],
    published={"gold.i2i_daily": [date(2017, 12, 30)]},
    last_runs=[],
    failed_checks=[],
    quarantine=[],
    llm=[],
    report=[],
    example_user="ann",
)
FAILED_RUN = {
    "table": "silver.i2i_candidates",
    "slice": "content",
    "ds": date(2017, 12, 30),
    "status": "failed",
    "recorded_at": 1,
}


@pytest.fixture
def status(reclake: Reclake) -> Any:
    def read() -> Any:
        ended = reclake("status", "--json")
        assert ended.code == 0, ended.err
        return json.loads(ended.out)

    return read


def test_the_newest_run_of_a_table_counts(status: Any) -> None:
    # the content slice failed at 04:34 and was published at 04:35
    runs = {(run["table"], run["slice"]): run for run in status()["last_runs"]}
    content = runs["silver.i2i_candidates", "content"]
    assert (content["status"], content["ds"], content["rows_out"]) == ("published", "2017-12-30", 7)
    assert len(runs) == 7


def test_a_check_that_a_later_run_passed_is_history(status: Any) -> None:
    # of 2017-12-29 the run at 04:06 failed its check, the one at 04:07 passed it
    assert [(check["ds"], check["observed"]) for check in status()["failed_checks"]] == [
        ("2017-12-30", "6 rows, trailing mean 9")
    ]


def test_what_the_log_is_like_is_shown_with_what_follows(
    reclake: Reclake, own_lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(row: dict[str, Any]) -> dict[str, Any]:
        told = {"value": 0.5, "text": "such as 7"}
        return row | told if row["measure"] == "unknown_share" else row

    rewrite(own_lake, "gold.data_report_daily", unknown)
    shown = reclake("status").out
    assert "What the log is like, as of 2017-12-30\n" in shown
    assert re.search(r"taken again +10.0% +usually after 7 days\n", shown)
    assert re.search(r"unknown items +50.0% +such as 7\n", shown)
    assert "  so slim.penalty 120, slim.min_support 1: users took 26.7% of all items\n" in shown
    monkeypatch.setenv("RECLAKE_RECALL__SLIM__PENALTY", "60")
    assert "  so slim.min_support 1: users took" in reclake("status").out
    monkeypatch.setenv("RECLAKE_RECALL__FOLLOW_DATA", "false")
    assert "  so " not in reclake("status").out


def test_quarantine_is_counted_by_reason(status: Any) -> None:
    assert status()["quarantine"] == [
        {
            "table": "bronze.events",
            "reason": "quantity: 'two' is not a number",
            "rows": 2,
            "first_ds": "2017-12-29",
            "last_ds": "2017-12-30",
        }
    ]


def test_rows_that_a_run_rejected_without_publishing_are_not_counted(
    status: Any, own_lake: Path
) -> None:
    # the run of the 30th failed; its row is kept, and comes again with the next try
    rewrite(
        own_lake,
        "ops.runs",
        lambda row: (
            row
            | ({"status": "failed"} if (row["table"], row["ds"]) == ("bronze.events", D30) else {})
        ),
    )
    (counted,) = status()["quarantine"]
    assert (counted["rows"], counted["last_ds"]) == (1, "2017-12-29")


def test_llm_spend_is_summed_by_prompt(status: Any) -> None:
    # three item calls and one user call of 300 tokens in, 256 of them cached, 60 out
    item, user = status()["llm"]
    assert (item["calls"], item["success"], item["rejected_by_gate"], item["other"]) == (
        3,
        1,
        1,
        1,
    )
    assert (item["prompt_tokens"], item["cached_tokens"], item["completion_tokens"]) == (
        900,
        768,
        180,
    )
    assert (user["prompt"], user["calls"], user["prompt_tokens"]) == ("user", 1, 300)


def test_servers_that_are_down_do_not_stop_it(reclake: Reclake) -> None:
    page = reclake("status")
    assert page.code == 0
    assert "Connection refused" in page.out
    assert page.out.rstrip().splitlines()[-2:] == [
        "Next: make demo",
        "  spark does not answer; this starts what is missing",
    ]


def test_no_lake_at_all_leads_to_the_demo(
    reclake: Reclake, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RECLAKE_LAKE", str(tmp_path / "nothing"))
    ended = reclake("status")
    assert ended.code == 0
    assert "Next: make demo\n  there is no lake yet" in ended.out


def test_a_table_without_a_place_leads_to_init(reclake: Reclake, own_lake: Path) -> None:
    shutil.rmtree(own_lake / "gold" / "popular_items_daily")
    assert (
        "Next: reclake init\n  not created yet: gold.popular_items_daily" in reclake("status").out
    )


@pytest.mark.parametrize(
    ("now", "command"),
    [
        (WELL, "reclake explain user ann"),
        (replace(WELL, example_user=None), "reclake tables"),
        (replace(WELL, absent=["ops.runs", "gold.i2i_daily"]), "make demo"),
        (replace(WELL, absent=["gold.i2i_daily"]), "reclake init"),
        (
            replace(WELL, last_runs=[FAILED_RUN]),
            "reclake run silver.i2i_candidates --slice content --ds 2017-12-30",
        ),
        (replace(WELL, published={"gold.i2i_daily": []}), "make demo"),
        (replace(WELL, services=[Service("llm", "http://x", "down", "refused")]), "make demo"),
        (replace(WELL, services=[Service("llm", "", "off", "")]), "reclake explain user ann"),
    ],
)
def test_one_command_comes_next(now: Status, command: str) -> None:
    assert next_command(now).command == command


def test_tables_tell_rows_newest_day_and_freshness(reclake: Reclake) -> None:
    tables = {table["table"]: table for table in json.loads(reclake("tables", "--json").out)}
    i2i = tables["gold.i2i_daily"]
    assert (i2i["rows"], i2i["newest"], i2i["freshness"]) == (12, "2017-12-30", "fresh")
    # a history has no ds: its newest day is that of its newest run that ended well
    assert (tables["silver.items"]["rows"], tables["silver.items"]["newest"]) == (7, "2017-12-30")
    assert tables["bronze.items"]["freshness"] == "not built"
    assert tables["ops.runs"]["freshness"] == "no promise"


def test_a_table_behind_the_newest_run_is_late(reclake: Reclake, own_lake: Path) -> None:
    # its contract allows a day; without the 30th, i2i_daily is two days behind a run of the 31st
    rewrite(own_lake, "gold.i2i_daily", lambda row: None if row["ds"] == D30 else row)
    rewrite(
        own_lake,
        "ops.runs",
        lambda row: row | {"ds": date(2017, 12, 31)} if row["table"] == "silver.items" else row,
    )
    ended = reclake("tables", "gold", "--json")
    tables = {table["table"]: table for table in json.loads(ended.out)}
    assert {name: (t["newest"], t["freshness"]) for name, t in tables.items()} == {
        "gold.data_report_daily": ("2017-12-30", "fresh"),
        "gold.i2i_daily": ("2017-12-29", "late"),
        "gold.item_bundles_daily": ("2017-12-30", "fresh"),
        "gold.llm_quality_daily": (None, "not built"),
        "gold.popular_items_daily": ("2017-12-30", "fresh"),
        "gold.recall_metrics_daily": (None, "not built"),
        "gold.user_recall_daily": ("2017-12-30", "fresh"),
    }
    assert "Late: gold.i2i_daily." in reclake("tables").out


@contextmanager
def serving(answers: dict[str, tuple[int, Any]]) -> Iterator[str]:
    """A web server on a free port that answers paths with (status, JSON)."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            code, body = answers.get(self.path, (404, {}))
            self.send_response(code)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def ask(name: str, airflow: str = "", **settings: Any) -> Service:
    answers = ask_all(Settings(spark_url="sc://127.0.0.1:1", **settings), airflow)
    return next(service for service in answers if service.name == name)


def test_an_llm_that_serves_another_model_is_not_up() -> None:
    with serving({"/v1/models": (200, {"data": [{"id": "other"}, {"id": "tiny"}]})}) as url:
        assert ask("llm", llm_url=f"{url}/v1", llm_model="tiny").state == "up"
        wrong = ask("llm", llm_url=f"{url}/v1", llm_model="big")
        one_of_two = ask("llm", llm_url=f"{url}/v1, http://127.0.0.1:1/v1", llm_model="tiny")
    assert wrong.state == "down"
    assert wrong.detail == f"{url}/v1 serves other, tiny, but not big"
    assert one_of_two.state == "down"


def test_an_engine_without_a_server_needs_its_python(tmp_path: Path) -> None:
    assert ask("llm", llm_url="engine:/m", llm_engine_python=sys.executable).state == "up"
    assert ask("llm", llm_url="engine:/m", llm_engine_python=tmp_path / "no").state == "down"


def test_an_airflow_with_a_sick_part_is_not_up() -> None:
    health = {"metadatabase": {"status": "healthy"}, "scheduler": {"status": "unhealthy"}}
    with serving({"/api/v2/monitor/health": (200, health)}) as url:
        sick = ask("airflow", airflow=url)
    assert (sick.state, sick.detail) == ("down", "unhealthy: scheduler")


def test_an_error_page_is_not_an_answer() -> None:
    with serving({}) as url:
        assert ask("airflow", airflow=url).state == "down"
        assert ask("llm", llm_url=f"{url}/v1").state == "down"


def test_what_is_not_configured_is_off_rather_than_down() -> None:
    assert ask("milvus").state == "off"
    assert ask("llm").state == "off"


def test_a_milvus_that_is_gone_is_down_within_seconds() -> None:
    gone = ask("milvus", milvus_uri="http://127.0.0.1:1")
    assert gone.state == "down"


def test_a_master_url_needs_no_server() -> None:
    require_spark("local[2]")
    with pytest.raises(
        ServerSilent, match=r"sc://127\.0\.0\.1:1 .*Nothing was run.*reclake spark start"
    ):
        require_spark("sc://127.0.0.1:1")


def test_a_run_without_spark_ends_with_try_again(reclake: Reclake) -> None:
    ended = reclake("run", "gold.i2i_daily", "--ds", "2017-12-30")
    assert ended.code == 75
    assert "Spark Connect does not answer" in ended.err
