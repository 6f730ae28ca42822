"""The embedded stack: PostgreSQL, Airflow, Spark Connect with Delta, Milvus and vLLM.

One service at a time on free ports, for tests. Each is healthy inside the block and ended with
all its children after it; `home` is a folder for its data and for `logs/<service>.log`:

    spark_connect(home, *, jars=None, master="local[2]", memory="1g")   yields "sc://127.0.0.1:P"
    milvus(home)                                                        yields "http://127.0.0.1:P"
    vllm(model_dir, home, *, name="model", extra=())                    yields "http://127.0.0.1:P/v1"
    postgres(home)                                          yields "postgresql+psycopg2://…/airflow…"
    airflow(home, env=None, *, spark_url=…, dags=…)         yields Login(url, user, password)

The whole stack, as `make demo` starts it and `make down` ends it, is in `infra.stack.stack`.
"""

from __future__ import annotations

from infra.stack.services.airflow import Login
from infra.stack.services.postgres import postgres
from infra.stack.single import airflow, milvus, spark_connect, vllm
from infra.stack.waiting import ServiceFailed

__all__ = ["Login", "ServiceFailed", "airflow", "milvus", "postgres", "spark_connect", "vllm"]
