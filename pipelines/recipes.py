"""From a config to its recipe, with the process set up so that results depend on nothing but the inputs."""

from pipelines.driver import Recipe
from schemas.config import VideoJob
from schemas.jobs import JobConfig
from schemas.pictures import ImageJob, UiJob


def build_recipe(config: JobConfig) -> Recipe:
    """The recipe of a config. OpenCV is held to one thread: workers are one per core, and sums keep their order."""
    import av
    import cv2

    cv2.setNumThreads(1)
    av.logging.set_level(None)
    match config:
        case VideoJob():
            from pipelines.video import video_recipe

            return video_recipe(config)
        case UiJob():
            from pipelines.ui import ui_recipe

            return ui_recipe(config)
        case ImageJob():
            from pipelines.image import image_recipe

            return image_recipe(config)
