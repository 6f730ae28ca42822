"""What can be set about the LLM: its servers, bulk calls, prices, and what a run may spend."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, JsonValue, SecretStr, field_validator

from jobs.lake.settings import ROOT, LakeParams


class Price(BaseModel):
    """What a million tokens of one model cost, in any one currency.

    input: tokens sent. cached: tokens sent that the server had in its prefix cache; the price of
    `input` when not given. output: tokens received.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: float = Field(ge=0)
    cached: float | None = Field(None, ge=0)
    output: float = Field(ge=0)

    def cost(self, sent: float, cached: float, received: float) -> float:
        """The price of so many tokens. sent: all tokens sent, `cached` ones among them."""
        of_cached = self.input if self.cached is None else self.cached
        return ((sent - cached) * self.input + cached * of_cached + received * self.output) / 1e6


class BulkSettings(BaseModel):
    """How many calls are sent at a time, and what becomes of answers.

    concurrency: most calls under way at once; a run itself finds the best number up to this.
    chunk_size: most calls that are sent and not committed, so the most that a kill can lose. With
    less than four times `concurrency`, a commit may keep the servers waiting. commit_seconds:
    longest wait of an answer for others to be committed with it. timeout_seconds: longest wait for
    one request. max_attempts: most requests for each form of a question; after an unreadable answer
    a question is asked again in the same words, then in a simpler form. patience_seconds: how long
    a call waits while no server can be reached. max_error_share: share of recent calls, 0 to 1,
    that bring no answer or an unreadable one, beyond which the day stops. gate_threshold: least
    cosine, -1 to 1, between an answer and the text that it describes. prices: by served model name;
    a model without a price costs null. prompts: version to ask of each prompt, by name; 1 for a
    prompt that is not named.
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


class LLMSettings(BaseModel):
    """The OpenAI-compatible servers, or the engine, that describe items and users."""

    model_config = ConfigDict(frozen=True, extra="forbid")

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
    llm_api_key: SecretStr = Field(
        SecretStr(""), description="key of the LLM servers, if they ask for one"
    )
    llm_tokenizer: str = Field(
        "", description="tokenizer.json, or its folder, that counts tokens for prompt limits"
    )
    llm_attributes: Path = Field(
        ROOT / "jobs" / "llm" / "attributes.yaml",
        description="attribute library of prompts",
    )
    llm: BulkSettings = BulkSettings()

    @field_validator("llm_url")
    @classmethod
    def _llm_url_holds_no_secret(cls, url: str) -> str:
        """The address stands in the ledger and in logs."""
        if any("@" in urlsplit(one.strip()).netloc for one in url.split(",")):
            raise ValueError(
                "holds a user or a password, which would stand in the ledger and in logs; "
                "RECLAKE_LLM_API_KEY holds a server's key"
            )
        return url

    @property
    def llm_urls(self) -> tuple[str, ...]:
        """The addresses that `llm_url` names, in order."""
        return tuple(url.strip() for url in self.llm_url.split(",") if url.strip())


class LLMParams(LakeParams):
    """What a caller may choose for the LLM calls of one run."""

    item_budget: int = Field(
        40, ge=0, description="most distinct item contents that the LLM may describe for the day"
    )
    user_budget: int = Field(
        20, ge=0, description="most user profiles that the LLM may describe for the day"
    )
    token_budget: int | None = Field(
        None,
        ge=0,
        description="most tokens, sent and received, that a step may pay for in all shards "
        "together. The step skips further calls and records them in the ledger. 0 sends nothing; "
        "empty sets no limit",
    )
    minutes_budget: float | None = Field(
        None,
        ge=0,
        description="minutes in which a step may start LLM calls. The step skips further calls and "
        "records them in the ledger. 0 sends nothing; empty sets no limit",
    )
    only_unanswered: bool = Field(
        False,
        description="count only unanswered contents and profiles toward item_budget and "
        "user_budget, so that a run goes on where the last one stopped. The most urgent and the "
        "newest items then take turns",
    )
    shards: int = Field(
        1,
        ge=1,
        le=64,
        description="tasks that share the LLM calls of each paying step; each task pays for "
        "questions of its own. They all work at once if the pool `llm` has as many slots",
    )
    companion_budget: int = Field(
        0,
        ge=0,
        description="most contents of rare items for which the LLM may name companions for the day",
    )
    reason_budget: int = Field(
        0,
        ge=0,
        description="most pairs, of a much used item and a near neighbor, whose reason the LLM may "
        "write for the day",
    )
