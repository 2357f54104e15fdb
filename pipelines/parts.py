"""The parts of a config: which take a share in its samples, under which licences, and which of them are networks."""

from collections.abc import Iterator

from pipelines.known_weights import known_by_hash
from schemas.config import RegionObjects, VideoJob
from schemas.errors import UserError
from schemas.jobs import JobConfig
from schemas.networks import ClipGate, CoTrackerTracker, NetworkConfig, SamProposer, YoloProposer
from schemas.proposers import PixelsProposer, ProposerConfig, SegmentsProposer
from schemas.sample import Part

_PERMISSIVE = ("Apache-2.0", "BSD-3-Clause", "MIT")
_CODE = {"sam": "Apache-2.0", "yolo": "AGPL-3.0", "cotracker": "CC-BY-NC-4.0", "clip": "MIT"}
"""licences of the code behind the networks; of their weights: pipelines/known_weights.py"""
_LIBRARIES = {
    "sam": ("segment-anything", "torch", "torchvision"),
    "yolo": ("torch", "torchvision", "ultralytics"),
    "cotracker": ("cotracker", "torch"),
    "clip": ("open_clip_torch", "torch"),
    "rapidocr": ("onnxruntime", "rapidocr"),
}
"""distributions that a part's results depend on; of a checkout of CoTracker no version is known"""
_UNKNOWN = "weights: not known"


def network_parts(config: JobConfig) -> list[tuple[str, NetworkConfig]]:
    """The parts of a config that have weights, each with its field ("objects.proposer")."""
    match config:
        case VideoJob():
            parts: list[tuple[str, object]] = [("gate", config.gate), ("tracker", config.tracker)]
            if isinstance(config.objects, RegionObjects):
                parts.append(("objects.proposer", config.objects.proposer))
        case _:
            parts = [("proposer", config.proposer)]
    return [(field, part) for field, part in parts if isinstance(part, NetworkConfig)]


def with_part(config: JobConfig, field: str, part: NetworkConfig) -> JobConfig:
    """The config with another part in a field."""
    name, _, inner = field.partition(".")
    member = getattr(config, name)
    changed = member.model_copy(update={inner: part}) if inner else part
    return config.model_copy(update={name: changed})


def parts_of(config: JobConfig) -> list[Part]:
    """The parts that take a share in a config's samples, with their licences and the sha256 of their weights."""
    return [part for _, part in _parts(config)]


def libraries_of(config: JobConfig) -> list[str]:
    """Distributions that the results of a config's own parts depend on, sorted."""
    return sorted({name for part in parts_of(config) for name in _LIBRARIES.get(part.name, ())})


def check_licences(config: JobConfig) -> None:
    """UserError for each part that `license.permissive_only` refuses.

    Weights that are not in the table of known ones are refused too: their licence is not known.
    """
    if not config.license.permissive_only:
        return
    refused = [
        f"license.permissive_only: {field}.name={part.name} is {part.licence}, which is not permissive; {_cure(part)}, "
        "or set license.permissive_only=false"
        for field, part in _parts(config)
        if part.licence not in _PERMISSIVE
    ]
    if refused:
        raise UserError("\n".join(refused))


def _cure(part: Part) -> str:
    if _CODE[part.name] in _PERMISSIVE:
        return "give weights of WEIGHTS.md with a permissive licence"
    return {
        "tracker": "choose lucas_kanade",
        "objects": "choose segments, or sam with weights of WEIGHTS.md",
        "proposer": "choose pixels (screens) or segments (pictures), or sam with weights of WEIGHTS.md",
    }[part.role]


def _parts(config: JobConfig) -> Iterator[tuple[str, Part]]:
    match config:
        case VideoJob():
            if isinstance(config.gate, ClipGate):
                yield "gate", _network("gate", config.gate)
            match config.tracker:
                case CoTrackerTracker():
                    yield "tracker", _network("tracker", config.tracker)
                case _:
                    yield "tracker", Part(role="tracker", name=config.tracker.name, licence="Apache-2.0")
            yield "camera", Part(role="camera", name=config.camera.name, licence="Apache-2.0")
            yield "shots", Part(role="shots", name=config.shots.name, licence="BSD-3-Clause")
            if isinstance(config.objects, RegionObjects):
                yield from _proposer_parts("objects.proposer", "objects", config.objects.proposer)
        case _:
            yield from _proposer_parts("proposer", "proposer", config.proposer)


def _proposer_parts(field: str, role: str, proposer: ProposerConfig) -> Iterator[tuple[str, Part]]:
    match proposer:
        case SamProposer() | YoloProposer():
            yield field, _network(role, proposer)
        case SegmentsProposer():
            yield field, Part(role=role, name=proposer.name, licence="Apache-2.0")
        case _:
            yield field, Part(role=role, name=proposer.name, licence="MIT")
    if isinstance(proposer, PixelsProposer) or (isinstance(proposer, YoloProposer) and proposer.text == "ocr"):
        yield field, Part(role="ocr", name="rapidocr", licence="Apache-2.0")


def _network(role: str, part: NetworkConfig) -> Part:
    """A network with the licence of its code, and of its weights where that is another one or not known."""
    code, known = _CODE[part.name], known_by_hash(part.sha256)
    weights = "" if known and known.licence == code else f"weights: {known.licence}" if known else _UNKNOWN
    licence = f"{code}; {weights}" if weights else code
    return Part(role=role, name=part.name, weights_sha256=part.sha256, licence=licence)
