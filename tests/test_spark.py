"""What a client of Spark Connect puts up with."""

from __future__ import annotations

from pyspark.sql import SparkSession
from pyspark.sql.connect.client.retries import RetryPolicyState
from pyspark.sql.connect.session import SparkSession as ConnectSession

from jobs.spark import impatient


def test_a_server_that_is_away_is_given_up_within_a_minute(spark: SparkSession) -> None:
    session = impatient(spark)
    assert isinstance(session, ConnectSession)
    (policy,) = session.client.get_retry_policies()
    state = RetryPolicyState(policy)
    waits = iter(lambda: state.next_attempt(None), None)
    assert 30_000 < sum(waits) < 60_000
