"""Our Great Expectations expectations: no row breaks a condition, no row answers a query.

Importing this module imports Great Expectations, which takes seconds, so `jobs.lake.expectations`
imports it only when a day is audited. The library's own `UnexpectedRowsExpectation` runs its query
twice. Here a query runs once, and conditions are counted together with the library's own checks in
one pass over the day.

Conditions and queries are Spark's SQL. A day that is audited in this process, on Great
Expectations' pandas engine, is asked by DuckDB, in whose SQL sqlglot writes them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ClassVar

import duckdb
import pyarrow as pa
import sqlglot
from great_expectations.core.metric_domain_types import MetricDomainTypes
from great_expectations.core.metric_function_types import MetricPartialFunctionTypes
from great_expectations.execution_engine.execution_engine import ExecutionEngine
from great_expectations.execution_engine.pandas_execution_engine import PandasExecutionEngine
from great_expectations.execution_engine.sparkdf_execution_engine import SparkDFExecutionEngine
from great_expectations.expectations.expectation import BatchExpectation
from great_expectations.expectations.metrics.metric_provider import metric_partial, metric_value
from great_expectations.expectations.metrics.table_metric_provider import TableMetricProvider
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.lake.expectations import rows_that_break

_ROWS: ContextVar[DataFrame | pa.Table] = ContextVar("_ROWS")


@contextmanager
def rows_here(rows: DataFrame | pa.Table) -> Iterator[None]:
    """Within the block, checks of ours on the pandas engine ask these rows."""
    token = _ROWS.set(rows)
    try:
        yield
    finally:
        _ROWS.reset(token)


class RowsBreaking(TableMetricProvider):
    """How many rows break a SQL condition, as part of one common aggregation."""

    metric_name = "table.rows_breaking"
    value_keys = ("condition",)

    @metric_partial(
        engine=SparkDFExecutionEngine,
        partial_fn_type=MetricPartialFunctionTypes.AGGREGATE_FN,
        domain_type=MetricDomainTypes.TABLE,
    )
    def _spark(
        cls,  # noqa: N805 (the decorator makes it a class method)
        execution_engine: SparkDFExecutionEngine,
        metric_domain_kwargs: dict[str, Any],
        metric_value_kwargs: dict[str, Any],
        metrics: dict[str, Any],
        runtime_configuration: dict[str, Any],
    ) -> tuple[Column, dict[str, Any], dict[str, Any]]:
        holds = F.coalesce(F.expr(metric_value_kwargs["condition"]), F.lit(False))
        return F.count_if(~holds), metric_domain_kwargs, {}

    @metric_value(engine=PandasExecutionEngine)
    def _pandas(
        cls,  # noqa: N805
        execution_engine: PandasExecutionEngine,
        metric_domain_kwargs: dict[str, Any],
        metric_value_kwargs: dict[str, Any],
        metrics: dict[str, Any],
        runtime_configuration: dict[str, Any],
    ) -> int:
        return ask_here(_ROWS.get(), rows_that_break(metric_value_kwargs["condition"])).num_rows


class RowsAnswering(TableMetricProvider):
    """How many rows a SQL query over the day returns."""

    metric_name = "table.rows_answering"
    value_keys = ("query",)

    @metric_value(engine=SparkDFExecutionEngine)
    def _spark(
        cls,  # noqa: N805
        execution_engine: SparkDFExecutionEngine,
        metric_domain_kwargs: dict[str, Any],
        metric_value_kwargs: dict[str, Any],
        metrics: dict[str, Any],
        runtime_configuration: dict[str, Any],
    ) -> int:
        frame, _, _ = execution_engine.get_compute_domain(
            metric_domain_kwargs, domain_type=MetricDomainTypes.TABLE
        )
        return ask(frame, metric_value_kwargs["query"]).count()

    @metric_value(engine=PandasExecutionEngine)
    def _pandas(
        cls,  # noqa: N805
        execution_engine: PandasExecutionEngine,
        metric_domain_kwargs: dict[str, Any],
        metric_value_kwargs: dict[str, Any],
        metrics: dict[str, Any],
        runtime_configuration: dict[str, Any],
    ) -> int:
        return ask_here(_ROWS.get(), metric_value_kwargs["query"]).num_rows


class _NoRowsExpectation(BatchExpectation):
    """Passes when its one metric is 0."""

    domain_keys: ClassVar[tuple[str, ...]] = ("batch_id",)

    def _validate(
        self,
        metrics: dict[str, Any],
        runtime_configuration: dict[str, Any] | None = None,
        execution_engine: ExecutionEngine | None = None,
    ) -> dict[str, Any]:
        rows = metrics[self.metric_dependencies[0]] or 0
        return {"success": rows == 0, "result": {"observed_value": f"{rows} rows"}}


class ExpectNoRowToBreak(_NoRowsExpectation):
    """condition: SQL over the columns of a row; null counts as broken."""

    condition: str
    metric_dependencies: ClassVar[tuple[str, ...]] = ("table.rows_breaking",)
    success_keys: ClassVar[tuple[str, ...]] = ("condition",)


class ExpectNoRowToAnswer(_NoRowsExpectation):
    """query: SQL that selects broken rows `FROM {batch}`."""

    query: str
    metric_dependencies: ClassVar[tuple[str, ...]] = ("table.rows_answering",)
    success_keys: ClassVar[tuple[str, ...]] = ("query",)


def ask(frame: DataFrame, query: str) -> DataFrame:
    """The rows that a query over `{batch}` returns, with `frame` in that place."""
    return frame.sparkSession.sql(query, batch=frame)


def ask_here(rows: pa.Table, query: str) -> pa.Table:
    """As `ask`, for rows of this process. Raises duckdb.Error for what DuckDB cannot run."""
    (translated,) = sqlglot.transpile(
        query.replace("{batch}", "batch"), read="spark", write="duckdb"
    )
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("batch", rows)
        return connection.sql(translated).to_arrow_table()


def can_ask_here(schema: pa.Schema, query: str) -> bool:
    """Whether DuckDB knows all that a query uses."""
    try:
        ask_here(schema.empty_table(), query)
    except (duckdb.Error, sqlglot.errors.SqlglotError):
        return False
    return True
