"""What a caller may choose of recall for one run."""

from __future__ import annotations

from pydantic import Field, field_validator

from jobs.lake.settings import LakeParams
from jobs.recall.sources import CHANNEL_NAMES, FILL_CHANNEL, METHOD_NAMES


class RecallParams(LakeParams):
    """The methods and channels of one run. Raises pydantic's ValidationError for one that does not
    exist, and for channels without the one that fills the lists."""

    methods: tuple[str, ...] = Field(
        (), description="I2I methods to build and fuse; by default all that have a weight"
    )
    channels: tuple[str, ...] = Field(
        (),
        description=f"recall channels to build and fuse, `{FILL_CHANNEL}` among them; by default "
        f"`{FILL_CHANNEL}` and all that have a weight",
        json_schema_extra={"if": {"minItems": 1}, "then": {"contains": {"const": FILL_CHANNEL}}},
    )

    @field_validator("methods")
    @classmethod
    def _methods_exist(cls, methods: tuple[str, ...]) -> tuple[str, ...]:
        return _known(methods, METHOD_NAMES)

    @field_validator("channels")
    @classmethod
    def _channels_fill_lists(cls, channels: tuple[str, ...]) -> tuple[str, ...]:
        if channels and FILL_CHANNEL not in channels:
            raise ValueError(f"{FILL_CHANNEL} is missing; without it lists would be too short")
        return _known(channels, CHANNEL_NAMES)

    def slices(self, column: str) -> tuple[str, ...]:
        """The methods (column `method`) or channels (`channel`) that the run names, if any."""
        return {"method": self.methods, "channel": self.channels}[column]


def _known(chosen: tuple[str, ...], names: tuple[str, ...]) -> tuple[str, ...]:
    if unknown := sorted(set(chosen) - set(names)):
        raise ValueError(f"unknown: {', '.join(unknown)}; known: {', '.join(names)}")
    return chosen
