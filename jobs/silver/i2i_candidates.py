"""silver.i2i_candidates: each method's own list of similar items, (ds, method, item, neighbor).

One slice a method of `jobs.recall.sources.METHODS`; the method's entry names its inputs and its
function. Scores compare only within one method; gold.i2i_daily fuses the methods.
"""

from __future__ import annotations

from jobs.lake import table
from jobs.recall.sources.methods import METHODS
from jobs.recall.sources.source import FACTS

TABLE = "silver.i2i_candidates"

for _source in METHODS:
    table(
        TABLE,
        slice={"method": _source.name},
        reads=_source.reads,
        settings=_source.settings,
        follows=FACTS,
    )(_source.candidates)
