"""From a config to its recipe, with the process set up so that results depend on nothing but the inputs."""

from pipelines.driver import Recipe
from schemas.config import JobConfig
from schemas.sample import Part


def build_recipe(config: JobConfig) -> Recipe:
    """The recipe of a config. OpenCV is held to one thread: workers are one per core, and sums keep their order."""
    import av
    import cv2

    cv2.setNumThreads(1)
    av.logging.set_level(None)
    match config.recipe:
        case "video":
            from pipelines.video import video_recipe

            return video_recipe(config)


def parts_of(config: JobConfig) -> list[Part]:
    """The parts that take a share in a config's samples, with their licences."""
    return [
        Part(role="tracker", name=config.tracker.name, licence="Apache-2.0"),
        Part(role="camera", name=config.camera.name, licence="Apache-2.0"),
        Part(role="shots", name=config.shots.name, licence="BSD-3-Clause"),
    ]
