"""Tokenizers of LLaMA-3's form: trained, saved, given Magma's tokens, and refused."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers
from transformers import ByT5Tokenizer, PreTrainedTokenizerFast

from model.tokenizer import (
    ACTION,
    BOS,
    END_HEADER,
    END_OF_TEXT,
    EOT,
    IMAGE,
    PAD,
    START_HEADER,
    TRACE_START,
    SpecialIds,
    add_magma_tokens,
    load_tokenizer,
    special_ids,
    train_tokenizer,
)

TEXTS = ["The cat sat on the mat, the cat sat.", "Mark 1 at [93,255]. Mark 2 at [12,7]\n\n"] * 4
TRAINED = train_tokenizer(TEXTS, vocab_size=560)


def like_llama_3() -> PreTrainedTokenizerFast:
    """128,000 base entries and 256 special tokens, as LLaMA-3 has them."""
    core = Tokenizer(models.BPE(vocab={f"entry {number}": number for number in range(128_000)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    reserved = [f"<|reserved_special_token_{number}|>" for number in range(251)]
    names = [BOS, END_OF_TEXT, *reserved[:4], START_HEADER, END_HEADER, reserved[4], EOT, *reserved[5:]]
    core.add_special_tokens([AddedToken(name, special=True) for name in names])
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token=BOS, eos_token=END_OF_TEXT)


def test_llama_3_gets_the_ids_of_the_release():
    tokenizer = like_llama_3()
    assert (tokenizer.vocab_size, len(tokenizer)) == (128_000, 128_256)
    assert add_magma_tokens(tokenizer) == 5
    ids = special_ids(tokenizer)
    assert (ids.bos, ids.start_header, ids.end_header, ids.eot) == (128_000, 128_006, 128_007, 128_009)
    assert (ids.pad, ids.image, ids.image_start, ids.image_end, ids.action) == tuple(range(128_256, 128_261))
    assert (ids.trace_start, ids.trace_end, ids.base_vocab) == (None, None, 128_000)
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id) == (ids.pad, ids.eot)


def test_traces_come_before_actions_and_nothing_is_added_twice():
    tokenizer = like_llama_3()
    assert add_magma_tokens(tokenizer, trace=True) == 7
    ids = special_ids(tokenizer)
    assert (ids.trace_start, ids.trace_end, ids.action) == (128_260, 128_261, 128_262)
    assert add_magma_tokens(tokenizer, trace=True) == 0
    assert special_ids(tokenizer) == ids


def test_only_what_is_missing_is_added():
    tokenizer = like_llama_3()
    tokenizer.add_tokens([IMAGE], special_tokens=True)
    assert add_magma_tokens(tokenizer) == 4
    assert (special_ids(tokenizer).image, special_ids(tokenizer).pad) == (128_256, 128_257)


def test_a_missing_token_is_named_with_the_cure():
    with pytest.raises(ValueError, match=r"no token <pad>; call model\.tokenizer\.add_magma_tokens"):
        special_ids(like_llama_3())
    bare = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()))
    with pytest.raises(ValueError, match=r"no token <\|begin_of_text\|>; take one of LLaMA-3"):
        special_ids(bare)


def test_an_unknown_token_is_not_taken_for_a_missing_one():
    core = Tokenizer(models.BPE(vocab={"<unk>": 0}, merges=[], unk_token="<unk>"))
    with pytest.raises(ValueError, match="no token"):
        special_ids(PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>"))


def test_no_texts_give_a_tokenizer_of_bytes():
    tokenizer = train_tokenizer([], vocab_size=512)
    assert (tokenizer.vocab_size, len(tokenizer)) == (512, 522)
    ids = tokenizer.encode("né", add_special_tokens=False)
    assert len(ids) == 3
    assert max(ids) < 256


@pytest.mark.parametrize("vocab_size", [-1, 0, 511])
def test_a_vocabulary_without_room_for_bytes_and_actions_is_an_error(vocab_size):
    with pytest.raises(ValueError, match=f"vocab_size is {vocab_size}; .* take 512"):
        train_tokenizer(TEXTS, vocab_size=vocab_size)


@pytest.mark.parametrize("vocab_size", [512, 560, 5000])
def test_a_trained_tokenizer_has_the_asked_size_and_no_gaps(vocab_size):
    tokenizer = train_tokenizer(TEXTS, vocab_size=vocab_size)
    assert tokenizer.vocab_size == vocab_size
    assert sorted(tokenizer.get_vocab().values()) == list(range(vocab_size + 10))
    ids = special_ids(tokenizer)
    assert (ids.base_vocab, ids.bos, ids.pad, ids.action) == (vocab_size, vocab_size, vocab_size + 5, vocab_size + 9)
    assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token) == (BOS, EOT, PAD)


@given(st.text())
def test_text_comes_back_and_never_holds_an_action_id(text):
    ids = TRAINED.encode(text, add_special_tokens=False)
    assert TRAINED.decode(ids, clean_up_tokenization_spaces=False) == text
    assert not {*range(TRAINED.vocab_size - 256, TRAINED.vocab_size)} & set(ids)


@pytest.mark.parametrize("entry", range(304, 560, 51))
def test_the_name_of_an_unused_entry_is_ordinary_text(entry):
    name = TRAINED.convert_ids_to_tokens(entry)
    assert name == f"<|unused_{entry}|>"
    assert entry not in TRAINED.encode(name)


def test_merges_and_digits_are_as_in_llama_3():
    pieces = TRAINED.tokenize("the cat 12345")
    assert pieces[:2] == ["the", "Ġcat"]
    words, _ = zip(*TRAINED.backend_tokenizer.pre_tokenizer.pre_tokenize_str("Don't pay 1234567.\n\n  x"), strict=True)
    assert words == ("Don", "'t", "Ġpay", "Ġ", "123", "456", "7", ".ĊĊ", "Ġ", "Ġx")


def test_special_tokens_are_cut_out_of_text_and_left_out_when_asked():
    ids = TRAINED.encode(f"a{IMAGE}b{EOT}", add_special_tokens=False)
    special = special_ids(TRAINED)
    assert ids[1::2] == [special.image, special.eot]
    assert TRAINED.decode(ids, skip_special_tokens=True) == "ab"


def test_a_text_gets_a_bos_as_with_llama_3():
    assert TRAINED("a")["input_ids"][0] == special_ids(TRAINED).bos


def test_the_same_texts_give_the_same_tokenizer():
    assert train_tokenizer(iter(TEXTS), vocab_size=560).backend_tokenizer.to_str() == TRAINED.backend_tokenizer.to_str()


def test_saved_and_loaded_it_is_the_same(tmp_path):
    TRAINED.save_pretrained(tmp_path)
    loaded = load_tokenizer(tmp_path)
    assert special_ids(loaded) == special_ids(TRAINED)
    assert loaded.backend_tokenizer.to_str() == TRAINED.backend_tokenizer.to_str()
    assert loaded.chat_template == TRAINED.chat_template
    assert (loaded.eos_token, loaded.pad_token) == (EOT, PAD)
    assert add_magma_tokens(loaded) == 0


def test_tokens_added_to_a_saved_tokenizer_are_loaded_too(tmp_path):
    tokenizer = train_tokenizer([], vocab_size=512)
    add_magma_tokens(tokenizer, trace=True)
    tokenizer.save_pretrained(tmp_path)
    assert special_ids(load_tokenizer(str(tmp_path))).trace_start == tokenizer.convert_tokens_to_ids(TRACE_START) == 522


def test_a_folder_without_a_tokenizer_is_an_error_with_the_cure(tmp_path):
    for missing in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ValueError, match=r"no tokenizer in .*give a folder with tokenizer\.json"):
            load_tokenizer(missing)


def test_a_slow_tokenizer_is_an_error_with_the_cure(tmp_path):
    ByT5Tokenizer().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"a ByT5Tokenizer, which is not a fast one; give a folder"):
        load_tokenizer(tmp_path)


def test_the_tokenizer_of_the_parity_cases():
    if "SOMTOM_TEST_DATA" not in os.environ:
        pytest.skip("SOMTOM_TEST_DATA names no folder with parity/text")
    toy = load_tokenizer(Path(os.environ["SOMTOM_TEST_DATA"]) / "parity" / "text" / "toy_tokenizer")
    assert special_ids(toy) == SpecialIds(
        bos=512,
        start_header=514,
        end_header=515,
        eot=516,
        pad=517,
        image=518,
        image_start=519,
        image_end=520,
        action=521,
        base_vocab=512,
    )
    assert toy.convert_tokens_to_ids(ACTION) == 521
    assert toy.chat_template == TRAINED.chat_template
