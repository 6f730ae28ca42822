"""What the table runtime must know of its environment, and what a caller may choose for a run.

The runtime does not know the settings of table functions. It hands them through as sections:
`Environment.section` returns what the composition (`jobs.settings`) keeps under a name.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, Field, model_validator

ROOT = Path(__file__).resolve().parents[2]


class LakeSettings(BaseModel):
    """Where tables, drops, mappings and contracts are, and how bad a drop may be.

    Paths that are not given lie under `home`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    home: Path = Field(ROOT / ".reclake", description="folder of all local state")
    lake: str = Field("", description="where tables live, a folder or an s3a:// address")
    landing: str = Field("", description="where sources drop files, one folder an entity")
    sources: Path = Field(ROOT / "sources", description="mapping YAMLs, one a source")
    contracts: Path = Field(ROOT / "expectations", description="contract YAMLs, one a table")
    max_bad_share: float = Field(
        0.05, ge=0, le=1, description="share of bad rows in a drop beyond which the day stops"
    )

    @model_validator(mode="after")
    def _fill_paths(self) -> LakeSettings:
        home = self.home.expanduser().absolute()
        object.__setattr__(self, "home", home)
        if not self.lake:
            object.__setattr__(self, "lake", str(home / "lake"))
        if not self.landing:
            object.__setattr__(self, "landing", str(home / "landing"))
        return self


class LakeParams(BaseModel):
    """What a caller may choose for one run of any step."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    known_on: date | None = Field(
        None,
        description="last day whose arrivals the run may see; empty means the run's own day",
    )
    dry_run: bool = Field(
        False, description="compute and audit the day, but publish nothing and pay for nothing"
    )
    accept_worse: bool = Field(
        False,
        description="publish lists although they are clearly worse than those of the trailing "
        "week. Later days are compared with these lists",
    )

    recompute: bool = Field(
        False,
        description="compute the day also when nothing that it is made from has changed since the "
        "day before; such a day is otherwise carried over",
    )

    def slices(self, column: str) -> tuple[str, ...]:
        """The values of a slice column that the run is to build and read; none names no choice."""
        return ()


class Environment(Protocol):
    """All settings that the runtime gets: its own, and those that it hands to table functions."""

    @property
    def of_lake(self) -> LakeSettings:
        """The runtime's own settings."""

    @property
    def params(self) -> LakeParams:
        """The params of a run whose caller chooses nothing."""

    def section(self, name: str) -> Any:
        """The settings that a step declares under a name. Raises KeyError for an unknown name."""

    def slices(self, column: str) -> tuple[str, ...]:
        """The values of a slice column that a run builds and reads when its params name none."""

    def following(self, facts: Mapping[str, float]) -> Environment:
        """The environment in which settings that nobody has set follow measured facts."""


def chosen_slices(params: LakeParams, environment: Environment, column: str) -> tuple[str, ...]:
    """The values of a slice column that a run builds and reads: those of its params, or else those
    of the environment."""
    return params.slices(column) or environment.slices(column)


class Sections:
    """The settings of one table function: the sections that its step declares, as attributes.

    declared: names of sections; None allows all of the environment. Any other name raises
    AttributeError, so that a function cannot read a setting, or a secret, that it did not declare.
    """

    def __init__(self, environment: Environment, declared: tuple[str, ...] | None = None) -> None:
        self._environment = environment
        self._declared = declared

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if self._declared is not None and name not in self._declared:
            known = ", ".join(self._declared) or "none"
            raise AttributeError(
                f"settings.{name}: the step declares these sections: {known}. Add {name!r} to its "
                "`settings`."
            )
        return self._environment.section(name)
