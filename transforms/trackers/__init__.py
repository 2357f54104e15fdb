"""Point trackers: one file each, built from its config."""

from collections.abc import Callable, Sequence
from functools import partial

from schemas.config import LucasKanadeTracker, TrackerConfig
from schemas.flow import Clip, Float, Tracker, Tracks
from schemas.networks import CoTrackerTracker


def clip_by_clip(follow: Callable[[Clip, Float], Tracks]) -> Tracker:
    """The tracker that a function of one clip and its points_N2 is."""

    def track(clips: Sequence[Clip], points: Sequence[Float]) -> list[Tracks]:
        return [follow(clip, points_N2) for clip, points_N2 in zip(clips, points, strict=True)]

    return track


def build_tracker(config: TrackerConfig, weights: str = "", device: str = "auto") -> Tracker:
    """The tracker that `config` describes; imports only what that one needs.

    `weights`: path of the file of a network's weights, checked; `device`: what the network runs on (`run.device`).
    """
    match config:
        case LucasKanadeTracker():
            from transforms.trackers.lucas_kanade import track_lucas_kanade

            follow = partial(
                track_lucas_kanade,
                window=config.window,
                levels=config.levels,
                max_forward_backward=config.max_forward_backward,
                min_similarity=config.min_similarity,
            )
            return clip_by_clip(follow)
        case CoTrackerTracker():
            from transforms.trackers.cotracker import build_cotracker

            return build_cotracker(config, weights, device)
