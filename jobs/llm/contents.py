"""Which fields make the content of an item, and how their words are read."""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F

# What a prompt may show of an item, and so what an answer depends on; size and price may change
# without a new answer.
CONTENT_FIELDS = ("title", "category", "department", "brand", "description")


def has_text(name: str) -> Column:
    """Whether a text has a character that shows: neither a blank nor a hidden one."""
    shown = F.regexp_replace(F.coalesce(F.col(name), F.lit("")), r"[\p{Z}\p{C}\s]+", "")
    return shown != ""


def words(name: str) -> Column:
    """A text column with spaces for `:/\\_|`, in lower case; null where nothing shows."""
    spaced = F.regexp_replace(F.lower(F.col(name)), r"\s*[:/\\_|]+\s*", " ")
    return F.when(has_text(name), F.trim(F.regexp_replace(spaced, r"\s+", " ")))
