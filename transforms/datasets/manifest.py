"""A table of segments: uri, start_s, end_s, text, text_override, id, licence. Only uri is required; other columns are
left alone."""

import math
from typing import Any

from schemas.flow import Record, Row


def parse_manifest(row: Row, *, licence: str) -> Record:
    """A row to a record; empty cells mean the default: the whole file, no text, the source's licence.

    `text_override` (a re-caption, say) replaces `text`; the id defaults to the URI and the times.

    Raises:
        ValueError: no uri, a time that is no number, NaN or negative, an end that does not come after the start.
    """
    uri = _text(row, "uri")
    if not uri:
        raise ValueError("uri is empty; name the video")
    start_s = _seconds(row, "start_s", 0.0)
    end_s = _seconds(row, "end_s", math.inf)
    if math.isinf(start_s):
        raise ValueError(f"start_s is {start_s}; give seconds from the start of the video")
    if end_s <= start_s:
        raise ValueError(f"end_s {end_s:g} does not come after start_s {start_s:g}; swap or mend them")
    whole = start_s == 0 and math.isinf(end_s)
    return Record(
        record_id=_text(row, "id") or (uri if whole else f"{uri}#{start_s!r}-{end_s!r}"),
        uri=uri,
        start_s=start_s,
        end_s=end_s,
        text=_text(row, "text_override") or _text(row, "text"),
        licence=_text(row, "licence") or licence,
    )


def _text(row: Row, column: str) -> str:
    value = row.get(column)
    return "" if value is None else str(value).strip()


def _seconds(row: Row, column: str, default: float) -> float:
    value: Any = row.get(column)
    if value is None or value == "":
        return default
    try:
        seconds = float(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{column} is {value!r}; give seconds as a number") from error
    if math.isnan(seconds) or seconds < 0:
        raise ValueError(f"{column} is {seconds}; give seconds of 0 or more")
    return seconds
