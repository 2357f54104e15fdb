"""Proposers of regions: one file each, built from its config."""

from functools import partial

from schemas.flow import Proposer
from schemas.networks import SamProposer, YoloProposer
from schemas.proposers import (
    AndroidProposer,
    DomProposer,
    GivenProposer,
    GridProposer,
    PixelsProposer,
    ProposerConfig,
    SegmentsProposer,
)


def build_proposer(config: ProposerConfig, weights: str = "", device: str = "auto") -> Proposer:
    """The proposer that `config` describes; imports only what that one needs.

    `weights`: path of the file of a network's weights, checked; `device`: what the network runs on (`run.device`).
    """
    match config:
        case DomProposer():
            from transforms.proposers.dom import propose_dom

            return propose_dom
        case AndroidProposer():
            from transforms.proposers.android import propose_android

            return propose_android
        case GivenProposer():
            from transforms.proposers.given import propose_given

            return propose_given
        case PixelsProposer():
            from transforms.proposers.pixels import build_pixels

            return build_pixels(config)
        case SegmentsProposer():
            from transforms.proposers.segments import propose_segments

            return partial(propose_segments, most=config.most)
        case GridProposer():
            from transforms.proposers.grid import propose_grid

            return partial(propose_grid, columns=config.columns, rows=config.rows)
        case SamProposer():
            from transforms.proposers.sam import build_sam

            return build_sam(config, weights, device)
        case YoloProposer():
            from transforms.proposers.yolo import build_yolo

            return build_yolo(config, weights, device)
