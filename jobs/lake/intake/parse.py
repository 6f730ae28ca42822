"""From the source's text to our typed columns, and what is wrong with each row.

Pure column expressions. A value that can't be parsed never becomes null: its row gets a problem
(column, reason) and is quarantined. Needs a session in UTC, as all of reclake does.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.lake.intake.ids import DIGITS_ARE_LOST, LOST_DIGITS, WORDS_FOR_NOTHING
from jobs.lake.intake.mapping import (
    EPOCHS,
    ISO,
    TARGETS,
    ColumnMap,
    Entity,
    EventType,
    Source,
    Target,
    has_zone,
    literal,
)
from jobs.lake.intake.raw_rows import UNSPLIT

ID_CHARACTERS = 128
ATTRIBUTE_CHARACTERS = 64
# Seconds that are read as milliseconds lie in 1970.
FIRST_YEAR = 1990

_TOO_OLD = f"is a time before {FIRST_YEAR}; is the unit right?"
_DROP_DS = r"/ds=(\d{4}-\d{2}-\d{2})/"
_NUMBER = r"^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?$"
# The usual ways to write a time, which Spark casts as they stand. It would read a time without a
# date as one of today.
_PLAIN_TIME = (
    r"^\d{4}-\d{2}-\d{2}"
    r"([ T]\d{1,2}:\d{2}:\d{2}(\.\d{1,9})?(Z|[+-]\d{2}:\d{2})?)?$"
)
_PLAIN_ZONE = r":\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})$"
# All that ISO 8601 allows, and the words UTC and GMT: year, month, day, hour, minute, second,
# fraction, zone. First as extended, then as basic format; both have the same groups.
_ZONE = r" ?([Zz]|UTC|GMT|[+-]\d{2}(?::?\d{2})?)?"
_ISO_EXTENDED = (
    r"^(\d{4})-(\d{2})-(\d{2})(?:[Tt ](\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?"
    + _ZONE
    + ")?$"
)
_ISO_BASIC = (
    r"^(\d{4})(\d{2})(\d{2})(?:[Tt](\d{2})(\d{2})(?:(\d{2})(?:[.,](\d{1,9}))?)?" + _ZONE + ")?$"
)
_ISO = "is not an ISO 8601 time, such as 2026-01-15T10:00:00+01:00; say its `format`"
_CONTROL = r"[\x00-\x1F\x7F]"
# A number with something else beside it, such as a currency.
_NOT_ALONE = r"\d.*[^\d\s.,'+-]|[^\d\s.,'+-].*\d"
_MARKS = r"^[+-]?[\d.,' \u00A0\u202F]*\d$"
_SPACES = r"[ \u00A0\u202F]"


def parse(raw: DataFrame, source: Source) -> DataFrame:
    """Typed rows of one source.

    raw: columns of `jobs.lake.intake.raw_rows`; `c0`… are `source.source_columns`.
    Returns file, row, rows, file_problem, respelled, drop_ds (the day in the file's folder), our
    columns of `TARGETS[source.entity]` (and attributes map<string,string> for users), `problems`
    (array of column and reason, null for a usable row) and `payload` (the row as JSON in the
    source's own column names, null for a usable row).
    """
    columns = [
        _Column(t.name, t, source.columns.get(t.name), source) for t in TARGETS[source.entity]
    ]
    attributes = [
        _Column(f"attribute{number}", Target(name, "string"), column, source, is_attribute=True)
        for number, (name, column) in enumerate(source.attributes.items())
        if column.personal != "drop"
    ]
    every = [*columns, *attributes]
    drop_ds = F.to_date(F.regexp_extract("file", _DROP_DS, 1))
    # One projection for each step: Spark computes a step's columns once, however often the next
    # step names them.
    steps: list[dict[str, Column]] = [
        {"drop_ds": drop_ds, **{f"text_{c.name}": c.text() for c in every}},
        {f"word_{c.name}": c.word() for c in every},
        {c.name: c.value() for c in every},
        {f"reason_{c.name}": c.reason() for c in every},
        {"problems": _problems(every)},
        {"payload": _payload(source, every), **_attributes(source, attributes)},
    ]
    parsed = reduce(DataFrame.withColumns, steps, raw)
    ours = [c.name for c in columns] + (["attributes"] if source.entity is Entity.users else [])
    head = ("file", "row", "rows", "file_problem", "respelled", "drop_ds")
    return parsed.select(*head, *ours, "problems", "payload")


@dataclass(frozen=True)
class _Column:
    """One of our columns (or one attribute of a user) on its way from text to value.

    column: None when the mapping leaves it out, so that it is null in every row.
    """

    name: str
    target: Target
    column: ColumnMap | None
    source: Source
    is_attribute: bool = False

    @property
    def theirs(self) -> str:
        """The column's name in reports of problems."""
        return self.column.from_ if self.column and self.column.from_ else self.target.name

    def text(self) -> Column:
        """The text that the source sent, trimmed; null when it stands for no value."""
        column = self.column
        if column is None or column.personal == "drop":
            return F.lit(None).cast("string")
        if column.constant is not None:
            return F.lit(literal(column.constant))
        sent = F.trim(F.col(f"c{self.source.source_columns.index(str(column.from_))}"))
        text = F.when(~sent.isin("", *self.source.nulls), sent)
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
            number = _number(word, self.source)
            return F.when(F.abs(number) < F.lit(float("inf")), number)
        if self.target.type == "boolean":
            return word.try_cast("boolean")
        if self.target.type == "timestamp":
            return _time(word, self.column)
        if self.target.type == "date":
            return F.to_date(_time(word, self.column))
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
            reasons.append(F.when(value.isNull(), self._expected(text)))
        if self.target.is_id:
            reasons += self._no_id(value)
        if self.target.name == "event_type":
            known = f"is none of {', '.join(EventType)}"
            reasons.append(F.when(~value.isin(*EventType), _says(text, known)))
        if self.target.name == "event_ts":
            reasons.append(F.when(F.year(value) < FIRST_YEAR, _says(text, _TOO_OLD)))
            reasons.append(_after_drop(value, self.column, self.source.days_end_in))
        if self.target.required:
            reasons.append(F.when(value.isNull(), F.lit("has no value")))
        return F.coalesce(*reasons, nothing)

    def _expected(self, text: Column) -> Column:
        """What a text is not, and what to do about it."""
        if self.target.type in ("timestamp", "date"):
            formats = self.column.formats if self.column else (ISO,)
            if len(formats) > 1:
                return _says(text, f"is a time in none or in several of {', '.join(formats)}")
            return _says(text, _ISO if formats == (ISO,) else f"is not a time in {formats[0]}")
        if self.target.type == "boolean":
            return _says(text, "is neither true nor false")
        marks = "is not a number; say the marks in the source's numbers by `decimal`, `thousands`"
        alone = "is not a number alone; send it without its currency or unit"
        return (
            F.when(text.rlike(_NOT_ALONE) & ~text.rlike(_NUMBER), _says(text, alone))
            .when(text.rlike(_MARKS), _says(text, marks))
            .otherwise(_says(text, "is not a number"))
        )

    def _no_id(self, value: Column) -> list[Column]:
        """The reasons why a text is no id. Those for users do not repeat it."""
        personal = self.target.name == "user_id"

        def says(what: str) -> Column:
            return F.lit(what) if personal else _says(value, what)

        too_long = says(f"is longer than {ID_CHARACTERS} characters")
        nothing = F.lower(value).isin(*WORDS_FOR_NOTHING) & ~value.isin("", *self.source.ids)
        stands_for_nothing = (
            "usually stands for no value; list it in the mapping's `nulls`, or in `ids` if it is "
            "an id"
        )
        return [
            F.when(F.length(value) > ID_CHARACTERS, too_long),
            F.when(value.rlike(_CONTROL), F.lit("has a control character")),
            F.when(nothing, _says(value, stands_for_nothing)),
            F.when(value.rlike(LOST_DIGITS), says(DIGITS_ARE_LOST)),
        ]

    def _personal(self, text: Column) -> Column:
        """The reason why a value must not be kept, without the value, since reasons are kept."""
        nothing = F.lit(None).cast("string")
        if self.is_attribute:
            too_long = (
                f"is longer than {ATTRIBUTE_CHARACTERS} characters; free text is no attribute"
            )
            personal = "looks like an address or a number of a person"
            held = F.coalesce(F.array_contains("personal", self.theirs), F.lit(False))
            return F.when(F.length(text) > ATTRIBUTE_CHARACTERS, F.lit(too_long)).when(
                held, F.lit(personal)
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


def _number(word: Column, source: Source) -> Column:
    """A number with the source's marks; null for any other text."""
    if (source.decimal, source.thousands) == (".", None):
        return F.when(word.rlike(_NUMBER), word.try_cast("double"))
    marks = {" ": _SPACES, "'": "['’]", ".": r"\.", ",": ",", None: None}
    decimal, thousands = marks[source.decimal], marks[source.thousands]
    whole = r"\d+" if thousands is None else rf"(\d+|\d{{1,3}}({thousands}\d{{3}})+)"
    plain = word if thousands is None else F.regexp_replace(word, thousands, "")
    plain = F.regexp_replace(plain, str(decimal), ".")
    return F.when(word.rlike(rf"^[+-]?{whole}({decimal}\d+)?$"), plain.try_cast("double"))


def _time(word: Column, column: ColumnMap) -> Column:
    """A time as an instant, null unless it fits exactly one of the column's formats; wall-clock
    time is read in the mapping's zone."""
    readings = [_time_in(word, form, column.time_zone or "UTC") for form in column.formats]
    if len(readings) == 1:
        return readings[0]
    different = F.array_distinct(F.array_compact(F.array(*readings)))
    return F.when(F.size(different) == 1, different[0])


def _time_in(word: Column, form: str, zone: str) -> Column:
    """A time in one format."""
    if form in EPOCHS:
        per_second = EPOCHS[form]
        number = F.when(word.rlike(_NUMBER), word.try_cast("decimal(28,6)"))
        if per_second > 1_000_000:
            micros = number / F.lit(per_second // 1_000_000)
        else:
            micros = number * F.lit(1_000_000 // per_second)
        return F.timestamp_micros(micros.try_cast("bigint"))
    if form != ISO:
        time = F.try_to_timestamp(word, F.lit(form))
        return time if has_zone(form) else _in_utc(time, zone)
    plain = word.try_cast("timestamp")
    plain = F.when(word.rlike(_PLAIN_ZONE), plain).otherwise(_in_utc(plain, zone))
    return F.coalesce(
        F.when(word.rlike(_PLAIN_TIME), plain),
        F.when(word.rlike(_ISO_EXTENDED), _iso_time(word, _ISO_EXTENDED, zone)),
        F.when(word.rlike(_ISO_BASIC), _iso_time(word, _ISO_BASIC, zone)),
    )


def _iso_time(word: Column, form: str, zone: str) -> Column:
    """A time in a form of ISO 8601. 24:00 is midnight of the next day, and a leap second the second
    before it."""
    year, month, day, hour, minute, second, fraction, offset = (
        F.regexp_extract(word, form, group) for group in range(1, 9)
    )
    is_midnight = (hour == "24") & (minute == "00") & second.isin("", "00")
    time = F.concat(
        F.concat_ws("-", year, month, day),
        F.lit(" "),
        F.when(is_midnight | (hour == ""), "00").otherwise(F.lpad(hour, 2, "0")),
        F.lit(":"),
        F.when(minute == "", "00").otherwise(minute),
        F.lit(":"),
        F.when(second == "", "00").when(second == "60", "59").otherwise(second),
        F.when(fraction == "", "").otherwise(F.concat(F.lit("."), fraction)),
    )
    hours = F.regexp_extract(offset, r"^([+-]\d{2})", 1)
    minutes = F.regexp_extract(offset, r"^[+-]\d{2}:?(\d{2})$", 1)
    minutes = F.when(minutes == "", "00").otherwise(minutes)
    of_offset = F.concat(time, F.when(hours == "", "Z").otherwise(F.concat_ws(":", hours, minutes)))
    found = F.when(offset == "", _in_utc(time.try_cast("timestamp"), zone)).otherwise(
        of_offset.try_cast("timestamp")
    )
    return F.when(is_midnight, found + F.expr("INTERVAL 1 DAY")).otherwise(found)


def _in_utc(wall_clock: Column, zone: str) -> Column:
    return wall_clock if zone == "UTC" else F.to_utc_timestamp(wall_clock, zone)


def _says(text: Column, what: str) -> Column:
    """`'text' what`, or null when there is no text; long text is cut."""
    short = F.when(F.length(text) > 60, F.concat(F.substring(text, 1, 60), F.lit("…")))
    return F.concat(F.lit("'"), F.coalesce(short, text), F.lit(f"' {what}"))


def _after_drop(event_ts: Column, column: ColumnMap | None, days_end_in: str | None) -> Column:
    """The reason against a time after the end of the drop's day."""
    shown = F.date_format(event_ts, "yyyy-MM-dd'T'HH:mm:ss'Z'")
    zone = days_end_in or "UTC"
    says = F.concat(
        shown,
        F.lit(" is after the drop's day, "),
        F.col("drop_ds").cast("string"),
        F.lit(f" in {zone}"),
    )
    own_zone = column.time_zone if column else None
    if days_end_in is None and own_zone not in (None, "UTC"):
        hint = F.lit(f", but not in {own_zone}; say `days_end_in: {own_zone}` if days end there")
        says = F.concat(says, F.when(~_is_late(event_ts, str(own_zone)), hint).otherwise(""))
    return F.when(_is_late(event_ts, zone), says)


def _is_late(event_ts: Column, zone: str) -> Column:
    local = event_ts if zone == "UTC" else F.from_utc_timestamp(event_ts, zone)
    return F.to_date(local) > F.col("drop_ds")


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
    """The row as JSON in the source's column names, or the hash of its line when it could not be
    split: such a line holds all columns, personal ones included."""
    withheld: dict[str, Column] = {}
    for column in columns:
        if (personal := column.withheld()) is not None:
            theirs = column.theirs
            withheld[theirs] = withheld[theirs] | personal if theirs in withheld else personal
    kept = []
    for number, name in enumerate(source.source_columns):
        value = F.col(f"c{number}")
        kept.append((F.when(~withheld[name], value) if name in withheld else value).alias(name))
    unsplit = F.to_json(F.struct(F.col("line_hash").alias(UNSPLIT)))
    row = F.to_json(F.struct(*kept), {"ignoreNullFields": "false"})
    return F.when(
        F.col("problems").isNotNull(),
        F.when(F.col("line_hash").isNotNull(), unsplit).otherwise(row),
    )
