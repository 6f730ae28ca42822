"""Choices about the embedded stack alone, from `RECLAKE_*` variables; `jobs/` reads none."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

_PORT = Field(default=None, ge=1, le=65535, description="the server's port; empty: a free one")


class StackSettings(BaseSettings):
    """Ports for servers that should be where you say, such as `RECLAKE_AIRFLOW_PORT=8090`."""

    model_config = SettingsConfigDict(env_prefix="RECLAKE_", frozen=True, extra="ignore")

    airflow_port: int | None = _PORT
    milvus_port: int | None = _PORT
    spark_port: int | None = _PORT
    vllm_port: int | None = _PORT
    spark_memory: str = Field(
        default="", description="JVM heap as Spark writes it; empty: a quarter of RAM"
    )
