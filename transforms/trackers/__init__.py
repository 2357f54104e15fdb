"""Point trackers: one file each, built from its config."""

from functools import partial

from schemas.config import LucasKanadeTracker, TrackerConfig
from schemas.flow import Tracker


def build_tracker(config: TrackerConfig) -> Tracker:
    """The tracker that `config` describes; imports only what that one needs."""
    match config:
        case LucasKanadeTracker():
            from transforms.trackers.lucas_kanade import track_lucas_kanade

            return partial(
                track_lucas_kanade,
                window=config.window,
                levels=config.levels,
                max_forward_backward=config.max_forward_backward,
                min_similarity=config.min_similarity,
            )
