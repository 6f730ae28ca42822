"""Each entry says what its function, its settings and its reason can keep."""

from __future__ import annotations

import importlib
import inspect
from string import Formatter

import pytest

from jobs.lake.contract import Contracts
from jobs.lake.settings import ROOT
from jobs.lake.step import Read, Search, find_step
from jobs.recall.sources import CHANNEL_NAMES, FILL_CHANNEL, METHOD_NAMES, MODULES_IN_TASKS
from jobs.recall.sources.channels import CHANNELS
from jobs.recall.sources.methods import METHODS
from jobs.recall.sources.source import Family, Source
from jobs.settings import RecallSettings, Settings

SOURCES = (*METHODS, *CHANNELS)
each_source = pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)


def test_every_name_is_one_of_its_own() -> None:
    names = [source.name for source in SOURCES]
    assert len(set(names)) == len(names)
    assert (*METHOD_NAMES, *CHANNEL_NAMES) == tuple(names)


@each_source
def test_the_function_takes_the_run_and_what_the_entry_reads(source: Source) -> None:
    module, _, name = source.function.partition(":")
    function = getattr(importlib.import_module(module), name)
    run, *inputs = inspect.signature(function).parameters.values()
    assert run.name == "run"
    assert {parameter.name for parameter in inputs} == set(source.reads)
    assert all(parameter.default is parameter.empty for parameter in inputs)


@each_source
def test_the_entry_reads_tables_and_searches_that_exist(source: Source) -> None:
    tables = {contract.table for contract in Contracts(ROOT / "expectations")}
    for read in source.reads.values():
        if isinstance(read, Read):
            assert read.table in tables
        else:
            assert isinstance(read, Search)
            assert find_step(read.effect).opens is not None


@each_source
def test_its_settings_exist_and_its_own_section_is_the_first(source: Source) -> None:
    settings = Settings()
    for name in source.settings:
        settings.section(name)
    assert source.section in RecallSettings.model_fields
    assert len(set(source.settings)) == len(source.settings)


@each_source
def test_what_is_tuned_are_fields_of_the_section(source: Source) -> None:
    for choice in source.grid:
        section = Settings().section(choice.section or source.section)
        assert set(choice.fields) <= set(type(section).model_fields), choice.name
        assert all(len(row) == len(choice.fields) for row in choice.grid), choice.name
    assert len({choice.name for choice in source.grid}) == len(source.grid)


def test_a_reason_has_only_what_is_known_of_a_row() -> None:
    known = {"users", "title", "category"}, {"because", "popular"}
    for sources, names in zip((METHODS, CHANNELS), known, strict=True):
        for source in sources:
            filled = {name for _, name, _, _ in Formatter().parse(source.reason) if name}
            assert filled <= names, source.name
            assert source.reason


def test_the_step_of_each_source_has_its_reads_and_settings() -> None:
    tables = {"silver.i2i_candidates": METHODS, "silver.user_candidates": CHANNELS}
    for table, sources in tables.items():
        for source in sources:
            step = find_step(table, source.name)
            assert (step.reads, step.settings) == (source.reads, source.settings)


def test_one_channel_fills_every_list() -> None:
    assert [s.name for s in SOURCES if s.family is Family.fallback] == [FILL_CHANNEL] == ["popular"]


def test_modules_with_functions_of_tasks_are_imported_before_the_workers_fork() -> None:
    sent = {
        source.module
        for source in SOURCES
        if "mapInArrow(" in inspect.getsource(importlib.import_module(source.module))
    }
    assert set(MODULES_IN_TASKS) == sent
