"""The environment of one process: every part's settings, composed once and read from variables.

Each field is an environment variable `RECLAKE_<FIELD>`; fields of a nested model take a double
underscore (`RECLAKE_RECALL__USER__ITEMS`). Each part's model, with its defaults, stands beside its
owner. Secrets are `SecretStr`, which prints as asterisks.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, Field, create_model, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from jobs.judging.settings import MetricsSettings
from jobs.lake.settings import ROOT, LakeSettings
from jobs.llm.settings import LLMParams, LLMSettings
from jobs.recall.facts import Facts
from jobs.recall.following import followed
from jobs.recall.fusion.settings import I2ISettings, PairReasonsSettings, UserRecallSettings
from jobs.recall.params import RecallParams
from jobs.recall.settings.events import EventSettings
from jobs.recall.settings.fields import Section
from jobs.recall.settings.lists import BundleSettings, PopularSettings
from jobs.recall.sources.channels import CHANNELS
from jobs.recall.sources.methods import METHODS
from jobs.vectors.settings import EncoderSettings, MilvusSettings

__all__ = ["ROOT", "RecallSettings", "RunParams", "Settings", "get_settings"]


class RunParams(LLMParams, RecallParams):
    """What a caller may choose for one run; the Airflow params of `recall_daily` are these fields.

    Raises pydantic's ValidationError for a method or channel that does not exist, and for channels
    without `popular`: it alone fills the list of a user whom no other channel knows.
    """


class _Fused(Section):
    """The sections of recall that belong to no source, and how its lists are judged."""

    i2i: I2ISettings = I2ISettings()
    pair_reasons: PairReasonsSettings = PairReasonsSettings()
    user: UserRecallSettings = UserRecallSettings()
    bundles: BundleSettings = BundleSettings()
    metrics: MetricsSettings = MetricsSettings()
    events: EventSettings = EventSettings()
    follow_data: bool = Field(
        True,
        description="whether settings that nobody has set follow the facts of "
        "gold.data_report_daily (docs/decisions/0017-settings-that-follow-the-data.md)",
    )

    @model_validator(mode="after")
    def _popular_fills_a_list(self) -> Self:
        popular: PopularSettings = getattr(self, "popular")  # noqa: B009 - added below
        if popular.items < self.user.items:
            raise ValueError(
                f"popular.items: {popular.items} cannot fill lists of {self.user.items} "
                "(user.items); raise the first or lower the second"
            )
        return self

    def with_changes(self, changes: Mapping[str, Mapping[str, Any]]) -> Self:
        """The settings with some fields of some sections changed, validated again.

        What nobody had set is not set by this either, so it still follows the data.
        """
        values = self.model_dump(exclude_unset=True)
        for section, fields in changes.items():
            values[section] = {**values.get(section, {}), **fields}
        return self.model_validate(values)


if TYPE_CHECKING:

    class RecallSettings(_Fused):
        """All of recall. Each source has a section of its own, too."""

        def __getattr__(self, section: str) -> Any: ...

else:
    RecallSettings = create_model(
        "RecallSettings",
        __base__=_Fused,
        __doc__="All of recall: a section a source, and those of the fused lists.",
        **{source.section: (source.model, source.model()) for source in (*METHODS, *CHANNELS)},
    )


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
    recall: RecallSettings = RecallSettings()

    @property
    def of_lake(self) -> LakeSettings:
        """What the table runtime reads."""
        return self

    @property
    def params(self) -> RunParams:
        """The params of a run whose caller chooses nothing."""
        return RunParams()

    def section(self, name: str) -> Any:
        """The settings that a step declares under a name: `llm`, `milvus`, `encoder`, or a section
        of `recall`. Raises KeyError for another name."""
        if part := _PARTS.get(name):
            return part.model_construct(**{f: getattr(self, f) for f in part.model_fields})
        if name not in RecallSettings.model_fields:
            known = ", ".join([*_PARTS, *RecallSettings.model_fields])
            raise KeyError(f"settings have no section {name!r}; known: {known}")
        return getattr(self.recall, name)

    def following(self, facts: Mapping[str, float]) -> Settings:
        """The settings in which those of recall that nobody has set follow facts of the log."""
        recall = followed(self.recall, Facts.of(facts)) if self.recall.follow_data else self.recall
        return self.model_copy(update={"recall": recall})

    def slices(self, column: str) -> tuple[str, ...]:
        """The I2I methods (column `method`) and recall channels (`channel`) that have a weight."""
        built = {"method": self.recall.i2i.built, "channel": self.recall.user.built}
        return built[column]


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The settings of this process, read once. Raises pydantic's ValidationError on a bad value."""
    return Settings()
