"""Everything that differs between a laptop and production, read once from the environment.

Each field is an environment variable `RECLAKE_<FIELD>`; fields of a nested model take a double
underscore (`RECLAKE_RECALL__USER__ITEMS`). A default stands here and nowhere else. Secrets are
`SecretStr`, which prints as asterisks.
"""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    SecretStr,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from jobs.recall.settings import FILL_CHANNEL, I2I_METHODS, USER_CHANNELS, RecallSettings

ROOT = Path(__file__).resolve().parent.parent


class RunParams(BaseModel):
    """What a caller may choose for one run; the Airflow params of `recall_daily` are these fields.

    Raises pydantic's ValidationError for a method or channel that does not exist, and for channels
    without `popular`, which alone fills the lists of users that no other channel knows.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    item_budget: int = Field(
        40, ge=0, description="how many distinct item contents the LLM may describe on the day"
    )
    user_budget: int = Field(
        20, ge=0, description="how many user profiles the LLM may describe on the day"
    )
    token_budget: int | None = Field(
        None,
        ge=0,
        description="most tokens, sent and received, that a step may pay the LLM for, all its "
        "shards together; calls beyond are skipped and stand in the ledger; 0 sends nothing, empty "
        "is no limit",
    )
    minutes_budget: float | None = Field(
        None,
        ge=0,
        description="minutes in which a step may start LLM calls; calls beyond are skipped and "
        "stand in the ledger; 0 sends nothing, empty is no limit",
    )
    only_unanswered: bool = Field(
        False,
        description="item_budget and user_budget count only what was never answered, so that a run "
        "goes on where the last one stopped; of items the newest then take turns with the most "
        "urgent",
    )
    shards: int = Field(
        1,
        ge=1,
        le=64,
        description="tasks that share the day's LLM calls; each pays for questions of its own. The "
        "pool `llm` has to have as many slots for them to work at once",
    )
    companion_budget: int = Field(
        0,
        ge=0,
        description="of how many rare item contents the LLM may say on the day what goes with them",
    )
    reason_budget: int = Field(
        0,
        ge=0,
        description="of how many pairs of the day's most used items and their nearest neighbors "
        "the LLM may write the reason",
    )
    methods: tuple[str, ...] = Field(
        (), description="I2I methods to build; empty means all with a weight"
    )
    channels: tuple[str, ...] = Field(
        (),
        description="recall channels to build, `popular` among them; empty means all with a weight",
        json_schema_extra={"if": {"minItems": 1}, "then": {"contains": {"const": FILL_CHANNEL}}},
    )
    known_on: date | None = Field(
        None,
        description="reads see what was known at the end of this day; empty means the run's own",
    )
    dry_run: bool = Field(
        False, description="compute and audit, publish nothing, send nothing to the LLM"
    )
    accept_worse: bool = Field(
        False,
        description="publish lists although they are clearly worse than those of the trailing "
        "week; later days are compared with these",
    )

    @field_validator("methods")
    @classmethod
    def _methods_exist(cls, methods: tuple[str, ...]) -> tuple[str, ...]:
        return _known(methods, I2I_METHODS)

    @field_validator("channels")
    @classmethod
    def _channels_fill_lists(cls, channels: tuple[str, ...]) -> tuple[str, ...]:
        if channels and FILL_CHANNEL not in channels:
            raise ValueError(f"{FILL_CHANNEL} is missing; without it lists would be too short")
        return _known(channels, USER_CHANNELS)


def _known(chosen: tuple[str, ...], names: tuple[str, ...]) -> tuple[str, ...]:
    if unknown := sorted(set(chosen) - set(names)):
        raise ValueError(f"unknown: {', '.join(unknown)}; known: {', '.join(names)}")
    return chosen


class Price(BaseModel):
    """What a million tokens of one model cost, in any one currency.

    input: tokens sent. cached: those of them that the server had in its prefix cache; as `input`
    when not given. output: tokens received.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: float = Field(ge=0)
    cached: float | None = Field(None, ge=0)
    output: float = Field(ge=0)

    def cost(self, sent: float, cached: float, received: float) -> float:
        """The price of so many tokens. sent: all tokens sent, `cached` ones among them."""
        of_cached = self.input if self.cached is None else self.cached
        return ((sent - cached) * self.input + cached * of_cached + received * self.output) / 1e6


class LLMSettings(BaseModel):
    """The OpenAI-compatible servers that describe items and users.

    concurrency: most calls under way at once; a run finds by itself how many of them pay.
    chunk_size: most calls sent and not committed, which is what a kill can lose. At less than four
    times `concurrency`, a commit may keep the servers waiting. commit_seconds: an answer waits for
    others to be committed with, at most as long. timeout_seconds: one request. max_attempts:
    requests of each form of a question, of which an unreadable answer has up to three (again in the
    same words, then simpler). patience_seconds: how long a call waits when no server is there.
    max_error_share: 0 to 1, a day stops when more of its recent calls than this bring no answer or
    an unreadable one. gate_threshold: -1 to 1, the least cosine between an answer and the text it
    describes. prices: by served model name; a model without one costs null. prompts: prompt name
    to the version that is asked; 1 where it names none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    concurrency: int = Field(256, ge=1)
    chunk_size: int = Field(1024, ge=1)
    commit_seconds: float = Field(20.0, ge=0)
    timeout_seconds: float = Field(120.0, gt=0)
    max_attempts: int = Field(4, ge=1)
    patience_seconds: float = Field(300.0, ge=0)
    max_error_share: float = Field(0.2, ge=0, le=1)
    gate_threshold: float = Field(0.79, ge=-1, le=1)
    prices: dict[str, Price] = Field({}, description="money per million tokens, by model")
    prompts: dict[str, int] = Field({})


class Settings(BaseSettings):
    """The environment of one reclake process. Unknown nested keys are refused at start."""

    model_config = SettingsConfigDict(
        env_prefix="RECLAKE_",
        env_nested_delimiter="__",
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,  # a refused address may hold a password
    )

    home: Path = Field(ROOT / ".reclake", description="folder of all local state")
    lake: str = Field("", description="where tables live, a folder or an s3a:// address")
    landing: str = Field("", description="where sources drop files, one folder an entity")
    sources: Path = Field(ROOT / "sources", description="mapping YAMLs, one a source")
    contracts: Path = Field(ROOT / "expectations", description="contract YAMLs, one a table")

    spark_url: str = Field("sc://127.0.0.1:15002", description="Spark Connect or master URL")
    max_bad_share: float = Field(
        0.05, ge=0, le=1, description="bad rows a drop may have, as a share, before the day stops"
    )

    llm_url: str = Field(
        "",
        description="OpenAI-compatible base URL, ending in /v1; several with commas; or "
        "engine:/path/to/model for vLLM without a server",
    )
    llm_model: str = Field("smollm2-135m-instruct", description="served model name")
    llm_engine_python: Path = Field(
        ROOT / ".venv-serve" / "bin" / "python", description="a Python that has vLLM, for engine:"
    )
    llm_engine_args: dict[str, JsonValue] = Field(
        {}, description="arguments of vLLM's engine, for engine:; as JSON"
    )
    llm_api_key: SecretStr = SecretStr("")
    llm_tokenizer: str = Field(
        "", description="tokenizer.json, or its folder, that prompt limits are counted with"
    )
    llm_attributes: Path = Field(
        ROOT / "jobs" / "llm" / "attributes.yaml",
        description="attribute library of prompts",
    )
    llm: LLMSettings = LLMSettings()

    milvus_uri: str = Field("", description="http://host:port of a Milvus server")
    milvus_token: SecretStr = SecretStr("")
    milvus_index: Literal["FLAT", "IVF_FLAT", "HNSW", "AUTOINDEX"] = "FLAT"

    encoder: str = Field("minilm-l6", description="minilm-l6, or a sentence-transformers model")
    encoder_dtype: Literal["auto", "bf16", "fp32"] = "auto"

    recall: RecallSettings = RecallSettings()

    @field_validator("llm_url")
    @classmethod
    def _llm_url_holds_no_secret(cls, url: str) -> str:
        """It stands in the ledger and in logs."""
        if any("@" in urlsplit(one.strip()).netloc for one in url.split(",")):
            raise ValueError(
                "holds a user or a password, which would stand in the ledger and in logs; "
                "RECLAKE_LLM_API_KEY is for what a server wants to know"
            )
        return url

    @property
    def llm_urls(self) -> tuple[str, ...]:
        """The addresses that `llm_url` names, in order."""
        return tuple(url.strip() for url in self.llm_url.split(",") if url.strip())

    @model_validator(mode="after")
    def _fill_paths(self) -> Settings:
        """Paths that are not given lie under `home`."""
        home = self.home.expanduser().absolute()
        object.__setattr__(self, "home", home)
        if not self.lake:
            object.__setattr__(self, "lake", str(home / "lake"))
        if not self.landing:
            object.__setattr__(self, "landing", str(home / "landing"))
        return self


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The settings of this process, read once. Raises pydantic's ValidationError on a bad value."""
    return Settings()
