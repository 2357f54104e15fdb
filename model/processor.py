"""Chats and pictures to what the network reads, for training and for answers.

Letters: L positions of a chat, N tiles of its images, n images, S side of a tile in pixels, B rows of a batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import BatchFeature, PreTrainedTokenizerFast, ProcessorMixin

from model.chat import Encoded, Message, encode, render
from model.config import Grid, MagmaConfig, image_tokens
from model.images import AnyImage, MagmaImageProcessor, frame_indices
from model.merge import IGNORED, expand_images
from model.tokenizer import IMAGE, special_ids


class TooLongError(ValueError):
    """A chat takes more positions than it may."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sample:
    """One chat: ids with an image token for each vector of an image, labels (-100: not supervised), tiles and grids.

    `input_ids`, `labels` int64 [L]; `pixel_values` float32 [N, 3, S, S]; `image_sizes` int64 [n, 2] rows, columns.
    A prompt has no labels.
    """

    input_ids: Tensor
    labels: Tensor | None
    pixel_values: Tensor
    image_sizes: Tensor


class MagmaProcessor(ProcessorMixin):
    """Tokenizer and image processor in one; `prompt` and `supervised` make samples, `batch` puts them side by side.

    `max_length`: positions that a chat may take, image vectors counted. `wrap_images`: `<image>` goes between
    `<image_start>` and `<image_end>`; None: where the tokenizer has these.
    """

    def __init__(
        self,
        image_processor: MagmaImageProcessor,
        tokenizer: PreTrainedTokenizerFast,
        chat_template: str | None = None,
        max_length: int = 8192,
        wrap_images: bool | None = None,
    ) -> None:
        super().__init__(image_processor, tokenizer, chat_template=chat_template or tokenizer.chat_template)
        self.ids = special_ids(tokenizer)
        self.max_length = max_length
        self.wrap_images = self.ids.image_start is not None if wrap_images is None else wrap_images

    @classmethod
    def for_config(cls, config: MagmaConfig, tokenizer: PreTrainedTokenizerFast) -> "MagmaProcessor":
        """The processor of a model: its tile, strategy, context and way to write images."""
        vision = config.vision_config
        images = MagmaImageProcessor(anyres_strategy=vision.img_anyres_strategy, base_img_size=vision.img_size)
        return cls(
            images,
            tokenizer,
            max_length=config.text_config.max_position_embeddings,
            wrap_images=config.mm_use_image_start_end,
        )

    def prompt(
        self,
        messages: Sequence[Message],
        images: AnyImage | Sequence[AnyImage] = (),
        *,
        video: Sequence[AnyImage] = (),
        num_frames: int = 32,
        action_ids: Sequence[int] = (),
        num_crops: int | None = None,
        max_length: int | None = None,
    ) -> Sample:
        """A chat that ends where the answer begins.

        `video`: frames, of which `num_frames` evenly spaced ones are shown, one tile each, before all else in the first
        question. A frame of 512 pixels takes 272 positions: 32, as many as the release was evaluated with, need a
        `max_length` beyond LLaMA-3's 8192. `action_ids`: those of the answers before, one for each `<action>`.
        ValueError tells what is too long, too many or unknown.
        """
        images = _listed(images)
        if len(video):
            if images:
                raise ValueError("images and a video are given; give one of them")
            images = [video[index] for index in frame_indices(len(video), num_frames)]
            messages = _with_frames(messages, len(images))
            num_crops = num_crops or 1
        encoded = encode(
            self.tokenizer, messages, wrap_images=self.wrap_images, generation_prompt=True, action_ids=action_ids
        )
        return replace(self._sample(encoded, images, num_crops, max_length), labels=None)

    def supervised(
        self,
        messages: Sequence[Message],
        images: AnyImage | Sequence[AnyImage] = (),
        *,
        action_ids: Sequence[int] = (),
        trained_tail: int | None = None,
        num_crops: int | None = None,
        max_length: int | None = None,
    ) -> Sample:
        """A chat with its answers, for training; the arguments are those of `prompt` and of `chat.encode`.

        ValueError too where nothing of it would be trained.
        """
        encoded = encode(
            self.tokenizer,
            messages,
            wrap_images=self.wrap_images,
            action_ids=action_ids,
            trained_tail=trained_tail,
        )
        if all(label == IGNORED for label in encoded.labels):
            raise ValueError(
                "no supervised token: the chat has no answer after a question, or a text holds a token of the layout"
            )
        return self._sample(encoded, _listed(images), num_crops, max_length)

    def _sample(
        self, encoded: Encoded, images: list[AnyImage], num_crops: int | None, max_length: int | None
    ) -> Sample:
        asked = encoded.input_ids.count(self.ids.image)
        _check_count(asked, len(images))
        tiles = self.image_processor(images, num_crops=num_crops)
        lengths = self._lengths(tiles["image_sizes"])
        limit = self.max_length if max_length is None else max_length
        total = len(encoded.input_ids) - asked + sum(lengths)
        _check_length(total, sum(lengths), asked, limit)
        ids_1L = torch.tensor([encoded.input_ids])
        layout = expand_images(
            ids_1L,
            torch.ones_like(ids_1L),
            torch.tensor([encoded.labels]),
            lengths=lengths,
            image_id=self.ids.image,
            pad_id=self.ids.pad,
            padding_side="right",
        )
        return Sample(
            input_ids=layout.input_ids[0],
            labels=None if layout.labels is None else layout.labels[0],
            pixel_values=tiles["pixel_values"],
            image_sizes=tiles["image_sizes"],
        )

    def _lengths(self, image_sizes: Tensor) -> list[int]:
        return [image_tokens(Grid(*size), self.image_processor.base_img_size) for size in image_sizes.tolist()]

    def batch(self, samples: Sequence[Sample], *, padding_side: str = "left") -> BatchFeature:
        """Samples side by side for the model: ids, mask and labels [B, L] (prompts have none), all tiles, all grids."""

        def padded(rows: list[Tensor], filler: int) -> Tensor:
            return pad_sequence(rows, batch_first=True, padding_value=filler, padding_side=padding_side)

        if not samples:
            raise ValueError("a batch of no samples; give one at least")
        labels = [sample.labels for sample in samples if sample.labels is not None]
        if len(labels) not in (0, len(samples)):
            raise ValueError(f"{len(samples) - len(labels)} of {len(samples)} samples are prompts; batch them apart")
        features = {
            "input_ids": padded([sample.input_ids for sample in samples], self.ids.pad),
            "attention_mask": padded([torch.ones_like(sample.input_ids) for sample in samples], 0),
            "pixel_values": torch.cat([sample.pixel_values for sample in samples]),
            "image_sizes": torch.cat([sample.image_sizes for sample in samples]),
        }
        return BatchFeature(features | ({"labels": padded(labels, IGNORED)} if labels else {}))

    def __call__(
        self,
        images: Any = None,
        text: str | Sequence[str] | None = None,
        *,
        texts: str | Sequence[str] | None = None,
        num_crops: int | None = None,
        return_tensors: str | None = "pt",
        **options: Any,
    ) -> BatchFeature:
        """Text in the chat layout already, as the release's scripts call it; `options` are the tokenizer's.

        `texts` is the release's name for `text`. One `<image>` token stays for each image;
        `pixel_values` [N, 3, S, S] and `image_sizes` [n, 2] are not padded.
        """
        given = texts if text is None else text
        if given is None:
            raise ValueError("no text is given; give the prompt, with <image> where an image belongs")
        listed = [given] if isinstance(given, str) else list(given)
        pictures = _listed(() if images is None else images)
        _check_count(sum(one.count(IMAGE) for one in listed), len(pictures))
        features = dict(self.tokenizer(listed, return_tensors=return_tensors, **options))
        tiles = self.image_processor(pictures, num_crops=num_crops)
        lengths = iter(self._lengths(tiles["image_sizes"]))
        for one, ids in zip(listed, features["input_ids"], strict=True):
            shown = one.count(IMAGE)
            vectors = sum(islice(lengths, shown))
            _check_length(len(ids) - shown + vectors, vectors, shown, self.max_length)
        return BatchFeature(features | (dict(tiles) if pictures else {}))

    def apply_chat_template(self, conversation: Sequence[Any], **options: Any) -> Any:
        """The text of a chat for `__call__`, as `prompt` lays it out; contents may be lists of texts and images."""
        if options.get("tokenize", False) or options.get("return_dict", False):
            raise ValueError("ids of a chat are made by `prompt` and `supervised`, which count BOS as the release does")
        messages = [Message(role=message["role"], content=_text(message["content"])) for message in conversation]
        asks = options.get("add_generation_prompt", False)
        return render(messages, wrap_images=self.wrap_images, generation_prompt=asks).text


def _listed(images: Any) -> list[AnyImage]:
    return list(images) if isinstance(images, list | tuple) else [images]


def _check_count(asked: int, given: int) -> None:
    if asked != given:
        raise ValueError(f"the text has {asked} {IMAGE} tokens, but {given} images are given")


def _check_length(total: int, vectors: int, images: int, limit: int) -> None:
    if total > limit:
        raise TooLongError(
            f"the chat takes {total} positions, {vectors} of them for {images} images; the limit is {limit}: "
            "give fewer images or tiles (num_crops), a shorter text, or a higher max_length"
        )


def _text(content: Any) -> Any:
    """Content in transformers' form, a list of {"type": "image"} and {"type": "text", "text": …}, as text."""
    if not isinstance(content, list):
        return content
    return "".join(f"{IMAGE}\n" if part.get("type") == "image" else part.get("text", "") for part in content)


def _with_frames(messages: Sequence[Message], count: int) -> list[Message]:
    first = next((place for place, message in enumerate(messages) if message["role"] == "user"), None)
    if first is None:
        raise ValueError("a video needs a question that it belongs to; give a message of the user")
    asked = Message(role="user", content=f"{IMAGE}\n" * count + messages[first]["content"])
    return [*messages[:first], asked, *messages[first + 1 :]]
