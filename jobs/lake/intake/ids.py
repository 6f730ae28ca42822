"""Ids as text: one spelling of each, whatever file, program or keyboard it came through.

The spelling of an id is its NFC form without invisible characters and without space around it. A
whole number that was kept as floating point (`12345.0`) is written without its point, since that
is how pandas writes an integer column with a gap. Letter case stays as it is.
"""

from __future__ import annotations

import uuid

import pyarrow as pa
import pyarrow.compute as pc

# Words by which programs say that there is no value, in lower case.
WORDS_FOR_NOTHING = (
    *("null", "(null)", "<null>", "\\n", "nan", "none", "nil", "na", "n/a", "#n/a", "<na>"),
    "undefined",
)
# What a spreadsheet makes of a long number. Its last digits are gone.
LOST_DIGITS = r"^\d([.,]\d+)?E\+\d{2,}$"
DIGITS_ARE_LOST = "is a rounded number, of which digits are lost; send ids as text"
_INVISIBLE = r"\p{Cf}"
_WHOLE = r"^(-?\d+)\.0$"
_UUID_BYTES = 16


def one_spelling(ids: pa.Array) -> pa.Array:
    """The ids in their one spelling. ids: strings."""
    if pc.all(pc.string_is_ascii(ids)).as_py() in (True, None):
        trimmed = pc.ascii_trim_whitespace(ids)
    else:
        visible = pc.replace_substring_regex(ids, _INVISIBLE, "")
        trimmed = pc.utf8_trim_whitespace(pc.utf8_normalize(visible, "NFC"))
    if pc.any(pc.ends_with(trimmed, ".0")).as_py():
        return pc.replace_substring_regex(trimmed, _WHOLE, r"\1")
    return trimmed


def id_texts(ids: pa.Array) -> tuple[pa.Array, dict[int, str]]:
    """Ids of any type as strings, and the positions of those that are none, with the reason.

    Floating point and decimals become whole numbers; NaN is null. A UUID in 16 bytes, with
    Parquet's logical type or without, becomes the usual 36 characters.
    """
    kind = ids.type
    if isinstance(ids, pa.ExtensionArray):
        kind, ids = ids.storage.type, ids.storage
    if pa.types.is_floating(kind):
        return _of_floats(ids)
    if pa.types.is_decimal(kind):
        texts = pc.replace_substring_regex(pc.cast(ids, pa.string()), r"^(-?\d+)\.0+$", r"\1")
        broken = pc.fill_null(pc.match_substring(texts, "."), False).to_pylist()
        return texts, {n: _FRACTION for n, is_broken in enumerate(broken) if is_broken}
    if pa.types.is_fixed_size_binary(kind) and kind.byte_width == _UUID_BYTES:
        return pa.array(_uuids(ids.to_pylist()), pa.string()), {}
    return as_utf8(ids)


def as_utf8(values: pa.Array) -> tuple[pa.Array, dict[int, str]]:
    """Single values of any type as strings, and the positions that are not UTF-8."""
    kind = values.type
    if isinstance(values, pa.ExtensionArray):
        kind, values = values.storage.type, values.storage
    if pa.types.is_fixed_size_binary(kind) or pa.types.is_large_binary(kind):
        values = pc.cast(values, pa.binary())
    try:
        texts = pc.cast(values, pa.string())
        texts.validate(full=True)
        return texts, {}
    except pa.ArrowInvalid:
        return _decode_each(pc.cast(values, pa.binary()))


_FRACTION = "is a number with a fraction, so it is no id"


def _of_floats(ids: pa.Array) -> tuple[pa.Array, dict[int, str]]:
    # Above these, a float is no longer one whole number.
    bits = 53 if pa.types.is_float64(ids.type) else 24
    values = pc.cast(ids, pa.float64())
    values = pc.if_else(pc.is_nan(values), None, values)
    is_whole = pc.equal(pc.floor(values), values)
    is_exact = pc.less_equal(pc.abs(values), 2.0**bits)
    fine = pc.and_(is_whole, is_exact)
    whole = pc.cast(pc.if_else(fine, values, None), pa.int64())
    texts = pc.coalesce(pc.cast(whole, pa.string()), pc.cast(values, pa.string()))
    lost = f"is a number above 2^{bits}, of which digits are lost; send ids as text"
    problems = {
        place: lost if ok_whole else _FRACTION
        for place, (ok_whole, ok) in enumerate(
            zip(is_whole.to_pylist(), fine.to_pylist(), strict=True)
        )
        if ok is False
    }
    return texts, problems


def _uuids(values: list[bytes | None]) -> list[str | None]:
    if all(v is None or (v.isascii() and v.decode("ascii").isprintable()) for v in values):
        return [None if v is None else v.decode("ascii") for v in values]
    return [None if v is None else str(uuid.UUID(bytes=v)) for v in values]


def _decode_each(values: pa.Array) -> tuple[pa.Array, dict[int, str]]:
    texts: list[str | None] = []
    problems = {}
    for place, value in enumerate(values.to_pylist()):
        try:
            texts.append(value if value is None else value.decode("utf-8"))
        except UnicodeDecodeError:
            texts.append(value.decode("utf-8", "backslashreplace"))
            problems[place] = "is not UTF-8"
    return pa.array(texts, pa.string()), problems
