"""The file that `somtom capture` writes beside each screenshot: what can be seen on the page, and where."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from schemas.fields import Config
from schemas.page import Box
from schemas.roles import ROLES

CAPTURE_VERSION: Literal[1] = 1
MAX_TEXT = 200

_Size = tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]]


class CapturedElement(Config):
    """Something to read or to act on that is in view for the greater part; `box_xyxy` is that part.

    `text`: the words that are seen, else the name that assistive technology would say.
    """

    box_xyxy: Box
    role: str
    """a word of schemas/roles.py"""
    text: Annotated[str, Field(max_length=MAX_TEXT)]
    tag: str
    clickable: bool
    """whether it does something now: a disabled button does not"""
    editable: bool
    """whether it can be typed into now"""
    checked: bool
    disabled: bool

    @field_validator("role")
    @classmethod
    def _is_a_role(cls, role: str) -> str:
        if role not in ROLES:
            raise ValueError(f"{role!r} is no role; roles are {', '.join(filter(None, ROLES))}")
        return role


class CapturedPage(Config):
    """A page as a browser shows it. Boxes are in pixels of the screenshot, in the order of the document."""

    version: Literal[1]
    url: str
    """of a file only its name"""
    title: str
    language: str
    """as the page itself says, "" where it does not"""
    viewport_wh: _Size
    """in CSS pixels"""
    scale: Annotated[int, Field(ge=1)]
    """pixels of the screenshot per CSS pixel"""
    page_wh: _Size
    """the screenshot's size, in its pixels"""
    elements: list[CapturedElement]
