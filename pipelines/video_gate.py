"""The step of the video recipe that looks whether a clip shows what is said of it."""

from collections.abc import Sequence
from dataclasses import replace

from pipelines.batches import clip_bytes, made_up_clip, network_step
from pipelines.driver import Step
from pipelines.weights import weights_file
from schemas.config import VideoJob
from schemas.flow import Clip, Gate, Rejected
from schemas.networks import ClipGate
from transforms.prompts import clean_narration


def gate_steps(config: VideoJob, gate: Gate | None = None) -> list[Step]:
    """No step where the gate is off; `gate` replaces the configured network."""
    settings = config.gate
    if not isinstance(settings, ClipGate):
        return []
    look = gate or _build(settings, config.run.device)
    return [
        network_step(
            "gate",
            lambda clips: check_narrations(clips, look, settings),
            settings,
            config.run,
            once=lambda: look([made_up_clip(config)]),
            item_bytes=clip_bytes(config),
        )
    ]


def _build(settings: ClipGate, device: str) -> Gate:
    from transforms.clip_gate import build_gate

    return build_gate(settings, weights_file(settings, "gate"), device)


def check_narrations(clips: Sequence[Clip], gate: Gate, settings: ClipGate) -> list[Clip | Rejected]:
    """The clips with their similarity; one without a narration is let through as it is, for nothing is said of it."""
    narrated = [clip for clip in clips if clean_narration(clip.ref.text)]
    found = {clip.key: similarity for clip, similarity in zip(narrated, gate(narrated), strict=True)}
    return [_judged(clip, found[clip.key], settings) if clip.key in found else clip for clip in clips]


def _judged(clip: Clip, similarity: float, settings: ClipGate) -> Clip | Rejected:
    if settings.mode == "filter" and similarity < settings.min_similarity:
        return Rejected(reason="text_mismatch", value=similarity, threshold=settings.min_similarity)
    return replace(clip, text_similarity=similarity)
