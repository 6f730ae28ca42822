"""From a question to an answer that can be read, or to the reason why there is none.

After an unreadable answer the question is asked once more, with the same seed; then in the prompt's
simpler form, if there is one. After that the answer is a dead letter: its raw text is kept and
nobody asks again. An answer that was cut at its length limit would be cut again in the same words,
so its question goes to the simpler form at once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from jobs.llm.client import Asker, Attempt, Reply
from jobs.llm.errors import InvalidAnswer
from jobs.llm.prompt import Answer, Prompt
from jobs.llm.status import INVALID


@dataclass(frozen=True)
class Answered:
    """What became of one question, all its requests included.

    answer: fits the prompt's schema; None when there is none. status: '' with an answer, which
    the gate has still to judge. raw_text: what was said last; None when nothing was.
    attempts: in order, numbered from 1; the error of an unreadable one says why.
    """

    answer: Answer | None
    status: str
    raw_text: str | None
    declined: bool
    attempts: tuple[Attempt, ...]


async def answer(
    asker: Asker, prompt: Prompt, question: str, attempts: list[Attempt] | None = None
) -> Answered:
    """Ask until the answer can be read or nothing is left to try. Raises ServerRefuses.

    attempts: gets every request when it ends, so that they are known of a call that never does.
    """
    attempts = [] if attempts is None else attempts
    reply, found = Reply(), None
    for form in (prompt, prompt, prompt.fallback):
        if form is None or (reply.cut and form is prompt):
            continue
        reply = await asker.ask(form, question, attempts)
        if reply.status or reply.text is None:
            break
        try:
            found = form.parse(reply.text)
            break
        except InvalidAnswer as error:
            cut = "cut at its length limit: " if reply.cut else ""
            attempts[-1] = replace(attempts[-1], error=f"InvalidAnswer: {cut}{error}"[:300])
    status = reply.status or ("" if found is not None else INVALID)
    return Answered(found, status, reply.text, reply.declined, tuple(attempts))
