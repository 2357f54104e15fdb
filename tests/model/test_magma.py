import copy
import shutil
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import BatchFeature, DynamicCache, GenerationConfig

from model.config import Grid
from model.magma import MagmaForCausalLM, token_losses
from model.merge import IGNORED
from model.processor import Sample
from tests.model.small import TILE, chat, picture, small_config, small_magma, small_processor, supervised

PROCESSOR = small_processor()
MIXED = [
    supervised(PROCESSOR, [(60, 60)]),
    supervised(PROCESSOR, [], "Nothing."),
    supervised(PROCESSOR, [(150, 140), (50, 120)], "Further to the right than before."),
]
"""one image, none, two of different grids"""


def logits_of(model: MagmaForCausalLM, batch: BatchFeature | dict[str, Any]) -> Tensor:
    with torch.no_grad():
        return model(**batch).logits


def real_rows(batch: BatchFeature, values: Tensor) -> list[Tensor]:
    """What stands at each row's own positions, without the pads."""
    return [row[mask.bool()] for row, mask in zip(values, batch["attention_mask"], strict=True)]


@pytest.mark.parametrize("strategy", ["crop", "global"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_a_batch_equals_its_rows_one_by_one(strategy: str, side: str) -> None:
    model = small_magma(strategy=strategy)
    batch = PROCESSOR.batch(MIXED, padding_side=side)
    together = real_rows(batch, logits_of(model, batch))
    for sample, row in zip(MIXED, together, strict=True):
        alone = logits_of(model, PROCESSOR.batch([sample]))[0]
        torch.testing.assert_close(row, alone, atol=1e-4, rtol=0)


def test_a_single_row_padded_on_the_right_is_not_turned_about() -> None:
    """The reference takes any single row for one padded on the left and rotates it."""
    model = small_magma()
    batch = PROCESSOR.batch([MIXED[0]])
    ids = torch.nn.functional.pad(batch["input_ids"], (0, 5), value=PROCESSOR.ids.pad)
    mask = torch.nn.functional.pad(batch["attention_mask"], (0, 5))
    padded = {**batch, "input_ids": ids, "attention_mask": mask}
    padded.pop("labels")
    whole = logits_of(model, padded)[0]
    torch.testing.assert_close(whole[: len(MIXED[0].input_ids)], logits_of(model, batch)[0], atol=1e-4, rtol=0)


def unexpanded(sample: Sample) -> dict[str, Tensor]:
    """The sample with one token for an image, as the release's processor gives it, padded by row."""
    ids, labels = [], []
    for token, label in zip(sample.input_ids.tolist(), sample.labels.tolist(), strict=True):
        if token != PROCESSOR.ids.image or ids[-1] != token:
            ids.append(token)
            labels.append(label)
    return {
        "input_ids": torch.tensor([ids]),
        "labels": torch.tensor([labels]),
        "pixel_values": sample.pixel_values[None],
        "image_sizes": sample.image_sizes[None],
    }


@pytest.mark.parametrize("number", [0, 2])
def test_one_token_an_image_and_one_a_vector_are_the_same_text(number: int) -> None:
    model = small_magma()
    short = unexpanded(MIXED[number])
    with torch.no_grad():
        one, other = model(**short), model(**PROCESSOR.batch([MIXED[number]]))
    torch.testing.assert_close(one.logits, other.logits, atol=1e-5, rtol=0)
    torch.testing.assert_close(one.loss, other.loss)


def test_crop_equals_global_for_an_image_of_one_tile_and_not_for_more() -> None:
    crop, whole = small_magma(strategy="crop"), small_magma(strategy="global")
    whole.load_state_dict(crop.state_dict())
    one = PROCESSOR.batch([MIXED[0]])
    torch.testing.assert_close(logits_of(crop, one), logits_of(whole, one), atol=1e-5, rtol=0)
    two = PROCESSOR.batch([MIXED[2]])
    assert (logits_of(crop, two) - logits_of(whole, two)).abs().max() > 1e-2


def test_text_alone_is_plain_llama() -> None:
    model = small_magma()
    batch = PROCESSOR.batch([MIXED[1]])
    with torch.no_grad():
        plain = model.language_model(input_ids=batch["input_ids"]).logits
    torch.testing.assert_close(logits_of(model, batch), plain, atol=1e-5, rtol=0)


def packed(samples: list[Sample]) -> dict[str, Tensor]:
    """Documents one after the other in one row, each with positions of its own."""
    return {
        "input_ids": torch.cat([sample.input_ids for sample in samples])[None],
        "labels": torch.cat([sample.labels for sample in samples])[None],
        "position_ids": torch.cat([torch.arange(len(sample.input_ids)) for sample in samples])[None],
        "pixel_values": torch.cat([sample.pixel_values for sample in samples]),
        "image_sizes": torch.cat([sample.image_sizes for sample in samples]),
    }


NO_COMPILER = pytest.mark.skipif(shutil.which("c++") is None, reason="flex attention compiles its kernels on a CPU")


@pytest.mark.parametrize(
    "attention", ["sdpa", "eager", pytest.param("flex_attention", marks=[NO_COMPILER, pytest.mark.slow])]
)
def test_packed_documents_do_not_see_each_other(attention: str) -> None:
    model = small_magma()
    model.set_attn_implementation(attention)
    with torch.no_grad():
        together = model(**packed(MIXED), loss_reduction="none")
    alone = [logits_of(model, PROCESSOR.batch([sample]))[0] for sample in MIXED]
    torch.testing.assert_close(together.logits[0], torch.cat(alone), atol=1e-4, rtol=0)
    with torch.no_grad():
        losses = [model(**PROCESSOR.batch([sample]), loss_reduction="none").loss for sample in MIXED]
    torch.testing.assert_close(together.loss, torch.cat(losses), atol=1e-4, rtol=0)


def test_the_mean_loss_is_that_of_the_supervised_tokens_alone() -> None:
    model = small_magma()
    batch = PROCESSOR.batch(MIXED)
    with torch.no_grad():
        out = model(**batch)
    targets = batch["labels"][:, 1:]
    plain = torch.nn.functional.cross_entropy(out.logits[:, :-1].flatten(0, 1), targets.flatten(), ignore_index=IGNORED)
    torch.testing.assert_close(out.loss, plain)


def test_losses_in_chunks_equal_those_at_once_with_their_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    head = torch.nn.Linear(8, 50, bias=False)
    hidden = torch.randn(33, 8, requires_grad=True)
    targets = torch.randint(0, 50, (33,))
    at_once = token_losses(head, hidden, targets)
    (expected,) = torch.autograd.grad(at_once.sum(), hidden)
    monkeypatch.setattr("model.magma.LOSS_CHUNK", 5)
    in_chunks = token_losses(head, hidden, targets)
    torch.testing.assert_close(in_chunks, at_once)
    torch.testing.assert_close(torch.autograd.grad(in_chunks.sum(), hidden)[0], expected)
    assert token_losses(head, hidden[:0], targets[:0]).shape == (0,)


@pytest.mark.parametrize("projector", ["mlp2x_gelu", "linear"])
def test_gradients_reach_every_part_that_is_used(projector: str) -> None:
    model = small_magma(projector=projector).train()
    model(**PROCESSOR.batch(MIXED)).loss.backward()
    without = {name for name, parameter in model.named_parameters() if parameter.grad is None}
    assert without == {
        "vision_tower.clip_vision_model.trunk.head.norm.weight",
        "vision_tower.clip_vision_model.trunk.head.norm.bias",
        "vision_tower.clip_vision_model.head.proj.weight",
    }
    still = [
        name for name, parameter in model.named_parameters() if parameter.grad is not None and not parameter.grad.any()
    ]
    assert still == []


@pytest.mark.parametrize("part", ["vision_tower", "multi_modal_projector", "language_model"])
def test_a_frozen_part_gets_no_gradient_and_the_others_do(part: str) -> None:
    model = small_magma().train()
    model.get_submodule(part).requires_grad_(False)
    model(**PROCESSOR.batch(MIXED)).loss.backward()
    for name in ("vision_tower", "multi_modal_projector", "language_model"):
        has = [parameter.grad is not None for parameter in model.get_submodule(name).parameters()]
        assert any(has) == (name != part), name


def test_recomputed_activations_change_no_gradient() -> None:
    plain = small_magma().train()
    saving = copy.deepcopy(plain)
    saving.checkpoint_activations()
    batch = PROCESSOR.batch(MIXED)
    for model in (plain, saving):
        model(**batch).loss.backward()
    for (name, one), other in zip(plain.named_parameters(), saving.parameters(), strict=True):
        if one.grad is not None:
            torch.testing.assert_close(other.grad, one.grad, msg=lambda text, name=name: f"{name}: {text}")
    saving.checkpoint_activations(vision=False, language=False)
    assert not saving.language_model.is_activation_checkpointing


def test_a_frozen_tower_drops_no_path_even_in_training() -> None:
    model = small_magma(drop_path=0.5).train()
    tiles, grids = MIXED[2].pixel_values, [Grid(*size) for size in MIXED[2].image_sizes.tolist()]
    torch.manual_seed(1)
    with torch.no_grad():
        drawn = [torch.cat(model.image_features(tiles, grids)) for _ in range(4)]
    assert any(not torch.equal(drawn[0], other) for other in drawn[1:]), "a tower in training drops paths"
    model.vision_tower.requires_grad_(False)
    with torch.no_grad():
        frozen = [torch.cat(model.image_features(tiles, grids)) for _ in range(4)]
    assert all(torch.equal(frozen[0], other) for other in frozen[1:])


PROMPTS = [
    PROCESSOR.prompt(chat("<image>\nWhere?"), [picture((60, 60))]),
    PROCESSOR.prompt(chat("What is a cup?")),
    PROCESSOR.prompt(chat("<image>\n<image>\nWhich of both?"), [picture((150, 140)), picture((50, 120))]),
]
NEW = 10


def answers(model: MagmaForCausalLM, batch: BatchFeature | dict[str, Any], **options: Any) -> list[list[int]]:
    out = model.generate(**batch, max_new_tokens=NEW, min_new_tokens=NEW, **options)
    return out[:, batch["input_ids"].shape[1] :].tolist()


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("cached", [True, False])
def test_answers_of_a_batch_are_those_of_its_prompts_alone(side: str, cached: bool) -> None:
    model = small_magma()
    alone = [answers(model, PROCESSOR.batch([prompt]), do_sample=False)[0] for prompt in PROMPTS]
    batch = PROCESSOR.batch(PROMPTS, padding_side=side)
    assert answers(model, batch, do_sample=False, use_cache=cached) == alone
    assert alone[0] != alone[2]


def test_an_answer_is_the_most_likely_next_token_of_a_plain_pass_each_time() -> None:
    model = small_magma()
    batch = PROCESSOR.batch([PROMPTS[0]])
    (answer,) = answers(model, batch, do_sample=False)
    text = batch["input_ids"]
    for token in answer:
        with torch.no_grad():
            logits = model(input_ids=text, pixel_values=batch["pixel_values"], image_sizes=batch["image_sizes"]).logits
        logits[..., [PROCESSOR.ids.image, PROCESSOR.ids.eot]] = -torch.inf
        assert int(logits[0, -1].argmax()) == token
        text = torch.cat([text, torch.tensor([[token]])], dim=1)


def test_one_image_token_serves_generation_too_and_comes_back_as_one() -> None:
    model = small_magma()
    text = PROCESSOR.apply_chat_template(chat("<image>\nWhere?"), add_generation_prompt=True)
    short = PROCESSOR(text=text, images=picture((60, 60)))
    length = short["input_ids"].shape[1]
    out = model.generate(**short, max_new_tokens=NEW, min_new_tokens=NEW)
    assert torch.equal(out[:, :length], short["input_ids"])
    assert out[:, length:].tolist() == answers(model, PROCESSOR.batch([PROMPTS[0]]))


def test_several_answers_of_each_prompt_keep_their_images() -> None:
    model = small_magma()
    batch = PROCESSOR.batch(PROMPTS)
    once = answers(model, batch, num_beams=2)
    assert answers(model, batch, num_beams=2, num_return_sequences=2)[::2] == once
    torch.manual_seed(0)
    first = answers(model, batch, do_sample=True, temperature=0.7, num_return_sequences=3)
    torch.manual_seed(0)
    assert answers(model, batch, do_sample=True, temperature=0.7, num_return_sequences=3) == first
    assert len({tuple(one) for one in first}) > len(PROMPTS)


def test_scores_come_with_whole_sequences() -> None:
    model = small_magma()
    batch = PROCESSOR.batch(PROMPTS)
    out = model.generate(**batch, max_new_tokens=2, min_new_tokens=2, return_dict_in_generate=True, output_scores=True)
    assert out.sequences.shape == (3, batch["input_ids"].shape[1] + 2)
    assert len(out.scores) == 2


def test_an_image_token_is_never_said() -> None:
    model = small_magma()
    with torch.no_grad():
        model.language_model.lm_head.weight[PROCESSOR.ids.image] = model.language_model.lm_head.weight.sum(0) * 100
    said = [token for answer in answers(model, PROCESSOR.batch(PROMPTS), do_sample=False) for token in answer]
    assert PROCESSOR.ids.image not in said


def test_wrong_input_is_named() -> None:
    model = small_magma()
    good = unexpanded(MIXED[2])
    height = model.config.text_config.vocab_size
    ids = good["input_ids"]
    image = torch.tensor([[PROCESSOR.ids.image]])
    cases: list[tuple[dict[str, Any], str]] = [
        ({"input_ids": torch.cat([ids, image], dim=1), "labels": None}, "3 image tokens .* but 2 images"),
        ({"pixel_values": None, "image_sizes": None}, "2 image tokens .* but 0 images"),
        ({"input_ids": torch.full_like(ids, height)}, f"token id {height} is not in the vocabulary of {height}"),
        ({"input_ids": torch.full_like(ids, -3)}, "token id -3"),
        ({"image_sizes": None}, "without image_sizes"),
        ({"pixel_values": None}, "come without pixel_values"),
        ({"attention_mask": torch.ones(1, 1, 5, 5)}, "a mask of 4 dimensions"),
        ({"attention_mask": torch.ones(1, 3)}, r"attention_mask is \[1, 3\] beside ids"),
        ({"labels": torch.ones(1, 3, dtype=torch.long)}, r"labels is \[1, 3\] beside ids"),
        ({"inputs_embeds": torch.zeros(1, 3, 32)}, "one of them"),
        ({"input_ids": None, "inputs_embeds": torch.zeros(1, 3, 32)}, "no room for images"),
        ({"loss_reduction": "none", "num_items_in_batch": 3}, "none without num_items_in_batch"),
        ({"image_sizes": torch.tensor([[[3, 3], [1, 1]]])}, "need 10 tiles, but pixel_values holds 6"),
        ({"labels": torch.full_like(ids, IGNORED)}, "no supervised token"),
        ({"loss_reduction": "sum"}, "'sum'"),
        ({"input_ids": None}, "give input_ids or inputs_embeds"),
        ({"position_ids": torch.arange(ids.shape[1])[None]}, "a place for each vector"),
    ]
    for change, named in cases:
        with pytest.raises(ValueError, match=named):
            model(**{**good, **change})


def test_images_must_be_those_of_their_own_row() -> None:
    """Two tokens in one row and none in the other, but an image for each: as many in all, yet wrong."""
    model = small_magma()
    image = PROCESSOR.ids.image
    pixels = torch.zeros(2, 1, 3, TILE, TILE)
    with pytest.raises(ValueError, match=r"image tokens for \[2, 0\] images, but \[1, 1\] are given"):
        model(
            input_ids=torch.tensor([[image, image, 5], [5, 5, 5]]),
            pixel_values=pixels,
            image_sizes=torch.ones(2, 1, 2, dtype=torch.long),
        )


def test_expanded_images_must_end_with_their_row() -> None:
    model = small_magma()
    batch = PROCESSOR.batch([MIXED[0], MIXED[2]])
    swapped = {**batch, "image_sizes": batch["image_sizes"].flip(0), "pixel_values": batch["pixel_values"].flip(0)}
    with pytest.raises(ValueError, match=r"row 0 do not fit the images, of \[12, 20, 6\]"):
        model(**swapped)


def test_images_must_be_in_the_order_of_their_places() -> None:
    """As many vectors in all, but the second image's would stand where the first belongs."""
    model = small_magma()
    batch = PROCESSOR.batch([MIXED[2]])
    tiles, sizes = batch["pixel_values"], batch["image_sizes"]
    assert sizes.tolist() == [[2, 2], [2, 1]]
    swapped = {**batch, "pixel_values": torch.cat([tiles[4:], tiles[:4]]), "image_sizes": sizes.flip(0)}
    with pytest.raises(ValueError, match="the image tokens of row 0 do not fit the images"):
        model(**swapped)


@pytest.mark.parametrize("shape", [(1, 3, 2 * TILE, 2 * TILE), (1, 1, TILE, TILE), (1, 3, TILE, TILE // 2)])
def test_tiles_of_another_size_are_named(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=rf"tiles are \[{shape[1]}, {shape[2]}, {shape[3]}\], but .* \[3, 64, 64\]"):
        small_magma()(
            input_ids=torch.tensor([[5, PROCESSOR.ids.image]]),
            pixel_values=torch.zeros(shape),
            image_sizes=torch.ones(1, 2, dtype=torch.long),
        )


def two_questions() -> tuple[Sample, int]:
    """A chat with an image in each of two turns, and where the second question begins."""
    messages = [*chat("<image>\nWhere?", "There."), *chat("<image>\nAnd here?")]
    sample = PROCESSOR.prompt(messages, [picture((60, 60)), picture((120, 50), 5)])
    second = int((sample.input_ids == PROCESSOR.ids.image).nonzero()[6])
    return sample, second - 2


@pytest.mark.parametrize("given", ["the new image", "both images"])
@pytest.mark.parametrize("masked", [True, False])
def test_a_chat_goes_on_after_its_cache_with_another_image(given: str, masked: bool) -> None:
    model = small_magma()
    sample, cut = two_questions()
    ids, tiles, sizes = sample.input_ids[None], sample.pixel_values, sample.image_sizes
    with torch.no_grad():
        whole = model(input_ids=ids, pixel_values=tiles, image_sizes=sizes).logits
        first = model(input_ids=ids[:, :cut], pixel_values=tiles[:1], image_sizes=sizes[:1])
        left = 1 if given == "the new image" else 0
        mask = torch.ones_like(ids) if masked else None
        images = {"pixel_values": tiles[left:], "image_sizes": sizes[left:]}
        rest = model(input_ids=ids[:, cut:], attention_mask=mask, past_key_values=first.past_key_values, **images)
    torch.testing.assert_close(rest.logits, whole[:, cut:], atol=1e-4, rtol=0)


def test_generation_goes_on_after_a_cache_with_another_image() -> None:
    model = small_magma()
    sample, cut = two_questions()
    batch = PROCESSOR.batch([sample])
    with torch.no_grad():
        first = model(
            input_ids=batch["input_ids"][:, :cut],
            pixel_values=batch["pixel_values"][:1],
            image_sizes=batch["image_sizes"][:1],
        )
    assert answers(model, batch, past_key_values=first.past_key_values) == answers(model, batch)


def test_after_a_cache_missing_images_and_short_masks_are_named() -> None:
    model = small_magma()
    sample, cut = two_questions()
    ids, tiles, sizes = sample.input_ids[None], sample.pixel_values, sample.image_sizes

    def after_the_first(**given: Any) -> None:
        with torch.no_grad():
            first = model(input_ids=ids[:, :cut], pixel_values=tiles[:1], image_sizes=sizes[:1])
            model(past_key_values=first.past_key_values, **given)

    with pytest.raises(ValueError, match="the new text has image tokens, but no images are given"):
        after_the_first(input_ids=ids[:, cut:])
    with pytest.raises(ValueError, match=r"row 0 goes on after the cache with 10 image tokens, .* \[6\] vectors"):
        after_the_first(input_ids=ids[:, cut:], pixel_values=tiles[:1], image_sizes=sizes[:1])
    with pytest.raises(ValueError, match=f"attention_mask covers 7 positions, but cache and ids have {cut + 1}"):
        after_the_first(input_ids=ids[:, :1], attention_mask=torch.ones(1, 7))


def test_packed_documents_stay_apart_whatever_else_is_given() -> None:
    model = small_magma()
    given = packed(MIXED)
    plain = logits_of(model, given)
    torch.testing.assert_close(
        logits_of(model, {**given, "attention_mask": torch.ones_like(given["input_ids"])}), plain
    )
    holes = torch.ones_like(given["input_ids"])
    holes[0, -3:] = 0
    for wrong in ({"use_cache": True}, {"attention_mask": holes}, {"past_key_values": DynamicCache()}):
        with pytest.raises(ValueError, match="packed documents have neither pads nor a cache"):
            model(**given, **wrong)


def test_several_rows_of_packed_documents() -> None:
    model = small_magma()
    one, other = packed([MIXED[0], MIXED[1]]), packed([MIXED[1], MIXED[0]])
    both = {name: torch.cat([one[name], other[name]]) for name in one}
    expected = torch.cat([logits_of(model, given) for given in (one, other)])
    torch.testing.assert_close(logits_of(model, both), expected, atol=1e-4, rtol=0)
    model.config._attn_implementation = "flash_attention_2"
    with pytest.raises(ValueError, match="flash_attention_2 keeps packed documents apart in a batch of one row only"):
        model(**both)


def test_a_black_image_gives_text_alone_gradients_of_zero_and_changes_nothing() -> None:
    model = small_magma().train()
    batch = PROCESSOR.batch([MIXED[1]])
    plain = model(**batch).loss
    seen = model(**batch, black_image=True).loss
    assert torch.equal(plain, seen)
    seen.backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert parameter.grad.any() == name.startswith("language_model."), name


def test_image_positions_are_never_supervised() -> None:
    model = small_magma()
    short = unexpanded(MIXED[0])
    expanded = PROCESSOR.batch([MIXED[0]])
    with torch.no_grad():
        one = model(**{**short, "labels": short["input_ids"]}).loss
        other = model(**{**expanded, "labels": expanded["input_ids"]}).loss
    torch.testing.assert_close(one, other)


def test_a_loss_can_be_a_share_of_several_batches_mean() -> None:
    """As transformers' Trainer accumulates gradients: the sum over the number of tokens of all batches."""
    model = small_magma()
    with torch.no_grad():
        whole = model(**PROCESSOR.batch(MIXED)).loss
        count = sum(int((sample.labels[1:] != IGNORED).sum()) for sample in MIXED)
        shares = [model(**PROCESSOR.batch([sample]), num_items_in_batch=count).loss for sample in MIXED]
    torch.testing.assert_close(torch.stack(shares).sum(), whole)


def test_frequencies_of_positions_stay_exact_in_half_precision() -> None:
    exact = small_magma()
    half = small_magma().to(torch.bfloat16)
    rotary = [model.language_model.model.rotary_emb.inv_freq for model in (half, exact)]
    assert rotary[0].dtype == torch.float32
    assert torch.equal(rotary[0], rotary[1])


def test_a_caller_may_forbid_more_tokens() -> None:
    model = small_magma()
    batch = PROCESSOR.batch([PROMPTS[0]])
    (first,) = answers(model, batch)
    for options in (
        {"suppress_tokens": [first[0]]},
        {"generation_config": GenerationConfig(suppress_tokens=[first[0]], pad_token_id=PROCESSOR.ids.pad)},
    ):
        (other,) = answers(model, batch, **options)
        assert first[0] not in other
        assert PROCESSOR.ids.image not in other


def test_pads_are_seen_without_a_mask() -> None:
    model = small_magma()
    batch = PROCESSOR.batch(PROMPTS)
    expected = answers(model, batch)
    del batch["attention_mask"]
    assert answers(model, batch) == expected
    ids = batch.pop("input_ids")
    out = model.generate(inputs=ids, **batch, max_new_tokens=NEW, min_new_tokens=NEW)
    assert out[:, ids.shape[1] :].tolist() == expected


def test_a_row_without_an_image_stands_beside_one_with() -> None:
    model = small_magma()
    image = PROCESSOR.ids.image
    pixels = torch.randn(2, 1, 3, TILE, TILE)
    both = logits_of(
        model,
        {
            "input_ids": torch.tensor([[5, image, 6], [5, 6, 7]]),
            "pixel_values": pixels,
            "image_sizes": torch.tensor([[[1, 1]], [[0, 0]]]),
        },
    )
    text = logits_of(model, {"input_ids": torch.tensor([[5, 6, 7]])})
    torch.testing.assert_close(both[1, -3:], text[0], atol=1e-4, rtol=0)


def test_half_precision_takes_pixels_of_any_type() -> None:
    model = small_magma().to(torch.bfloat16)
    out = model(**PROCESSOR.batch(MIXED))
    assert out.logits.dtype == torch.bfloat16
    assert out.loss.dtype == torch.float32
    assert torch.isfinite(out.loss)


def test_the_initial_model_has_the_first_values_of_its_parts() -> None:
    torch.manual_seed(0)
    model = MagmaForCausalLM(small_config())
    assert not model.multi_modal_projector.row_seperator.any()
    assert torch.equal(model.vision_tower.trunk.stages[0].blocks[0].gamma, torch.full((8,), 1e-6))
    assert model.vision_tower.trunk.stem[0].weight.std() > 0
