"""bronze.users: nothing personal is in the table or in the quarantine (invariant 9)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

from jobs.lake import Lake

D1 = date(2026, 1, 1)
MAPPING = """
source: shop
entity: users
columns:
  user_id: {from: id}
attributes:
  tier: {from: tier}
  hobby: {from: hobby}
  mail: {from: mail, personal: drop}
"""
DROP = """id,tier,hobby,mail,phone
1,gold,tea,ann@example.org,+45 12 34 56 78
2,silver,call me at bo@example.org,bo@example.org,
cy@example.org,gold,tea,cy@example.org,
4,gold,tea
"""


def test_no_address_is_stored_anywhere(make_lake: Callable[..., Lake], tmp_path: Path) -> None:
    sources = tmp_path / "sources"
    sources.mkdir()
    (sources / "shop.yaml").write_text(MAPPING, encoding="utf-8")
    lake = make_lake(sources=sources, max_bad_share=1.0)
    path = Path(lake.settings.landing, "users", f"ds={D1}", "all.csv")
    path.parent.mkdir(parents=True)
    path.write_text(DROP, encoding="utf-8")
    lake.run("bronze.users", ds=D1)
    (user,) = lake.tables.read("bronze.users").collect()
    assert (user["user_id"], user["attributes"]) == ("1", {"tier": "gold", "hobby": "tea"})
    rejected = lake.tables.read("ops.quarantine").orderBy("row_id").collect()
    assert [(row["row_id"], row["column"], row["reason"]) for row in rejected] == [
        ("3", "hobby", "hobby looks like an address or a number of a person"),
        ("4", "id", "id looks like an e-mail address; send a pseudonym instead"),
        ("5", None, "has 3 cells where the header has 5"),
    ]
    stored = str(user) + str(rejected)
    assert "@" not in stored
    assert "12 34" not in stored
