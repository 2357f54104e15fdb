from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from model.chat import Message
from model.config import Grid, image_tokens
from model.merge import IGNORED
from model.processor import MagmaProcessor
from tests.model.small import TILE, chat, picture, small_config, small_processor, supervised, tokenizer

PROCESSOR = small_processor()


def text_of(ids: torch.Tensor) -> str:
    return tokenizer().decode(ids)


def test_an_image_token_stands_for_each_vector_of_the_image() -> None:
    sample = PROCESSOR.prompt(chat("<image>\nWhere?"), [picture((120, 50))])
    assert sample.image_sizes.tolist() == [[1, 2]]
    assert sample.pixel_values.shape == (2, 3, TILE, TILE)
    assert int((sample.input_ids == PROCESSOR.ids.image).sum()) == image_tokens(Grid(1, 2), TILE) == 10
    assert text_of(sample.input_ids).endswith("Where?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n")
    assert sample.labels is None


def test_answers_are_supervised_and_images_are_not() -> None:
    sample = supervised(PROCESSOR, [(60, 60), (50, 120)], "To the left.")
    assert sample.labels is not None
    trained = sample.labels != IGNORED
    assert text_of(sample.input_ids[trained]) == "To the left.<|eot_id|>"
    assert torch.equal(sample.labels[trained], sample.input_ids[trained])
    assert len(sample.labels) == len(sample.input_ids)


def test_a_trained_tail_leaves_images_out() -> None:
    sample = PROCESSOR.supervised(chat("<image>\nWhere?", "There."), picture((60, 60)), trained_tail=35)
    assert sample.labels is not None
    trained = sample.labels != IGNORED
    assert int(trained.sum()) == 34, "one of the 35 is the image's token"
    assert not trained[sample.input_ids == PROCESSOR.ids.image].any()


def test_actions_take_the_places_of_their_placeholders() -> None:
    ids = list(range(PROCESSOR.ids.base_vocab - 7, PROCESSOR.ids.base_vocab))
    sample = PROCESSOR.supervised(chat("What to do?", "<action>" * 7), action_ids=ids)
    assert sample.labels is not None
    assert sample.labels[sample.labels != IGNORED].tolist() == [*ids, PROCESSOR.ids.eot]


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_batch_pads_where_it_is_told(side: str) -> None:
    samples = [supervised(PROCESSOR, [(60, 60)]), supervised(PROCESSOR, [])]
    batch = PROCESSOR.batch(samples, padding_side=side)
    long, short = (len(sample.input_ids) for sample in samples)
    pads = slice(0, long - short) if side == "left" else slice(short, long)
    assert batch["input_ids"].shape == batch["labels"].shape == (2, long)
    assert set(batch["input_ids"][1, pads].tolist()) == {PROCESSOR.ids.pad}
    assert not batch["attention_mask"][1, pads].any()
    assert int(batch["attention_mask"].sum()) == long + short
    assert set(batch["labels"][1, pads].tolist()) == {IGNORED}
    assert len(batch["pixel_values"]) == len(batch["image_sizes"]) == 1


def test_prompts_and_answers_are_batched_apart() -> None:
    with pytest.raises(ValueError, match="1 of 2 samples are prompts"):
        PROCESSOR.batch([supervised(PROCESSOR, []), PROCESSOR.prompt(chat("Where?"))])
    assert "labels" not in PROCESSOR.batch([PROCESSOR.prompt(chat("Where?"))])


@pytest.mark.parametrize("wrap", [True, False])
def test_images_are_wrapped_as_the_model_was_trained(wrap: bool) -> None:
    config = small_config()
    config.mm_use_image_start_end = wrap
    sample = small_processor(config).prompt(chat("<image>\nWhere?"), [picture((60, 60))])
    assert ("<image_start><image>" in text_of(sample.input_ids)) is wrap


def test_frames_of_a_video_are_evenly_spaced_and_of_one_tile() -> None:
    video = [np.full((100, 300, 3), number, dtype=np.uint8) for number in range(63)]
    sample = PROCESSOR.prompt(chat("What happens?"), video=video)
    assert sample.image_sizes.tolist() == [[1, 1]] * 32
    darkest = PROCESSOR.image_processor(video[0], num_crops=1)["pixel_values"].mean()
    brightest = PROCESSOR.image_processor(video[62], num_crops=1)["pixel_values"].mean()
    means = sample.pixel_values.mean(dim=(1, 2, 3))
    torch.testing.assert_close(means[[0, 31]], torch.stack([darkest, brightest]))
    assert (means.diff() > 0).all()
    assert text_of(sample.input_ids).index("<image>") < text_of(sample.input_ids).index("What happens?")


def test_a_short_video_shows_each_frame_once() -> None:
    sample = PROCESSOR.prompt(chat("What happens?"), video=[picture((60, 60), seed) for seed in range(3)])
    assert len(sample.image_sizes) == 3


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "I;16"])
def test_pictures_of_any_mode_are_taken(mode: str) -> None:
    image = Image.new(mode, (60, 60))
    assert PROCESSOR.prompt(chat("<image>\nWhere?"), [image]).pixel_values.shape == (1, 3, TILE, TILE)


@pytest.mark.parametrize(
    ("messages", "images", "options", "named"),
    [
        (chat("<image>\n<image>\nWhere?"), 1, {}, "2 <image> tokens, but 1 images"),
        (chat("Where?"), 1, {}, "0 <image> tokens, but 1 images"),
        (chat("<image>\n" * 60), 60, {}, r"the chat takes \d+ positions, 360 of them for 60 images; the limit is 512"),
        (chat("long " * 300), 0, {}, "the limit is 512"),
        (chat("Where?"), 0, {"max_length": 20}, "the limit is 20"),
        (chat("Where?"), 1, {"video": [picture((60, 60))]}, "images and a video"),
        ([{"role": "system", "content": "Act."}], 0, {"video": [picture((60, 60))]}, "a question that it belongs to"),
        (chat("Where?", "There."), 0, {}, "an answer already"),
        ([], 0, {}, "without messages"),
    ],
)
def test_what_a_prompt_cannot_be_is_named(
    messages: list[Message], images: int, options: dict[str, Any], named: str
) -> None:
    with pytest.raises(ValueError, match=named):
        PROCESSOR.prompt(messages, [picture((60, 60))] * images, **options)


@pytest.mark.parametrize(
    "messages", [chat("Where?"), [{"role": "assistant", "content": "Hi."}], chat("a <|eot_id|> b", "There.")]
)
def test_a_chat_that_trains_nothing_is_named(messages: list[Message]) -> None:
    with pytest.raises(ValueError, match="no supervised token"):
        PROCESSOR.supervised(messages)


def test_a_text_over_the_usual_length_is_taken_where_that_is_asked_for() -> None:
    assert len(PROCESSOR.prompt(chat("long " * 300), max_length=5000).input_ids) > 512


def test_called_as_the_scripts_of_the_release_do() -> None:
    text = tokenizer().apply_chat_template(chat("<image_start><image><image_end>\nWhere?"), tokenize=False)
    for name in ("text", "texts"):
        features = PROCESSOR(images=picture((120, 50)), **{name: text}, return_tensors="pt")
        assert features["pixel_values"].shape == (2, 3, TILE, TILE)
        assert features["image_sizes"].tolist() == [[1, 2]]
        assert features["input_ids"][0, :2].tolist() == [PROCESSOR.ids.bos] * 2, "one by the template, one more"
        assert (features["input_ids"] == PROCESSOR.ids.image).sum() == 1
    with pytest.raises(ValueError, match="1 <image> tokens, but 0 images"):
        PROCESSOR(text=text)
    with pytest.raises(ValueError, match="no text is given"):
        PROCESSOR(images=picture((60, 60)))


def test_a_text_in_the_chat_layout_is_held_to_the_context_too() -> None:
    with pytest.raises(ValueError, match=r"takes 601 positions, 0 of them for 0 images; the limit is 512"):
        PROCESSOR(text="\n" * 600)
    with pytest.raises(ValueError, match=r"600 of them for 100 images; the limit is 512"):
        PROCESSOR(text=["Where?", "<image>" * 100], images=[picture((60, 60))] * 100, padding=True)


@pytest.mark.parametrize("form", ["text", "parts"])
def test_the_chat_template_is_that_of_prompts(form: str) -> None:
    parts = [{"type": "image"}, {"type": "text", "text": "Where?"}]
    content = "<image>\nWhere?" if form == "text" else parts
    text = PROCESSOR.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    called = PROCESSOR(text=text, images=picture((60, 60)))["input_ids"][0]
    made = PROCESSOR.prompt(chat("<image>\nWhere?"), picture((60, 60))).input_ids
    assert called.tolist() == _with_one_token_an_image(made)
    with pytest.raises(ValueError, match="made by `prompt`"):
        PROCESSOR.apply_chat_template(chat("Where?"), tokenize=True)


def _with_one_token_an_image(ids: torch.Tensor) -> list[int]:
    image = PROCESSOR.ids.image
    return [one for place, one in enumerate(ids.tolist()) if one != image or ids[place - 1] != image]


def test_a_picture_whose_file_is_cut_short_is_named(tmp_path: Path) -> None:
    Image.fromarray(picture((200, 200))).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:3000])
    with pytest.raises(ValueError, match=r"image 1, '.*cut.png', can't be read: .*truncated"):
        PROCESSOR.prompt(chat("<image>\n<image>\n?"), [picture((60, 60)), Image.open(tmp_path / "cut.png")])


def test_nothing_is_no_batch() -> None:
    with pytest.raises(ValueError, match="a batch of no samples"):
        PROCESSOR.batch([])


def test_ids_that_are_no_actions_are_named() -> None:
    with pytest.raises(ValueError, match="id 5 is no action"):
        PROCESSOR.supervised(chat("What?", "<action>"), action_ids=[5])


def test_it_survives_its_folder(tmp_path: Path) -> None:
    config = small_config(strategy="global")
    config.mm_use_image_start_end = False
    saved = MagmaProcessor.for_config(config, tokenizer())
    saved.save_pretrained(tmp_path)
    read = MagmaProcessor.from_pretrained(tmp_path)
    assert (read.max_length, read.wrap_images, read.ids) == (512, False, saved.ids)
    assert read.image_processor.to_dict() == saved.image_processor.to_dict()
    prompt = read.prompt(chat("<image>\nWhere?"), [picture((60, 60))])
    assert torch.equal(prompt.input_ids, saved.prompt(chat("<image>\nWhere?"), [picture((60, 60))]).input_ids)
