"""A shop of 30 products and 16 households, small enough to run whole days of it in a test."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pandas as pd

from infra.demo.data import write_frames

DAYS = (date(2017, 12, 28), date(2017, 12, 29))
NEXT_DAY = date(2017, 12, 30)
LIST_LENGTH = 10
HOUSEHOLDS = 16
FIRST_DAY = date(2017, 12, 1)
NEW_PRODUCT = 26

KINDS = {
    "BREAD": ("WHEAT BREAD", "RYE BREAD", "BAGELS", "DINNER ROLLS", "TORTILLAS"),
    "DAIRY": ("WHOLE MILK", "SKIM MILK", "SALTED BUTTER", "CHEDDAR CHEESE", "PLAIN YOGURT"),
    "FRUIT": ("BANANAS", "RED APPLES", "NAVEL ORANGES", "STRAWBERRIES", "GREEN GRAPES"),
    "SNACKS": ("POTATO CHIPS", "SALTED PEANUTS", "POPCORN", "PRETZELS", "CHOCOLATE BAR"),
    "DRINKS": ("ORANGE JUICE", "COLA", "GREEN TEA", "GROUND COFFEE", "MINERAL WATER"),
    # in the catalogue, and not sold by NEXT_DAY, but for the first: not sellable
    "GARDEN": ("LAWN SEED", "FLOWER POTS", "GARDEN HOSE", "RAKES", "FERTILIZER"),
}


def write_landing(landing: Path) -> None:
    """The drops of FIRST_DAY to NEXT_DAY, in the columns and files of the demo's."""
    write_frames(landing, transactions(), products(), households())


def products() -> pd.DataFrame:
    rows = [
        {
            "product_id": number,
            "manufacturer_id": 1,
            "department": "GROCERY",
            "brand": "National" if number % 2 else "Private",
            "product_category": category,
            "product_type": title,
            "package_size": f"{number} OZ",
        }
        for number, (category, title) in enumerate(
            ((category, title) for category, titles in KINDS.items() for title in titles), start=1
        )
    ]
    return pd.DataFrame(rows).astype({"product_id": str, "manufacturer_id": str})


def transactions() -> pd.DataFrame:
    """Each household shops every third day: three products of two kinds that it likes.

    On NEXT_DAY the first of them also takes NEW_PRODUCT, which was never sold before.
    """
    sold = 25
    rows = []
    days = (NEXT_DAY - FIRST_DAY).days + 1
    for offset in range(days):
        day = FIRST_DAY + timedelta(days=offset)
        for household in range(HOUSEHOLDS):
            if (household + offset) % 3:
                continue
            liked = (household % 5, (household + 1) % 5)
            chosen = {5 * liked[0] + (household + offset) % 5, 5 * liked[0] + offset % 5}
            chosen.add(5 * liked[1] + (offset * 2) % 5)
            rows += [line(day, household, product % sold + 1) for product in sorted(chosen)]
    rows.append(line(NEXT_DAY, 0, NEW_PRODUCT))
    return pd.DataFrame(rows)


def line(day: date, household: int, product: int) -> dict[str, object]:
    """One line of a household's basket of the day."""
    return {
        "household_id": str(household + 1),
        "store_id": "1",
        "basket_id": f"{day}-{household}",
        "product_id": str(product),
        "quantity": 1.0 + (product - 1) % 2,
        "sales_value": 2.5,
        "transaction_timestamp": pd.Timestamp(day) + pd.Timedelta(hours=12),
    }


def households() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "household_id": [str(household + 1) for household in range(HOUSEHOLDS)],
            "age": ["25-34" if household % 2 else "45-54" for household in range(HOUSEHOLDS)],
            "income": "50-74K",
            "home_ownership": "Homeowner",
            "marital_status": "Married",
            "household_size": "2",
            "household_comp": "2 Adults No Kids",
            "kids_count": "0",
        }
    )
