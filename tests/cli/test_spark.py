"""A Spark of one's own: a server in the background, or one inside each command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from infra.stack.ports import free_port
from jobs.settings import get_settings

MAPPING = """
source: shop
entity: events
columns:
  user_id: {from: user}
  item_id: {from: item}
  event_ts: {from: at}
  event_type: {constant: purchase}
  quantity: {constant: 1}
"""
pytestmark = pytest.mark.server


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home with Delta's JARs, a mapping and a drop."""
    found = tmp_path / "home"
    found.mkdir()
    jars = get_settings().home / "jars"
    if jars.exists():
        (found / "jars").symlink_to(jars)
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources" / "shop.yaml").write_text(
        MAPPING.replace("{from: at}", "{from: at, time_zone: UTC}"), "utf-8"
    )
    drop = found / "landing" / "events" / "ds=2026-01-02" / "x.csv"
    drop.parent.mkdir(parents=True)
    drop.write_text("user,item,at\nu,i,2026-01-02\n", "utf-8")
    yield found
    reclake(found, "spark", "stop")


def reclake(home: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    given = {"RECLAKE_HOME": str(home), "RECLAKE_SOURCES": str(home.parent / "sources")}
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("RECLAKE_", "SPARK_"))}
    return subprocess.run(
        [sys.executable, "-m", "jobs.cli", *arguments],
        capture_output=True,
        text=True,
        env=kept | given | variables,
        timeout=400,
    )


def test_a_server_is_started_used_and_ended(home: Path) -> None:
    port = str(free_port())
    started = reclake(home, "spark", "start", "--port", port, "--memory", "1g", "--json")
    assert started.returncode == 0, started.stderr
    server = json.loads(started.stdout)
    assert psutil.pid_exists(server["pid"])
    assert server["url"] == f"sc://127.0.0.1:{port}"

    again = reclake(home, "spark", "start", "--port", str(free_port()))
    assert again.returncode == 1
    assert f"runs already, at {server['url']} (process {server['pid']})" in again.stderr
    elsewhere = reclake(home.parent / "other", "spark", "start", "--port", port)
    assert f"another server answers at {server['url']}" in elsewhere.stderr

    assert reclake(home, "init").returncode == 0
    ran = reclake(
        home, "run", "bronze.events", "--ds", "2026-01-02", RECLAKE_SPARK_URL=server["url"]
    )
    assert "published, 1 row" in ran.stdout + ran.stderr, ran.stderr

    ended = reclake(home, "spark", "stop")
    assert f"ended process {server['pid']}" in ended.stdout
    assert not psutil.pid_exists(server["pid"])
    assert "no server of this home is running" in reclake(home, "spark", "stop").stdout


def test_a_spark_inside_a_command_has_delta(home: Path) -> None:
    assert reclake(home, "init").returncode == 0
    ran = reclake(home, "run", "bronze.events", "--ds", "2026-01-02", RECLAKE_SPARK_URL="local[2]")
    assert "published, 1 row" in ran.stdout + ran.stderr, ran.stderr
    found = reclake(home, "sql", "SELECT user_id, item_id FROM bronze.events", "--format", "csv")
    assert found.stdout.splitlines()[-1] == "u,i", found.stderr
