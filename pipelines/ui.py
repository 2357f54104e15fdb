"""The UI recipe: a screen -> windows -> pixels -> elements -> marks -> questions and answers -> sample."""

from typing import cast

from pipelines.batches import overlapped
from pipelines.config import config_hash
from pipelines.driver import Opening, Recipe, Split, Step
from pipelines.parts import parts_of
from pipelines.pictures import PictureDecoder, PictureOpener, mark, propose_step, split_pictures
from pipelines.version import code_version
from schemas.flow import FinishedSample, MarkedPicture, Proposer, Rejected
from schemas.pictures import UiJob
from schemas.proposers import AndroidProposer, DomProposer, PixelsProposer
from schemas.sample import Provenance
from transforms.encoding import encode_sample
from transforms.keys import rng_for
from transforms.picture_samples import build_screen_sample
from transforms.ui_prompts import UiTemplates, parse_ui_templates
from transforms.ui_turns import page_turns

_FIRST_ID = 0
"""of the marks on a screen, as the released model was trained"""


def ui_recipe(config: UiJob, proposer: Proposer | None = None) -> Recipe:
    """The steps of the UI recipe; `proposer` replaces the configured one (your own function, or a fake)."""
    provenance = Provenance(config_hash=config_hash(config), code_version=code_version(), parts=parts_of(config))
    templates = parse_ui_templates(cast(dict[str, object], config.text.templates))
    steps = (
        Step(name="decode", run=PictureDecoder(config.picture).decode),
        propose_step(config, proposer),
        Step(name="marks", run=lambda seen: mark(seen, config.marks, seed=config.seed, first_id=_FIRST_ID)),
        Step(name="sample", run=lambda marked: screen_sample(marked, config, templates, provenance)),
        Step(name="encode", run=lambda finished: encode_sample(finished, jpeg_quality=config.output.jpeg_quality)),
    )
    return Recipe(
        root=config.source.root,
        open=Opening(name="open", run=PictureOpener(config).open),
        split=Split(name="split", run=lambda opened, beat: split_pictures(opened, config, beat)),
        steps=overlapped(steps, config),
    )


def screen_sample(
    marked: MarkedPicture, config: UiJob, templates: UiTemplates, provenance: Provenance
) -> FinishedSample | Rejected:
    """The questions about a marked screen, as a sample.

    Fields are not asked for where the proposer only guesses from its looks what a field is.
    """
    guesses = isinstance(config.proposer, PixelsProposer)
    turns, targets = page_turns(
        marked,
        templates,
        config.text.model_copy(update={"input_weights": {}}) if guesses else config.text,
        rng_for(config.seed, marked.picture.key, "text"),
        # these trees name every field: where they name none, there is none
        ask_for_inputs=isinstance(config.proposer, DomProposer | AndroidProposer),
    )
    return build_screen_sample(
        marked,
        turns,
        targets,
        dataset=config.dataset,
        proposer=config.proposer.name,
        keep_clean=config.output.clean,
        provenance=provenance,
    )
