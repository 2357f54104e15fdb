"""The image recipe: a picture -> pixels -> regions -> marks -> "locate all marks" -> sample."""

from typing import cast

from pipelines.batches import overlapped
from pipelines.config import config_hash
from pipelines.driver import Opening, Recipe, Split, Step
from pipelines.parts import parts_of
from pipelines.pictures import PictureDecoder, PictureOpener, mark, propose_step, split_pictures
from pipelines.version import code_version
from schemas.flow import Proposer
from schemas.pictures import ImageJob
from schemas.sample import Provenance
from transforms.encoding import encode_sample
from transforms.picture_samples import build_image_sample
from transforms.prompts import parse_templates

_FIRST_ID = 1
"""of the marks on a picture, as on a frame of a video"""


def image_recipe(config: ImageJob, proposer: Proposer | None = None) -> Recipe:
    """The steps of the image recipe; `proposer` replaces the configured one (your own function, or a fake)."""
    provenance = Provenance(config_hash=config_hash(config), code_version=code_version(), parts=parts_of(config))
    templates = parse_templates(cast(dict[str, str], config.text.templates))
    output = config.output
    steps = (
        Step(name="decode", run=PictureDecoder(config.picture).decode),
        propose_step(config, proposer),
        Step(name="marks", run=lambda seen: mark(seen, config.marks, seed=config.seed, first_id=_FIRST_ID)),
        Step(
            name="sample",
            run=lambda marked: build_image_sample(
                marked,
                dataset=config.dataset,
                proposer=config.proposer.name,
                templates=templates,
                bins=config.text.bins,
                keep_clean=output.clean,
                provenance=provenance,
            ),
        ),
        Step(name="encode", run=lambda finished: encode_sample(finished, jpeg_quality=output.jpeg_quality)),
    )
    return Recipe(
        root=config.source.root,
        open=Opening(name="open", run=PictureOpener(config).open),
        split=Split(name="split", run=lambda opened, beat: split_pictures(opened, config, beat)),
        steps=overlapped(steps, config),
    )
