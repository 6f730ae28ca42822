"""The input that bronze tables declare: the landing files of one entity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobs.lake.step import Arrivals

if TYPE_CHECKING:
    from jobs.lake.intake.landing import DropsTaken
    from jobs.lake.oplog import OpLog
    from jobs.lake.settings import LakeSettings
    from jobs.lake.step import Run


@dataclass(frozen=True)
class Drops(Arrivals):
    """The landing files of one entity (`landing/<entity>/ds=D/*`) that no run has taken in yet."""

    entity: str

    def any_due(self, log: OpLog, settings: LakeSettings, run: Run) -> bool:
        """Whether any file is due; raises as `take_in` for the list of files."""
        from jobs.lake.intake import landing

        return landing.any_due(settings, self.entity, run, self._known(log))

    def are_expected(self, settings: LakeSettings) -> bool:
        """Whether a mapping names the entity: a shop need not deliver users."""
        from jobs.lake.intake.mapping import load_sources

        there_are_mappings = any(settings.sources.glob("*.yaml"))
        return not there_are_mappings or bool(load_sources(settings.sources, self.entity))

    def take_in(self, log: OpLog, settings: LakeSettings, run: Run) -> DropsTaken:
        """The rows of the files that are due; see `jobs.lake.intake.landing.take_in`."""
        from jobs.lake.intake import landing  # imports Spark, which a DAG file does not need

        return landing.take_in(log.tables.spark, settings, self.entity, run, self._known(log))

    def _known(self, log: OpLog) -> list[dict[str, Any]]:
        """The entity's files that published runs took in."""
        return log.of_published("ops.landing_files", [("entity", "=", self.entity)]).to_pylist()
