"""The whole stack of one home: started side by side, reused while healthy, ended exactly."""

from __future__ import annotations

import shlex
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from infra.stack.model import ensure_model
from infra.stack.ports import becomes_free, free_port
from infra.stack.preflight import lacks, spark_url_lacks
from infra.stack.process import ProcessId, cpu_seconds, end, new_token
from infra.stack.service import Service, start, wait
from infra.stack.services import airflow, milvus, postgres, spark, vllm
from infra.stack.services.airflow import Login
from infra.stack.settings import StackSettings
from infra.stack.state import Record, State, exclusive
from infra.stack.waiting import ServiceFailed
from jobs import spark_server
from jobs.delta_jars import delta_jars
from jobs.settings import Settings

_PREFERRED_PORTS = {
    airflow.NAME: airflow.PREFERRED_PORT,
    milvus.NAME: milvus.PREFERRED_PORT,
    spark.NAME: spark_server.PREFERRED_PORT,
    vllm.NAME: vllm.PREFERRED_PORT,
}
_URLS = {milvus.NAME: milvus.url, spark.NAME: spark_server.url, vllm.NAME: vllm.url}
_SETTINGS = ("RECLAKE_LLM_URL", "RECLAKE_MILVUS_URI", "RECLAKE_SPARK_URL")


class NotReady(Exception):
    """The machine lacks something; one line each."""


@dataclass(frozen=True)
class Endpoints:
    """Where everything is: our own servers, and those that settings point to."""

    spark_url: str
    llm_url: str
    milvus_uri: str
    airflow: Login

    def environment(self) -> dict[str, str]:
        """The settings that make `jobs` use these servers."""
        addresses = (self.llm_url, self.milvus_uri, self.spark_url)
        return dict(zip(_SETTINGS, addresses, strict=True))


@dataclass(frozen=True)
class Event:
    """Something to tell the person who waits. seconds: how long it took, None while under way."""

    service: str
    text: str
    seconds: float | None = None


class Stack:
    """The services under one home.

    settings: jobs' own; a given `llm_url`, `milvus_uri` or `spark_url` means that server is not
    started. choices: ports and memory. tell: called with each event, from several threads.
    """

    def __init__(
        self,
        settings: Settings,
        choices: StackSettings,
        tell: Callable[[Event], None] = lambda _: None,
    ) -> None:
        self.settings = settings
        self.home = settings.home
        self.choices = choices
        self.state = State(self.home)
        self.environment_file = self.home / "stack" / "reclake.env"
        self._tell = tell
        self._interrupted = threading.Event()

    @contextmanager
    def starting(
        self, environment: Mapping[str, str]
    ) -> Iterator[tuple[Endpoints, dict[str, Future[None]]]]:
        """Starts everything side by side; yields where it will be, and a future a service.

        environment: more variables for Airflow's tasks. Leaving the block waits for all; leaving
        it by an exception gives up waiting, and what was started stays for the next try.
        Raises NotReady, StackBusy, ServiceFailed.
        """
        with exclusive(self.home):
            ports = self._choose_ports()
            self._check_machine(ports)
            endpoints = self._endpoints(ports)
            database = self._start_postgres()
            variables = {**environment, **endpoints.environment()}
            scheduler = airflow.service(
                self.home, ports[airflow.NAME], database, endpoints.spark_url, env=variables
            )
            tasks = self._tasks(ports, scheduler)
            with ThreadPoolExecutor(max_workers=len(tasks)) as pool:
                futures = {name: pool.submit(task) for name, task in tasks.items()}
                try:
                    yield endpoints, futures
                    for future in futures.values():
                        future.result()
                except BaseException:
                    self._interrupted.set()
                    raise
            self._write_environment({**scheduler.command.env, **endpoints.environment()})

    def down(self) -> dict[str, int]:
        """Ends what this stack started: number of processes by service. Raises StackBusy."""
        with exclusive(self.home):
            records = self.state.records()
            with ThreadPoolExecutor() as pool:
                counts = pool.map(end, [record.process for record in records.values()])
                ended = {name: count for name, count in zip(records, counts, strict=True) if count}
            for name in records:
                self.state.forget(name)
            if postgres.stop_postgres(self.home):
                ended[postgres.NAME] = 1
            self.environment_file.unlink(missing_ok=True)
        return ended

    def endpoints(self) -> Endpoints | None:
        """Where the running stack is, None unless all that this stack starts is running."""
        records = self.state.records()
        names = self._own_services()
        if not all(name in records and records[name].process.is_alive() for name in names):
            return None
        return self._endpoints({name: records[name].port or 0 for name in names})

    def cpu_seconds(self) -> float:
        """What the services that run now have used since each was started."""
        running = [record.process for record in self.state.records().values()]
        database = postgres.running_postmaster(postgres.data_dir(self.home))
        return sum(map(cpu_seconds, [*running, *([database] if database else [])]))

    def _own_services(self) -> list[str]:
        """What this stack starts: Airflow, and each server that no setting points away from.

        An address of our own, as a shell has that read `reclake.env`, points nowhere else.
        """
        settings = self.settings
        spark_url = settings.spark_url if "spark_url" in settings.model_fields_set else ""
        given = {
            airflow.NAME: "",
            milvus.NAME: settings.milvus_uri,
            spark.NAME: spark_url,
            vllm.NAME: settings.llm_url,
        }
        records = self.state.records()
        ports = {name: record.port for name, record in records.items() if record.port}
        ours = {name: _URLS[name](port) for name, port in ports.items() if name in _URLS}
        return [name for name, url in given.items() if not url or url == ours.get(name)]

    def _choose_ports(self) -> dict[str, int]:
        records = self.state.records()
        ports = {}
        for name in self._own_services():
            record = records.get(name)
            remembered = record.port if record else None
            asked: int | None = getattr(self.choices, f"{name}_port")
            if asked is not None:
                ports[name] = asked
            elif record and remembered and (record.process.is_alive() or becomes_free(remembered)):
                ports[name] = remembered
            else:
                ports[name] = free_port(_PREFERRED_PORTS[name])
        return ports

    def _check_machine(self, ports: Mapping[str, int]) -> None:
        records = self.state.records()
        idle = [n for n in ports if n not in records or not records[n].process.is_alive()]
        asked = {
            f"RECLAKE_{name.upper()}_PORT": ports[name]
            for name in idle
            if getattr(self.choices, f"{name}_port") is not None
        }
        found = [
            *spark_url_lacks(self.settings.spark_url),
            *lacks(self.home, starts=idle, ports=asked),
        ]
        if found:
            raise NotReady("\n".join(found))

    def _endpoints(self, ports: Mapping[str, int]) -> Endpoints:
        given = self.settings
        own_spark, own_milvus, own_llm = (
            ports.get(name) for name in (spark.NAME, milvus.NAME, vllm.NAME)
        )
        return Endpoints(
            spark_url=spark_server.url(own_spark) if own_spark else given.spark_url,
            llm_url=vllm.url(own_llm) if own_llm else given.llm_url,
            milvus_uri=milvus.url(own_milvus) if own_milvus else given.milvus_uri,
            airflow=airflow.login(self.home, ports[airflow.NAME]),
        )

    def _tasks(self, ports: Mapping[str, int], scheduler: Service) -> dict[str, Callable[[], None]]:
        """What to do for each service, so that independent ones can be done at once."""

        def start_airflow() -> None:
            self._ensure(scheduler, ports[airflow.NAME])

        def start_spark() -> None:
            jars = delta_jars(self.home / "jars", lambda text: self._say(spark.NAME, text))
            memory = self.choices.spark_memory or None
            port = ports[spark.NAME]
            self._ensure(spark.service(self.home, port, jars, memory=memory), port)

        def start_milvus() -> None:
            port = ports[milvus.NAME]
            self._ensure(milvus.service(self.home, port), port)

        def start_vllm() -> None:
            model = ensure_model(self.home, lambda text: self._say(vllm.NAME, text))
            port = ports[vllm.NAME]
            self._ensure(vllm.service(model, self.settings.llm_model, port), port)

        tasks = {
            spark.NAME: start_spark,
            milvus.NAME: start_milvus,
            vllm.NAME: start_vllm,
            airflow.NAME: start_airflow,
        }
        return {name: task for name, task in tasks.items() if name in ports}

    def _start_postgres(self) -> str:
        started = time.monotonic()
        server = postgres.start_postgres(self.home)
        self._say(postgres.NAME, "ready on a unix socket", time.monotonic() - started)
        return server.sqlalchemy_url

    def _ensure(self, service: Service, port: int) -> None:
        """Reuses the service when it runs as asked, otherwise ends what is left and starts it."""
        started = time.monotonic()
        record = self.state.records().get(service.name)
        fingerprint = service.fingerprint()
        if record is not None:
            if record.process.is_alive() and record.fingerprint == fingerprint:
                try:
                    wait(service, record.process, self.home, self._interrupted)
                except ServiceFailed:
                    if self._interrupted.is_set():
                        raise
                    self._say(service.name, "runs but does not answer; starting it anew")
                else:
                    took = time.monotonic() - started
                    self._say(service.name, f"was running on port {port}", took)
                    return
            end(record.process)
        token = new_token()
        self.state.put(service.name, Record(ProcessId.unborn(token), port, fingerprint))
        process = start(service, self.home, token)
        self.state.put(service.name, Record(process, port, fingerprint))
        wait(service, process, self.home, self._interrupted)
        self._say(service.name, f"ready on port {port}", time.monotonic() - started)

    def _say(self, service: str, text: str, seconds: float | None = None) -> None:
        self._tell(Event(service, text, seconds))

    def _write_environment(self, variables: Mapping[str, str]) -> None:
        """Leaves what makes a shell's `reclake` and `airflow` use this stack."""
        keep = {*_SETTINGS, *(name for name in variables if name.startswith("AIRFLOW"))}
        lines = [f"{name}={shlex.quote(variables[name])}" for name in sorted(keep)]
        partial = self.environment_file.with_suffix(".partial")
        partial.touch(mode=0o600)
        partial.write_text("\n".join(lines) + "\n")
        partial.replace(self.environment_file)
