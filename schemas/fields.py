"""What the models of all configs are made of: a closed, frozen base and the kinds of numbers.

Thresholds survive a change of fps and resolution: lengths are fractions of the image diagonal, speeds diagonals per
second, times seconds.
"""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


Uris = Annotated[list[str], Field(min_length=1), BeforeValidator(_listed)]
"""one that stands alone need be no list"""


class Config(BaseModel):
    """Closed and frozen: an unknown field is an error, not a silent default."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
