"""An animated GIF of one clip: what was filmed beside what is left once the camera's motion is taken away.

Letters: T frames, S frames from the reference frame on, N points, H height, W width.
"""

import io
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from schemas.flow import Bool, Float, Marked
from transforms.drawing import Pixels, draw_marks, draw_traces, trace_colour

_LONG_SIDE_PX = 480
_CAPTION_PX = 28
_GUTTER_PX = 4
_BACKGROUND = (28, 30, 34)
_OUTSIDE = (58, 61, 66)
_TEXT = (236, 236, 232)
_MARKED_FRAME_S = 0.6
_LAST_FRAME_S = 0.8
_N_PALETTE_FRAMES = 6

_Trace = tuple[int, Float, Bool]


def trace_gif(marked: Marked) -> bytes:
    """GIF at the clip's rate, without end; the marked frame and the last one stand a little longer.

    Left: the clip as filmed with the tracks of the moving marks. Right: every frame seen from the reference camera with
    the traces, at the clip's own frames. Both begin with the marked frame. Without moving marks those that stand still
    are followed.
    """
    clip, reference = marked.clip, marked.reference
    scale = min(1.0, _LONG_SIDE_PX / max(clip.size_wh))
    size_wh = (max(1, round(clip.size_wh[0] * scale)), max(1, round(clip.size_wh[1] * scale)))
    scale_xy = np.array(size_wh) / np.array(clip.size_wh)
    tracks = _followed(marked, marked.tracks.xy_TN2, scale_xy)
    traces = _followed(marked, marked.motion.steady_xy_TN2, scale_xy)
    captions = ("as filmed", "camera motion removed" if marked.camera.moving else "camera stands still")

    frames = []
    for t, frame_HW3 in enumerate(clip.frames_THW3):
        small_HW3 = np.asarray(cv2.resize(frame_HW3, size_wh, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        steady_HW3 = _from_reference(small_HW3, marked.camera.homographies_T33[t], scale_xy)
        panels = (_panel(small_HW3, tracks, t - reference), _panel(steady_HW3, traces, t - reference))
        note = "marked frame   " if t == reference else ""
        frames.append(_side_by_side(panels, captions, f"{note}{clip.times_s_T[t]:.2f} s"))
    return _encoded(frames, clip.fps, reference)


def _followed(marked: Marked, xy_TN2: Float, scale_xy: Float) -> list[_Trace]:
    """The points of the moving marks (of all where none moves) from the reference frame on, in the GIF's pixels."""
    followed = [mark for mark in marked.marks if mark.kind == "moving"] or list(marked.marks)
    xy_SN2 = np.asarray(xy_TN2[marked.reference :], dtype=np.float64) * scale_xy
    visible_SN = marked.tracks.visible_TN[marked.reference :]
    return [(mark.id, xy_SN2[:, mark.track], visible_SN[:, mark.track]) for mark in followed]


def _from_reference(frame_HW3: Pixels, homography_33: npt.NDArray[np.float64], scale_xy: Float) -> Pixels:
    """A shrunk frame seen from the reference camera; the homography is that of the frame before shrinking."""
    if np.array_equal(homography_33, np.eye(3)):
        return frame_HW3
    shrink_33 = np.diag([*scale_xy, 1.0])
    to_corner_33 = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])  # OpenCV counts from the first pixel's centre
    steps = (np.linalg.inv(to_corner_33), shrink_33, homography_33, np.linalg.inv(shrink_33), to_corner_33)
    size_wh = (frame_HW3.shape[1], frame_HW3.shape[0])
    warped_HW3 = cv2.warpPerspective(frame_HW3, np.linalg.multi_dot(steps), size_wh, borderValue=_OUTSIDE)
    return np.asarray(warped_HW3, dtype=np.uint8)


def _panel(frame_HW3: Pixels, traces: Sequence[_Trace], step: int) -> Pixels:
    """A frame with what the marks have done until `step` (nothing below 0); the ids stay where the traces start."""
    if step < 0:
        return frame_HW3
    drawn_HW3 = draw_traces(frame_HW3, traces, until=step)
    return draw_marks(drawn_HW3, [(mark_id, (xy_S2[0, 0], xy_S2[0, 1])) for mark_id, xy_S2, _ in traces])


def _side_by_side(panels: Sequence[Pixels], captions: Sequence[str], time: str) -> Image.Image:
    height, width = panels[0].shape[:2]
    canvas = Image.new("RGB", (2 * width + _GUTTER_PX, height + _CAPTION_PX), _BACKGROUND)
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(14)
    for place, (panel_HW3, caption) in enumerate(zip(panels, captions, strict=True)):
        left = place * (width + _GUTTER_PX)
        canvas.paste(Image.fromarray(panel_HW3), (left, _CAPTION_PX))
        draw.text((left + 10, _CAPTION_PX / 2), caption, fill=_TEXT, font=font, anchor="lm")
    draw.text((2 * width + _GUTTER_PX - 10, _CAPTION_PX / 2), time, fill=_TEXT, font=font, anchor="rm")
    return canvas


def _encoded(frames: Sequence[Image.Image], fps: float, reference: int) -> bytes:
    """One palette for all frames: nothing flickers that does not move."""
    palette = _palette(frames)
    indexed = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    duration_ms = max(20, round(100 / fps) * 10)  # GIF counts in 1/100 s; players slow down what is below 2
    durations_ms = [duration_ms] * len(frames)
    durations_ms[reference] += round(_MARKED_FRAME_S * 1000)
    durations_ms[-1] += round(_LAST_FRAME_S * 1000)
    file = io.BytesIO()
    indexed[0].save(
        file, format="GIF", save_all=True, append_images=indexed[1:], duration=durations_ms, loop=0, optimize=False
    )
    return file.getvalue()


def _palette(frames: Sequence[Image.Image]) -> Image.Image:
    """The colours of a few frames, and those of marks and traces, which are too small to get a share of their own."""
    picked = [frames[round(at)] for at in np.linspace(0, len(frames) - 1, min(len(frames), _N_PALETTE_FRAMES))]
    strip = Image.new("RGB", (picked[0].width, picked[0].height * len(picked)))
    for place, frame in enumerate(picked):
        strip.paste(frame, (0, place * frame.height))
    drawn = [(255, 0, 0), (255, 255, 255), _BACKGROUND, _TEXT, _OUTSIDE, *(trace_colour(rank) for rank in range(8))]
    found = strip.quantize(256 - len(drawn), method=Image.Quantize.FASTOCTREE).getpalette() or []
    palette = Image.new("P", (1, 1))
    palette.putpalette([*(channel for colour in drawn for channel in colour), *found])
    return palette
