"""The environment of one process: every part's settings, composed once and read from variables.

Each field is an environment variable `RECLAKE_<FIELD>`; fields of a nested model take a double
underscore (`RECLAKE_RECALL__USER__ITEMS`). Each part's model stands beside its owner, where its
defaults are. Secrets are `SecretStr`, which prints as asterisks.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from pydantic import BaseModel, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from jobs.judging.settings import MetricsSettings
from jobs.lake.settings import ROOT, LakeSettings
from jobs.llm.settings import LLMParams, LLMSettings
from jobs.recall.settings import RecallSettings
from jobs.recall.settings.params import RecallParams
from jobs.vectors.settings import EncoderSettings, MilvusSettings

__all__ = ["ROOT", "RecallAndMetrics", "RunParams", "Settings", "get_settings"]


class RunParams(LLMParams, RecallParams):
    """What a caller may choose for one run; the Airflow params of `recall_daily` are these fields.

    Raises pydantic's ValidationError for a method or channel that does not exist, and for channels
    without `popular`, which alone fills the lists of users that no other channel knows.
    """


class RecallAndMetrics(RecallSettings):
    """All of recall, and how its lists are judged."""

    metrics: MetricsSettings = MetricsSettings()


# The sections that are slices of the flat fields; all others are those of `recall`.
_PARTS: dict[str, type[BaseModel]] = {
    "llm": LLMSettings,
    "milvus": MilvusSettings,
    "encoder": EncoderSettings,
}


class Settings(EncoderSettings, MilvusSettings, LLMSettings, LakeSettings, BaseSettings):
    """The environment of one reclake process. Unknown nested keys are refused at start."""

    model_config = SettingsConfigDict(
        env_prefix="RECLAKE_",
        env_nested_delimiter="__",
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,  # a refused address may hold a password
    )

    spark_url: str = Field("sc://127.0.0.1:15002", description="Spark Connect or master URL")
    recall: RecallAndMetrics = RecallAndMetrics()

    @property
    def of_lake(self) -> LakeSettings:
        """What the table runtime reads."""
        return self

    @property
    def params(self) -> RunParams:
        """What a run is given whose caller chooses nothing."""
        return RunParams()

    def section(self, name: str) -> Any:
        """The settings that a step declares under a name: `llm`, `milvus`, `encoder`, or a section
        of `recall`. Raises KeyError for another name."""
        if part := _PARTS.get(name):
            return part.model_construct(**{f: getattr(self, f) for f in part.model_fields})
        if name not in RecallAndMetrics.model_fields:
            known = ", ".join([*_PARTS, *RecallAndMetrics.model_fields])
            raise KeyError(f"settings have no section {name!r}; known: {known}")
        return getattr(self.recall, name)

    def slices(self, column: str) -> tuple[str, ...]:
        """The I2I methods (column `method`) and recall channels (`channel`) that have a weight."""
        built = {"method": self.recall.i2i.built, "channel": self.recall.user.built}
        return built[column]


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The settings of this process, read once. Raises pydantic's ValidationError on a bad value."""
    return Settings()
