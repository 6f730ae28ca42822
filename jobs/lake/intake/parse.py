"""From the source's text to our typed columns, and what is wrong with each row.

Pure column expressions. A value that can't be parsed never becomes null: its row gets a problem
(column, reason) and is quarantined. Needs a session in UTC, as all of reclake does.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.lake.intake.mapping import TARGETS, ColumnMap, Entity, EventType, Source, Target, literal

ID_CHARACTERS = 128
ATTRIBUTE_CHARACTERS = 64
# Seconds that are read as milliseconds lie in 1970.
FIRST_YEAR = 1990

_TOO_OLD = f"is a time before {FIRST_YEAR}; is the unit right?"
_DROP_DS = r"/ds=(\d{4}-\d{2}-\d{2})/"
_NUMBER = r"^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?$"
# Spark would read a time without a date as one of today.
_ISO = (
    r"^\d{4}-\d{2}-\d{2}"
    r"([ T]\d{1,2}:\d{2}(:\d{2}(\.\d{1,9})?)?( ?(Z|[+-]\d{2}(:?\d{2})?))?)?$"
)
_ISO_ZONE = r"(Z|:\d{2}(\.\d+)? ?[+-]\d{2}(:?\d{2})?)$"
_CONTROL = r"[\x00-\x1F\x7F]"
# An e-mail or web address, or a run of digits as long as a telephone or card number.
_PERSONAL_VALUE = r"@|://|\d([ ()./-]{0,2}\d){8}"


def parse(raw: DataFrame, source: Source) -> DataFrame:
    """Typed rows of one source.

    raw: columns of `jobs.lake.intake.raw_rows`; `c0`… are `source.source_columns`.
    Returns file, row, rows, file_problem, drop_ds (the day in the file's folder), our columns of
    `TARGETS[source.entity]` (and attributes map<string,string> for users), `problems` (array of
    column and reason, null for a usable row) and `payload` (the row as JSON in the source's own
    column names, null for a usable row).
    """
    columns = [_Column(t.name, t, source.columns.get(t.name)) for t in TARGETS[source.entity]]
    attributes = [
        _Column(f"attribute{number}", Target(name, "string"), column, is_attribute=True)
        for number, (name, column) in enumerate(source.attributes.items())
        if column.personal != "drop"
    ]
    every = [*columns, *attributes]
    drop_ds = F.to_date(F.regexp_extract("file", _DROP_DS, 1))
    # One projection for each step: Spark computes a step's columns once, however often the next
    # step names them.
    steps: list[dict[str, Column]] = [
        {"drop_ds": drop_ds, **{f"text_{c.name}": c.text(source) for c in every}},
        {f"word_{c.name}": c.word() for c in every},
        {c.name: c.value() for c in every},
        {f"reason_{c.name}": c.reason() for c in every},
        {"problems": _problems(every)},
        {"payload": _payload(source, every), **_attributes(source, attributes)},
    ]
    parsed = reduce(DataFrame.withColumns, steps, raw)
    ours = [c.name for c in columns] + (["attributes"] if source.entity is Entity.users else [])
    head = ("file", "row", "rows", "file_problem", "drop_ds")
    return parsed.select(*head, *ours, "problems", "payload")


@dataclass(frozen=True)
class _Column:
    """One of our columns (or one attribute of a user) on its way from text to value.

    column: None when the mapping leaves it out, so that it is null in every row.
    """

    name: str
    target: Target
    column: ColumnMap | None
    is_attribute: bool = False

    @property
    def theirs(self) -> str:
        """The column's name in reports of problems."""
        return self.column.from_ if self.column and self.column.from_ else self.target.name

    def text(self, source: Source) -> Column:
        """The text that the source sent, trimmed; null when it stands for no value."""
        column = self.column
        if column is None or column.personal == "drop":
            return F.lit(None).cast("string")
        if column.constant is not None:
            return F.lit(literal(column.constant))
        sent = F.trim(F.col(f"c{source.source_columns.index(str(column.from_))}"))
        text = F.when(~sent.isin("", *source.nulls), sent)
        if column.default is not None:
            text = F.coalesce(text, F.lit(literal(column.default)))
        return text

    def word(self) -> Column:
        """The text in our words, by the mapping's `values`; null for a text not listed there."""
        text = F.col(f"text_{self.name}")
        if self.column is None or self.column.values is None:
            return text
        words = dict(self.column.values)
        if self.column.default is not None:
            words.setdefault(literal(self.column.default), literal(self.column.default))
        choice = F.lit(None).cast("string")
        for theirs, ours in words.items():
            choice = F.when(text == F.lit(theirs), F.lit(ours)).otherwise(choice)
        return choice

    def value(self) -> Column:
        """The typed value; null when the word can't be parsed."""
        word = F.col(f"word_{self.name}")
        if self.column is None:
            return F.lit(None).cast(self.target.type)
        if self.target.type == "double":
            number = F.when(word.rlike(_NUMBER), word.try_cast("double"))
            return F.when(F.abs(number) < F.lit(float("inf")), number)
        if self.target.type == "boolean":
            return word.try_cast("boolean")
        if self.target.type == "timestamp":
            return _time(word, self.column)
        return word

    def reason(self) -> Column:
        """Why the row can't be used because of this column; null when it can."""
        text, word = F.col(f"text_{self.name}"), F.col(f"word_{self.name}")
        value = F.col(self.name)
        nothing = F.lit(None).cast("string")
        reasons = [self._personal(text)]
        if self.column is not None and self.column.values is not None:
            reasons.append(F.when(word.isNull(), _says(text, "is not in the mapping's `values`")))
        if self.column is not None and self.target.type != "string":
            reasons.append(F.when(value.isNull(), _says(text, self._expected())))
        if self.target.is_id:
            too_long = f"is longer than {ID_CHARACTERS} characters"
            reasons.append(F.when(F.length(value) > ID_CHARACTERS, _says(text, too_long)))
            reasons.append(F.when(value.rlike(_CONTROL), F.lit("has a control character")))
        if self.target.name == "event_type":
            known = f"is none of {', '.join(EventType)}"
            reasons.append(F.when(~value.isin(*EventType), _says(text, known)))
        if self.target.name == "event_ts":
            reasons.append(F.when(F.year(value) < FIRST_YEAR, _says(text, _TOO_OLD)))
            reasons.append(_after_drop(value))
        if self.target.required:
            reasons.append(F.when(value.isNull(), F.lit("has no value")))
        return F.coalesce(*reasons, nothing)

    def _expected(self) -> str:
        if self.target.type == "timestamp":
            form = self.column.format if self.column else None
            return f"is not a time in {form}" if form else "is not an ISO 8601 time"
        return {"double": "is not a number", "boolean": "is neither true nor false"}[
            self.target.type
        ]

    def _personal(self, text: Column) -> Column:
        """The reason why a value must not be kept, without the value, since reasons are kept."""
        nothing = F.lit(None).cast("string")
        if self.is_attribute:
            too_long = (
                f"is longer than {ATTRIBUTE_CHARACTERS} characters; free text is no attribute"
            )
            personal = "looks like an address or a number of a person"
            return F.when(F.length(text) > ATTRIBUTE_CHARACTERS, F.lit(too_long)).when(
                text.rlike(_PERSONAL_VALUE), F.lit(personal)
            )
        if self.target.name == "user_id":
            address = "looks like an e-mail address; send a pseudonym instead"
            return F.when(text.contains("@"), F.lit(address))
        return nothing

    def withheld(self) -> Column | None:
        """Whether the value must not be stored at all; None when it always may."""
        if self.is_attribute or self.target.name == "user_id":
            return self._personal(F.col(f"text_{self.name}")).isNotNull()
        return None


def _time(word: Column, column: ColumnMap) -> Column:
    """A time as an instant; wall-clock time is read in the mapping's zone."""
    if column.is_epoch:
        micros = 1_000_000 if column.format == "epoch_seconds" else 1_000
        number = F.when(word.rlike(_NUMBER), word.try_cast("decimal(20,6)"))
        return F.timestamp_micros((number * F.lit(micros)).try_cast("bigint"))
    zone = column.time_zone or "UTC"
    if column.format is not None:
        time = F.try_to_timestamp(word, F.lit(column.format))
        return time if column.format_has_zone else _in_utc(time, zone)
    time = F.when(word.rlike(_ISO), word.try_cast("timestamp"))
    return F.when(word.rlike(_ISO_ZONE), time).otherwise(_in_utc(time, zone))


def _in_utc(wall_clock: Column, zone: str) -> Column:
    return wall_clock if zone == "UTC" else F.to_utc_timestamp(wall_clock, zone)


def _says(text: Column, what: str) -> Column:
    """`'text' what`, or null when there is no text; long text is cut."""
    short = F.when(F.length(text) > 60, F.concat(F.substring(text, 1, 60), F.lit("…")))
    return F.concat(F.lit("'"), F.coalesce(short, text), F.lit(f"' {what}"))


def _after_drop(event_ts: Column) -> Column:
    """The reason against a time after the end of the drop's day, in UTC."""
    shown = F.date_format(event_ts, "yyyy-MM-dd'T'HH:mm:ss'Z'")
    late = F.concat(shown, F.lit(" is after the drop's day, "), F.col("drop_ds").cast("string"))
    return F.when(F.to_date(event_ts) > F.col("drop_ds"), late)


def _problems(columns: list[_Column]) -> Column:
    """The reader's problem, or else the problems of the columns, in their order."""
    reasons = [F.col(f"reason_{column.name}") for column in columns]
    listed = F.array(
        *(_problem(F.lit(c.theirs), why) for c, why in zip(columns, reasons, strict=True))
    )
    found = F.filter(listed, lambda problem: problem["reason"].isNotNull())
    of_record = F.array(_problem(F.col("problem_column"), F.col("problem")))
    return F.when(F.col("problem").isNotNull(), of_record).when(
        F.coalesce(*reasons).isNotNull(), found
    )


def _problem(column: Column, reason: Column) -> Column:
    return F.struct(column.cast("string").alias("column"), reason.alias("reason"))


def _attributes(source: Source, attributes: list[_Column]) -> dict[str, Column]:
    """The attributes that have a value, for users; nothing for other entities."""
    if source.entity is not Entity.users:
        return {}
    if not attributes:
        return {"attributes": F.create_map().cast("map<string,string>")}
    entries = F.array(
        *(
            F.struct(F.lit(c.target.name).alias("key"), F.col(c.name).alias("value"))
            for c in attributes
        )
    )
    present = F.filter(entries, lambda entry: entry["value"].isNotNull())
    return {"attributes": F.map_from_entries(present)}


def _payload(source: Source, columns: list[_Column]) -> Column:
    """The row as JSON in the source's column names, or its line when it could not be split."""
    withheld: dict[str, Column] = {}
    for column in columns:
        if (personal := column.withheld()) is not None:
            theirs = column.theirs
            withheld[theirs] = withheld[theirs] | personal if theirs in withheld else personal
    kept = []
    for number, name in enumerate(source.source_columns):
        value = F.col(f"c{number}")
        kept.append((F.when(~withheld[name], value) if name in withheld else value).alias(name))
    line = F.col("line") if source.keeps_raw_lines else F.lit("(withheld: may be personal)")
    unsplit = F.to_json(F.struct(line.alias("_line")))
    row = F.to_json(F.struct(*kept), {"ignoreNullFields": "false"})
    return F.when(
        F.col("problems").isNotNull(),
        F.when(F.col("line").isNotNull(), unsplit).otherwise(row),
    )
