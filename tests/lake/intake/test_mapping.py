"""Mappings: what is accepted, and errors that name the file and the key."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.lake.errors import MappingError
from jobs.lake.intake.mapping import Entity, claim, load_source, load_sources
from jobs.lake.intake.personal import looks_personal
from jobs.lake.settings import ROOT

EVENTS = """
source: shop
entity: events
columns:
  user_id: {from: customer}
  item_id: {from: sku}
  event_ts: {from: at, time_zone: Europe/Paris}
  event_type: {from: kind, values: {order: purchase, page: view}}
  quantity: {constant: 1}
"""


def write(folder: Path, text: str, name: str = "shop") -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def problem(tmp_path: Path, text: str) -> str:
    path = write(tmp_path, text)
    with pytest.raises(MappingError) as error:
        load_source(path)
    assert str(path) in str(error.value)
    return str(error.value)


def test_the_shipped_mappings_are_valid_one_an_entity() -> None:
    for entity in Entity:
        assert [s.entity for s in load_sources(ROOT / "sources", entity)] == [entity]


def test_a_mapping_says_which_columns_of_a_file_are_read(tmp_path: Path) -> None:
    source = load_source(write(tmp_path, EVENTS))
    assert source.source_columns == ["customer", "sku", "at", "kind"]
    assert source.required_columns == ["customer", "sku", "at", "kind"]


def test_an_optional_column_is_read_but_not_required(tmp_path: Path) -> None:
    source = load_source(write(tmp_path, EVENTS + "  amount: {from: paid, optional: true}\n"))
    assert source.source_columns[-1] == "paid"
    assert "paid" not in source.required_columns


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("entity: events", "entity: baskets"), "key entity:"),
        (("source: shop", "source: other"), "key source: expected 'shop'"),
        (("source: shop", "source: shop\nextra: 1"), "key extra:"),
        (("{constant: 1}", "{constant: 1, unit: piece}"), "key columns.quantity.unit:"),
        (
            ("{constant: 1}", "{constant: many}"),
            "key columns.quantity: constant: expected a number",
        ),
        (("{constant: 1}", "{from: n, constant: 1}"), "key columns.quantity: give either"),
        (("{constant: 1}", "{from: n, format: x}"), "key columns.quantity: format and time_zone"),
        (("  item_id: {from: sku}\n", ""), "key columns.item_id: is missing"),
        (
            ("{from: sku}", "{from: sku, default: none}"),
            "key columns.item_id: an id has no default",
        ),
        (
            ("quantity:", "quantitty: {from: x}\n  quantity:"),
            "key columns.quantitty: events have no",
        ),
        ((", time_zone: Europe/Paris", ""), "key columns.event_ts: say the `time_zone`"),
        (("Europe/Paris", "Paris"), "key columns.event_ts: time_zone: 'Paris'"),
        (
            ("order: purchase", "order: bought"),
            "key columns.event_type: values.order: expected one",
        ),
        (("page: view", "on: view"), "key columns.event_type.values.1: YAML reads this as True"),
        (("Europe/Paris}", "UTC, format: 'jj/mm'}"), "key columns.event_ts: format: 'jj/mm'"),
        (("columns:", "attributes: {age: {from: age}}\ncolumns:"), "key attributes: only users"),
        (
            ("columns:", "personal: [sku]\ncolumns:"),
            "key columns.item_id: column 'sku' is listed as `personal`",
        ),
        (("columns:", "skip_lines: -1\ncolumns:"), "key skip_lines:"),
        (("Europe/Paris}", "UTC, format: [iso]}"), "key columns.event_ts.format"),
        (
            ("Europe/Paris}", "UTC, format: [iso, jj]}"),
            "key columns.event_ts: format: 'jj' is neither",
        ),
    ],
)
def test_a_wrong_mapping_is_refused_by_file_and_key(
    tmp_path: Path, change: tuple[str, str], expected: str
) -> None:
    assert change[0] in EVENTS
    assert f"{tmp_path / 'shop.yaml'}: {expected}" in problem(tmp_path, EVENTS.replace(*change))


def test_a_file_that_is_not_yaml_is_named(tmp_path: Path) -> None:
    assert "cannot be read as YAML" in problem(tmp_path, "a: [")
    assert "expected a mapping at the top, found list" in problem(tmp_path, "- a")


def test_times_with_a_zone_of_their_own_need_no_time_zone(tmp_path: Path) -> None:
    for form in ("epoch_millis", "yyyy-MM-dd HH:mm XXX"):
        text = EVENTS.replace("time_zone: Europe/Paris", f"format: '{form}'")
        assert load_source(write(tmp_path, text)).columns["event_ts"].format == form


USERS = """
source: shop
entity: users
columns:
  user_id: {from: customer}
attributes:
  age: {from: age_group}
"""


@pytest.mark.parametrize(
    ("attribute", "word"),
    [
        ("mail: {from: contact}", "mail"),
        ("contact: {from: E-Mail}", "mail"),
        ("who: {from: fullName}", "name"),
        ("tel: {from: number}", "tel"),
        ("home: {from: street_address}", "street"),
        ("zip: {from: zipCode}", "zip"),
        ("born: {from: date_of_birth}", "birth"),
    ],
)
def test_an_attribute_that_looks_personal_is_refused(
    tmp_path: Path, attribute: str, word: str
) -> None:
    text = problem(tmp_path, USERS + f"  {attribute}\n")
    assert f"looks personal ({word})" in text
    assert f"key attributes.{attribute.split(':')[0]}" in text


def test_an_attribute_is_a_text(tmp_path: Path) -> None:
    assert "key attributes.age: format and time_zone are for times" in problem(
        tmp_path, USERS.replace("age_group}", "age_group, format: yyyy}")
    )


def test_a_personal_column_can_be_listed_as_dropped_and_is_never_read(tmp_path: Path) -> None:
    text = USERS + "  mail: {from: email, personal: drop}\n"
    source = load_source(write(tmp_path, text))
    assert source.source_columns == ["customer", "age_group"]


def test_a_column_that_only_looks_personal_can_be_kept_on_purpose(tmp_path: Path) -> None:
    text = USERS + "  brand_name: {from: favourite_brand_name, personal: none}\n"
    assert "favourite_brand_name" in load_source(write(tmp_path, text)).source_columns


def test_a_user_id_that_is_an_email_column_is_refused(tmp_path: Path) -> None:
    assert "key columns.user_id" in problem(tmp_path, USERS.replace("customer", "customer_email"))


def test_an_items_title_may_come_from_a_name(tmp_path: Path) -> None:
    text = (
        "source: shop\nentity: items\ncolumns:\n  item_id: {from: sku}\n"
        "  title: {from: product_name}\n  is_sellable: {constant: true}\n"
    )
    assert load_source(write(tmp_path, text)).columns["title"].from_ == "product_name"


@pytest.mark.parametrize("column", ["household_size", "kids_count", "income", "loyalty_tier"])
def test_ordinary_columns_do_not_look_personal(column: str) -> None:
    assert looks_personal(column) == ""


def test_a_folder_without_mappings_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MappingError, match="has no mapping, so no drop can be read"):
        load_sources(tmp_path, "items")


def test_a_shop_may_leave_out_an_entity(tmp_path: Path) -> None:
    write(tmp_path, EVENTS)
    assert load_sources(tmp_path, "users") == ()


def test_files_go_to_the_one_source_whose_pattern_fits(tmp_path: Path) -> None:
    web = load_source(
        write(tmp_path, EVENTS.replace("source: shop", "source: web\nfiles: web-*"), "web")
    )
    till = load_source(
        write(tmp_path, EVENTS.replace("source: shop", "source: till\nfiles: till-*"), "till")
    )
    assert claim("web-1.csv", [web, till]) is web
    assert claim("replay-till-0123456789abcdef.jsonl", [web, till]) is till
    with pytest.raises(MappingError, match=r"no mapping claims it.*web \(web-\*\), till"):
        claim("app-1.csv", [web, till])
    with pytest.raises(MappingError, match="more than one mapping claims it"):
        claim("web-1.csv", [web, web])


def test_a_personal_column_is_not_read_from_within_an_object_either(tmp_path: Path) -> None:
    text = EVENTS.replace("{from: sku}", "{from: customer.sku}")
    hidden = text.replace("columns:", "personal: [customer]\ncolumns:")
    assert "column 'customer.sku' is listed as `personal`" in problem(tmp_path, hidden)
    other = text.replace("columns:", "personal: [cust, customer.email]\ncolumns:")
    assert "customer.sku" in load_source(write(tmp_path, other)).source_columns


def test_a_list_of_formats_needs_a_zone_unless_each_has_one(tmp_path: Path) -> None:
    zoned = EVENTS.replace("time_zone: Europe/Paris", "format: [epoch_millis, 'yyyy-MM-dd HHX']")
    assert load_source(write(tmp_path, zoned)).columns["event_ts"].says_zones
    unzoned = EVENTS.replace("time_zone: Europe/Paris", "format: [epoch_millis, iso]")
    assert "say the `time_zone`" in problem(tmp_path, unzoned)


@pytest.mark.parametrize(
    ("column", "says"),
    [
        ("{constant: 2026-01-01}", "a day comes from a column"),
        ("{from: until, time_zone: UTC}", "a day is taken as it is written"),
    ],
)
def test_a_day_of_sale_is_taken_from_a_column(tmp_path: Path, column: str, says: str) -> None:
    items = (
        "source: shop\nentity: items\ncolumns:\n  item_id: {from: sku}\n"
        f"  is_sellable: {{constant: true}}\n  sale_until: {column.replace('2026-01-01', 'soon')}\n"
    )
    assert f"key columns.sale_until: {says}" in problem(tmp_path, items)
