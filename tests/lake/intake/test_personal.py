"""What looks like it could find or name a person."""

from __future__ import annotations

import pytest

from jobs.lake.intake.personal import holds_personal, looks_personal


@pytest.mark.parametrize(
    ("column", "word"),
    [
        ("contactEmail", "email"),
        ("E-Mail", "mail"),
        ("Straße", "strasse"),
        ("Téléphone portable", "telephone"),
        ("code postal", "postal"),
        ("Dirección", "direccion"),
        ("endereço", "endereco"),
        ("data_nascita", "nascita"),
        ("geboortedatum", "geboortedatum"),
        ("Imię", "imie"),
        ("Ulica", "ulica"),
        ("Doğum tarihi", "dogum"),
        ("fødselsdato", "fodselsdato"),
        ("фамилия", "фамилия"),
        ("用户电话", "电话"),
        ("電話番号", "電話"),
        ("고객 이메일", "이메일"),
        ("رقم الهاتف", "الهاتف"),
        ("मोबाइल नंबर", "मोबाइल"),
    ],
)
def test_names_of_columns_are_known_in_many_languages(column: str, word: str) -> None:
    assert looks_personal(column) == word


@pytest.mark.parametrize(
    "column",
    [
        "household_size",
        "age_group",
        "Kundentyp",
        "segmento",
        "ville_taille",
        "会员等级",
        "ad_group",
    ],
)
def test_ordinary_columns_do_not_look_personal(column: str) -> None:
    assert looks_personal(column) == ""


@pytest.mark.parametrize(
    "value",
    [
        "ann@example.org",
        "see https://example.org/ann",
        "+33 1 23 45 67 89",
        "(555) 010-9999",
        "call 030 901820123",
        "+81-3-1234-5678",
        "4111-1111-1111-1111",
        "4111111111111111",
        "DE89 3704 0044 0532 0130 00",
    ],
)
def test_addresses_and_long_numbers_are_personal(value: str) -> None:
    assert holds_personal(value)


@pytest.mark.parametrize(
    "value",
    [
        "25-34",
        "200-249K",
        "2 Adults No Kids",
        "1990-2000",
        "100000-149999",
        "0.8347283748",
        "-12345.678901234",
        "1,2345678901",
        "2026-01-14 09:12:33",
        "2026-01-14T09:12:33.123Z",
        "14.01.2026 09:12",
        "20260114",
        "gold",
    ],
)
def test_fractions_times_and_ranges_are_not(value: str) -> None:
    assert not holds_personal(value)
