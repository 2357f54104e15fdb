"""Texts of the data, of which a tokenizer is made where random weights have none."""

from collections.abc import Iterator
from itertools import islice
from typing import get_args

from model.chat import SYSTEM, Role
from schemas.sample import ANNOTATION_MEMBER
from schemas.training import TrainConfig
from train.index import read_index
from train.mixture import make_mixture
from train.preparing import BAD
from train.reading import read_sample
from transforms.encoding import decode_sample

_SAMPLES = 2000


def sample_texts(config: TrainConfig) -> Iterator[str]:
    """What the first samples of the training say, and every chat; bad ones are left to the training itself."""
    yield "\n".join([*get_args(Role), SYSTEM])
    indexes = [read_index(dataset) for dataset in config.data.mixture]
    mixture = make_mixture(config, indexes)
    most = min(_SAMPLES, sum(len(index) for index in indexes))
    draws = (draw for step in range(most) for draw in mixture.draw(step))
    for draw in islice(draws, most):
        try:
            _, members = read_sample(draw.uri, draw.offset, draw.size)
            sample = decode_sample(members.get(ANNOTATION_MEMBER, b""))
        except BAD:
            continue
        for turn in sample.turns:
            yield turn.content
