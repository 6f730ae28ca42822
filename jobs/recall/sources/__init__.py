"""The sources of candidates: one entry an I2I method or recall channel.

Names, slices, settings sections, weights, preloading, reasons, evaluation, tuning and the glossary
derive from these entries; only the edges of the DAG are drawn by hand. docs/adding-a-method.md adds
one step by step. DAG files import this package when they are parsed, so it imports neither Spark
nor an algorithm.
"""

from __future__ import annotations

from jobs.recall.sources.channels import CHANNELS
from jobs.recall.sources.methods import METHODS
from jobs.recall.sources.source import Choice, Family, Need, Source

__all__ = [
    "BEHAVIOR_METHODS",
    "CHANNELS",
    "CHANNEL_NAMES",
    "FILL_CHANNEL",
    "METHODS",
    "METHOD_NAMES",
    "MODULES_IN_TASKS",
    "Choice",
    "Family",
    "Need",
    "Source",
]

METHOD_NAMES = tuple(source.name for source in METHODS)
CHANNEL_NAMES = tuple(source.name for source in CHANNELS)
BEHAVIOR_METHODS = tuple(s.name for s in METHODS if s.family is Family.behavior)
# The channel that fills the places which other channels leave empty.
(FILL_CHANNEL,) = (s.name for s in CHANNELS if s.family is Family.fallback)
# Modules whose functions run in Spark's Python workers.
MODULES_IN_TASKS = tuple(s.module for s in (*METHODS, *CHANNELS) if s.in_tasks)
