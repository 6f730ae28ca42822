"""Spark is killed amid a day's calls: they are paid and kept, and the step ends well."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from infra.stack.ports import free_port
from infra.stack.process import members
from infra.stack.service import running
from infra.stack.services import spark
from jobs import spark_server
from jobs.delta_jars import delta_jars
from jobs.lake import Lake
from jobs.lake.oplog import PUBLISHED, RunRecord
from jobs.settings import get_settings
from tests.cli.small_lake import write_table
from tests.llm.faulty_server import Response, says, serve

# Two starts of the command and one of Spark, which on a busy machine take minutes.
pytestmark = [pytest.mark.server, pytest.mark.chaos, pytest.mark.timeout(900)]

DAY = date(2017, 12, 28)
TABLE = "silver.item_enrichments"
ITEMS = 40
ANSWER = {
    "standard_name": "green tea",
    "summary": "Green tea to drink.",
    "keywords": ["green tea", "tea"],
    "attributes": {"type": "tea"},
    "occasions": ["everyday"],
}


def write_day(lake: Lake) -> None:
    """`ITEMS` teas on sale, and the runs that published them."""
    folder = Path(lake.settings.lake)
    items = [
        {
            "item_id": f"tea {n}",
            "valid_from": DAY,
            "title": f"GREEN TEA {n}",
            "category": "TEA",
            "is_sellable": True,
            "content_hash": f"c{n}",
            "row_hash": f"r{n}",
        }
        for n in range(ITEMS)
    ]
    write_table(folder, lake.contracts["silver.items"], items)
    for table in ("silver.items", "silver.interactions"):
        lake.log.record_run(RunRecord(table, table, "", DAY, DAY, PUBLISHED))


def run_step(lake: Lake, spark_url: str, llm_url: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "RECLAKE_HOME": str(lake.settings.home),
        "RECLAKE_SPARK_URL": spark_url,
        "RECLAKE_LLM_URL": llm_url,
    }
    command = [sys.executable, "-m", "jobs.cli", "run", TABLE, "--ds", str(DAY)]
    return subprocess.run(
        command, check=False, env=environment, capture_output=True, text=True, timeout=300
    )


def test_a_day_s_calls_outlive_the_death_of_spark(
    make_lake: Callable[..., Lake], spark_url: str, tmp_path: Path
) -> None:
    lake, port = make_lake(), free_port()
    write_day(lake)
    jars = delta_jars(get_settings().home / "jars")
    service = spark.service(tmp_path, port, jars, master="local[1]", memory="1g")

    def behave(question: str, number: int) -> Response:
        if len(llm.requests) == ITEMS // 3:
            for member in members(process):
                member.kill()
        return says(json.dumps(ANSWER))

    with serve(behave) as llm:
        with running(service, tmp_path) as process:
            first = run_step(lake, spark_server.url(port), llm.url)
        assert first.returncode == 0, first.stdout + first.stderr
        assert len(llm.requests) == ITEMS
        second = run_step(lake, spark_url, llm.url)
        assert second.returncode == 0, second.stdout + second.stderr
        assert len(llm.requests) == ITEMS, "the next run paid again"
    rows = lake.tables.rows(TABLE, ["content_hash"], []).to_pylist()
    assert sorted(row["content_hash"] for row in rows) == sorted(f"c{n}" for n in range(ITEMS))
    counts = lake.tables.rows("ops.runs", ["counts"], [("table", "=", TABLE)]).to_pylist()
    assert {json.loads(row["counts"])["sent"] for row in counts} == {ITEMS, 0}
