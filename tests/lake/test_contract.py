"""A contract that says something wrong is refused with its file and key."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

from jobs.lake.contract import Contract, Contracts, load_contract, spark_type
from jobs.lake.errors import ContractError, NoTable
from jobs.lake.expectations import GX_ARGUMENTS, OURS, check_problem
from jobs.lake.settings import ROOT
from tests.lake import toy


def refused(tmp_path: Path, **changes: object) -> str:
    """The error of the toy's gold contract with some keys changed; a None key is left out."""
    contract = copy.deepcopy(toy.CONTRACTS["gold.toy_daily"]) | changes
    contract = {key: value for key, value in contract.items() if value != "(left out)"}
    toy.write_contracts(tmp_path, {"gold.toy_daily": contract})
    with pytest.raises(ContractError) as error:
        load_contract(tmp_path / "gold/toy_daily.yaml")
    message = str(error.value)
    assert str(tmp_path / "gold/toy_daily.yaml") in message
    return message


def test_a_good_contract_loads(tmp_path: Path) -> None:
    toy.write_contracts(tmp_path, toy.CONTRACTS)
    contracts = Contracts(tmp_path)
    assert contracts["gold.toy_daily"].key == ("ds", "item_id")


def test_an_unknown_key_is_named(tmp_path: Path) -> None:
    assert "key colour: " in refused(tmp_path, colour="red")
    columns = copy.deepcopy(toy.CONTRACTS["gold.toy_daily"]["columns"])
    columns[1]["colour"] = "red"
    assert "key columns.1.colour (column item_id)" in refused(tmp_path / "2", columns=columns)


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    assert "key grain: " in refused(tmp_path, grain="(left out)")


def test_an_unknown_type_names_the_column(tmp_path: Path) -> None:
    columns = [*toy.CONTRACTS["gold.toy_daily"]["columns"], toy.column("size", "decimal")]
    message = refused(tmp_path, columns=columns)
    assert "key columns.3.type (column size)" in message
    assert "unknown type 'decimal'" in message


@pytest.mark.parametrize("said", [{}, {"description": ""}, {"description": "price"}])
def test_a_column_without_a_description_is_refused(tmp_path: Path, said: dict[str, str]) -> None:
    columns = copy.deepcopy(toy.CONTRACTS["gold.toy_daily"]["columns"])
    del columns[1]["description"]
    columns[1] |= said
    assert "key columns.1.description (column item_id)" in refused(tmp_path, columns=columns)


@pytest.mark.parametrize(
    ("check", "problem"),
    [
        ({"expect": "expect_magic"}, "key checks.0.expect: unknown check 'expect_magic'"),
        (
            {"expect": "expect_column_values_to_be_betwen", "column": "price"},
            "did you mean expect_column_values_to_be_between?",
        ),
        ({"expect": "expect_column_values_to_not_be_null"}, "key checks.0.column"),
        (
            {"expect": "expect_column_values_to_not_be_null", "column": "cost"},
            "has no column 'cost'",
        ),
        (
            {"expect": "expect_column_values_to_not_be_null", "column": "price", "colour": 1},
            "key checks.0.colour",
        ),
        (
            # the first by name, however the file orders them
            {"expect": "expect_column_values_to_not_be_null", "column": "price", "z": 1, "a": 1},
            "key checks.0.a: expect_column_values_to_not_be_null has no such argument",
        ),
    ],
)
def test_a_wrong_check_is_named(tmp_path: Path, check: dict[str, object], problem: str) -> None:
    assert problem in refused(tmp_path, checks=[check | {"severity": "error"}])


def test_a_key_that_is_no_column_is_named(tmp_path: Path) -> None:
    assert "key: no such column: sku" in refused(tmp_path, key=["ds", "sku"])


def test_a_wrong_table_name_is_named(tmp_path: Path) -> None:
    message = refused(tmp_path, table="gold.other")
    assert "expected 'gold.toy_daily'" in message
    assert "found 'gold.other'" in message


def test_broken_yaml_is_named(tmp_path: Path) -> None:
    path = tmp_path / "gold" / "toy_daily.yaml"
    path.parent.mkdir()
    path.write_text("table: [", encoding="utf-8")
    with pytest.raises(ContractError, match="cannot be read as YAML"):
        load_contract(path)


def test_a_table_without_a_contract_cannot_be_had(tmp_path: Path) -> None:
    toy.write_contracts(tmp_path, toy.CONTRACTS)
    with pytest.raises(NoTable, match=r"did you mean gold\.toy_daily"):
        Contracts(tmp_path)["gold.toy_dayly"]


def test_every_contract_of_the_project_loads() -> None:
    contracts = list(Contracts(ROOT / "expectations"))
    assert len(contracts) > 20
    for contract in contracts:
        for check in contract.checks:
            assert check_problem(check, contract) == ""
        of_persons = {"user_id", "session_id"} & set(contract.column_names)
        assert contract.personal == of_persons, contract.table


def test_the_listed_expectations_are_great_expectations_own() -> None:
    import great_expectations.expectations as gxe

    for name, required in GX_ARGUMENTS.items():
        expectation = getattr(gxe, "".join(part.title() for part in name.split("_")))
        assert set(required) <= set(expectation.__fields__)


def test_nested_types_are_written_as_spark_writes_them() -> None:
    assert spark_type("map<string, array<long>>") == "map<string,array<bigint>>"
    with pytest.raises(ValueError, match="unknown type"):
        spark_type("map<long,string>")


def test_our_checks_have_no_name_of_great_expectations() -> None:
    assert not set(OURS) & set(GX_ARGUMENTS)
    assert Contract.model_config["extra"] == "forbid"
