"""Our rules as a job runs them: the steps of the video recipe, from a clip to its marks."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pipelines.config import load_config
from schemas.flow import Clip, Judged, Marked, Rejected, Steadied, Tracked

_STEPS = ("track", "camera", "motion", "marks")


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcome:
    """How far a clip came; `rejected` says where it ended, if it did."""

    tracked: Tracked | None = None
    steadied: Steadied | None = None
    judged: Judged | None = None
    marked: Marked | None = None
    rejected: Rejected | None = None


def run_ours(clip: Clip, overrides: Sequence[str] = (), points_only: bool = False) -> Outcome:
    """Runs the steps up to the marks (or up to what moves); `overrides` are as for `somtom run`."""
    value: Any = clip
    reached: dict[str, Any] = {}
    for name, run in _steps(tuple(overrides)):
        if points_only and name == "marks":
            break
        value = run(value)
        match value:
            case Rejected():
                return Outcome(rejected=value, **reached)
            case Tracked():
                reached["tracked"] = value
            case Steadied():
                reached["steadied"] = value
            case Judged():
                reached["judged"] = value
            case Marked():
                reached["marked"] = value
    return Outcome(**reached)


@lru_cache(maxsize=1)
def _steps(overrides: tuple[str, ...]) -> tuple[tuple[str, Any], ...]:
    from pipelines.video import video_recipe

    recipe = video_recipe(load_config("video", ["source.uris=['x']", *overrides]))
    return tuple((step.name, step.run) for step in recipe.steps if step.name in _STEPS)
