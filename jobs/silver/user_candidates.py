"""silver.user_candidates: each recall channel's own list for every active user,
(ds, channel, user, item).

One slice a channel of `jobs.recall.sources.CHANNELS`; the channel's entry names its inputs and its
function. Scores compare only within one channel; gold.user_recall_daily fuses the channels.
"""

from __future__ import annotations

from jobs.lake import table
from jobs.recall.sources.channels import CHANNELS
from jobs.recall.sources.source import FACTS

TABLE = "silver.user_candidates"

for _source in CHANNELS:
    table(
        TABLE,
        slice={"channel": _source.name},
        reads=_source.reads,
        settings=_source.settings,
        follows=FACTS,
    )(_source.candidates)
