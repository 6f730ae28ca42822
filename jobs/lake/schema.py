"""Contract columns as Spark, Arrow and Delta schemas, without asking a Spark server."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pyarrow as pa
from pyspark.sql import types as T

from jobs.lake.contract import Contract

_SPARK: dict[str, T.DataType] = {
    "string": T.StringType(),
    "boolean": T.BooleanType(),
    "int": T.IntegerType(),
    "long": T.LongType(),
    "float": T.FloatType(),
    "double": T.DoubleType(),
    "date": T.DateType(),
    "timestamp": T.TimestampType(),
}
_ARROW: dict[str, pa.DataType] = {
    "string": pa.string(),
    "boolean": pa.bool_(),
    "int": pa.int32(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", tz="UTC"),
}


def spark_data_type(name: str) -> T.DataType:
    """The Spark type of a contract's type name."""
    text = name.replace(" ", "")
    if text in _SPARK:
        return _SPARK[text]
    if match := re.fullmatch(r"array<(.+)>", text):
        return T.ArrayType(spark_data_type(match[1]))
    if match := re.fullmatch(r"map<string,(.+)>", text):
        return T.MapType(T.StringType(), spark_data_type(match[1]))
    raise ValueError(f"unknown type {name!r}")


def arrow_data_type(name: str) -> pa.DataType:
    """The Arrow type of a contract's type name."""
    text = name.replace(" ", "")
    if text in _ARROW:
        return _ARROW[text]
    if match := re.fullmatch(r"array<(.+)>", text):
        return pa.list_(arrow_data_type(match[1]))
    if match := re.fullmatch(r"map<string,(.+)>", text):
        return pa.map_(pa.string(), arrow_data_type(match[1]))
    raise ValueError(f"unknown type {name!r}")


def struct_type(contract: Contract, without: Sequence[str] = ()) -> T.StructType:
    """The contract's columns as a Spark schema, less those named in `without`."""
    return T.StructType(
        [
            T.StructField(column.name, spark_data_type(column.type), True)
            for column in contract.columns
            if column.name not in without
        ]
    )


def arrow_schema(contract: Contract, without: Sequence[str] = ()) -> pa.Schema:
    """The contract's columns as an Arrow schema, less those named in `without`."""
    return pa.schema(
        [
            pa.field(column.name, arrow_data_type(column.type))
            for column in contract.columns
            if column.name not in without
        ]
    )


def delta_schema(contract: Contract) -> pa.Schema:
    """The contract's columns as a Delta schema: required or not, and with comments."""
    return pa.schema(
        [
            pa.field(
                column.name,
                arrow_data_type(column.type),
                nullable=column.nullable,
                metadata={"comment": column.comment},
            )
            for column in contract.columns
        ]
    )
