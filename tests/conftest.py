"""Fixtures that all tests share: one Spark Connect server a run, and a fresh lake a test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from jobs.lake import Lake, Run
from jobs.lake.scratch import Scratch
from jobs.lake.settings import Sections
from jobs.settings import RunParams, Settings

# Tests put small questions to JVMs that do not live long, in which the second compiler takes more
# CPU time than it saves. Without it a JVM keeps 48 MB for compiled code, which one table's plan
# can fill; no class can be loaded then. 240 MB is what a JVM keeps for both compilers.
os.environ.setdefault("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that uses Spark needs a server, which `make test-fast` does not start."""
    for item in items:
        if "spark_url" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.server)


@pytest.fixture(scope="session")
def spark_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of this test run's Spark Connect server.

    `make mutants` runs the tests thousands of times, and keeps one server for all of them.
    """
    if url := os.environ.get("RECLAKE_TEST_SPARK_URL"):
        yield url
        return
    from infra.stack import spark_connect  # a second, which most test files need not spend

    with spark_connect(tmp_path_factory.mktemp("spark")) as url:
        yield url


@pytest.fixture(scope="session")
def spark(spark_url: str) -> Iterator[SparkSession]:
    """The one Spark session of the test run, over Connect as in production."""
    session = SparkSession.builder.remote(spark_url).getOrCreate()
    session.conf.set("spark.sql.shuffle.partitions", "2")
    yield session
    session.stop()


@pytest.fixture(scope="session")
def empty_lake(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with every table created from its contract, to be copied."""
    home = tmp_path_factory.mktemp("lake")
    Lake(spark, Settings(home=home)).create_all()
    return home / "lake"


@pytest.fixture
def make_lake(spark: SparkSession, empty_lake: Path, tmp_path: Path) -> Callable[..., Lake]:
    """Makes an empty lake in this test's folder, with any settings changed."""

    def make(**settings: object) -> Lake:
        home = Path(str(settings.pop("home", tmp_path / "reclake")))
        if not (home / "lake").exists():
            shutil.copytree(empty_lake, home / "lake")
        return Lake(spark, Settings(home=home, **settings))  # type: ignore[arg-type]

    return make


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Run]:
    """Makes the Run of one day, to call a table function by hand; keywords are run parameters."""

    def make(ds: date, *, watermark: date | None = None, **params: object) -> Run:
        chosen = RunParams(**params)  # type: ignore[arg-type]
        return Run(
            ds=ds,
            known_on=chosen.known_on or ds,
            watermark=watermark,
            params=chosen,
            settings=Sections(Settings(home=tmp_path / "reclake")),
            run_id="test",
            scratch=Scratch(tmp_path),
        )

    return make


@pytest.fixture
def lake(make_lake: Callable[..., Lake]) -> Lake:
    """An empty lake with default settings in this test's folder."""
    return make_lake()
