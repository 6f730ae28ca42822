"""What becomes of a question, as answer tables and `ops.llm_ledger` name it.

SUCCESS, REJECTED, INVALID, REFUSED and TOO_LONG are final: the question has a row in the answer
table and is never asked again under that prompt version and model. ERROR and SKIPPED stand only in
the ledger, and the next run asks again. RETRIED marks a request of the ledger that another request
of the same question followed.
"""

from __future__ import annotations

SUCCESS = "success"
REJECTED = "rejected_by_gate"
INVALID = "invalid_output"
REFUSED = "refused"
TOO_LONG = "too_long"
ERROR = "error"
SKIPPED = "skipped_budget"
RETRIED = "retried"

FINAL = (SUCCESS, REJECTED, INVALID, REFUSED, TOO_LONG)
