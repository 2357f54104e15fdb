"""What a dataset says of one picture, in one form for all of them: its elements, and what is asked of it."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from schemas.fields import Config

Box = Annotated[list[float], Field(min_length=4, max_length=4)]


class PageElement(Config):
    """A box that comes with a dataset; `role` as in schemas/roles.py, "" where nobody knows."""

    box_xyxy: Box
    text: str = ""
    role: str = ""


class PageTask(Config):
    """Something that is asked of a picture, with its answer.

    - locate: `text` is an instruction or an expression, `box_xyxy` (or `xy`) what it means.
    - describe: `box_xyxy` is shown, `text` says what it is.
    - summarise: `text` says what the whole picture is.
    - act: `text` is a goal, `history` what was done for it so far, the answer is `operation` with its `value` on
      `box_xyxy` or `xy`, where it has a place; on a phone, or (browse) in a web browser.
    """

    kind: Literal["locate", "describe", "summarise", "act", "browse"]
    text: str
    box_xyxy: Annotated[list[float], Field(max_length=4)] = []
    xy: Annotated[list[float], Field(max_length=2)] = []
    operation: str = ""
    """click, long_press, type, select, hover, enter, swipe (value: up, down, left, right: where the finger goes),
    navigate (value: back, home, enter), open_app, wait, status (value: complete, impossible)"""
    value: str = ""
    history: list[str] = []

    @model_validator(mode="after")
    def _has_whole_places(self) -> "PageTask":
        if len(self.box_xyxy) not in (0, 4) or len(self.xy) not in (0, 2):
            raise ValueError(f"box_xyxy is {self.box_xyxy}, xy is {self.xy}; give 4 numbers and 2, or none")
        return self


class Page(Config):
    """Boxes and points are in `units`: pixels of the whole picture, or shares 0..1 of its width and height."""

    units: Literal["pixels", "shares"] = "pixels"
    elements: list[PageElement] = []
    tasks: list[PageTask] = []
