"""Cuts by tokens, with MiniLM's word pieces and with a tokenizer whose tokens can be counted."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from jobs.llm.errors import PromptError
from jobs.llm.tokens import count, cut


def write_word_tokenizer(path: Path) -> None:
    """Each word is one token."""
    words = Tokenizer(models.WordLevel({"?": 0}, unk_token="?"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    words.enable_truncation(5)  # as a saved tokenizer may have it
    words.save(str(path))


@pytest.fixture
def bytes_tokenizer(tmp_path: Path) -> str:
    """Each byte of UTF-8 is one token, so that a character can have up to four."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    each = Tokenizer(models.BPE({letter: n for n, letter in enumerate(alphabet)}, []))
    each.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    each.decoder = decoders.ByteLevel()
    each.save(str(tmp_path / "tokenizer.json"))
    return str(tmp_path)


def test_the_default_counts_word_pieces() -> None:
    # sf ##t | dr ##nk | 2 | liter | bt ##l
    assert count("sft drnk 2 liter btl") == 8
    assert cut("sft drnk 2 liter btl", 8) == "sft drnk 2 liter btl"
    assert cut("sft drnk 2 liter btl", 6) == "sft drnk 2 liter"
    assert cut("sft drnk 2 liter btl", 3) == "sft dr"
    assert cut("", 3) == ""


def test_a_tokenizer_of_one_s_own_counts_by_its_tokens(tmp_path: Path) -> None:
    path = tmp_path / "words.json"
    write_word_tokenizer(path)
    text = "one two three four five six seven"
    assert count(text, str(path)) == 7
    assert cut(text, 6, str(path)) == "one two three four five six"


def test_a_cut_never_falls_within_a_character(bytes_tokenizer: str) -> None:
    assert count("tea 🍵🍵", bytes_tokenizer) == 12
    assert [cut("tea 🍵🍵", most, bytes_tokenizer) for most in (12, 11, 8, 7, 4)] == [
        "tea 🍵🍵",
        "tea 🍵",
        "tea 🍵",
        "tea",
        "tea",
    ]


@settings(deadline=None)
@given(st.text(max_size=200), st.integers(1, 30))
def test_a_cut_text_is_a_start_within_the_limit(text: str, most: int) -> None:
    short = cut(text, most)
    assert text.startswith(short)
    assert count(short) <= most
    assert cut(short, most) == short


def test_one_endless_word_is_cut_by_characters() -> None:
    """MiniLM has one token for a word of more than 100 characters, however long it is."""
    word = "x" * 100_000
    assert count(word) == 1
    started = time.process_time()
    assert cut(word, 20) == "x" * 160
    assert time.process_time() - started < 0.5


@pytest.mark.parametrize("content", [None, "{}"])
def test_a_tokenizer_that_cannot_be_read_is_named(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "tokenizer.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(PromptError, match=r"RECLAKE_LLM_TOKENIZER=.*tokenizer\.json"):
        cut("tea and more tea", 1, str(path))


def test_cutting_brings_no_torch() -> None:
    code = (
        "import sys; from jobs.llm.tokens import cut; cut('tea and more', 1); "
        "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
