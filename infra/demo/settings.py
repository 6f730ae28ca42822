"""Choices about the demo alone, from `DEMO_*` variables.

`make demo DEMO_HOUSEHOLDS=2469` sets one."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class DemoSettings(BaseSettings):
    """How much of the data the demo takes."""

    model_config = SettingsConfigDict(env_prefix="DEMO_", frozen=True, extra="ignore")

    households: int = Field(
        default=500, ge=1, description="those with the least hashes of their ids; 2,469 are all"
    )
