"""A description of a model, for people as tables and for programs as plain values."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from model.describe import Description, ImageCut, Memory, Parts


def as_plain(told: Description) -> dict[str, Any]:
    """A description for JSON: all fields, and the totals with them."""
    plain = asdict(told)
    plain["parts"]["total"] = told.parts.total
    flops, memory = told.sample.flops, told.memory
    plain["sample"]["flops"] |= {name: getattr(flops, name) for name in ("forward", "train", "train_checkpointed")}
    plain["memory"] |= {name: getattr(memory, name) for name in ("training", "training_checkpointed", "answering")}
    for cut in (*plain["sizes"], *plain["grids"], *plain["sample"]["images"]):
        cut["grid"] = {"rows": cut["grid"][0], "cols": cut["grid"][1]}
    return plain


def lines(told: Description) -> list[str]:
    """A description for people: tables with aligned columns."""
    return [
        f"{told.name}: {told.parts.total / 1e9:.3f} B parameters, vocabulary {told.vocabulary:,}, "
        f"context {told.context:,}",
        "",
        *_parts_lines(told.parts),
        "",
        *_image_lines(told),
        "",
        *_sample_lines(told),
        "",
        *_memory_lines(told.memory),
    ]


def _parts_lines(parts: Parts) -> Iterator[str]:
    names = {
        "vision_used": "vision",
        "vision_unused_head": "vision, unused head",
        "layers_and_norm": "language layers, norm",
        "lm_head": "language head",
    }
    counts = {names.get(name, name): count for name, count in asdict(parts).items()} | {"total": parts.total}
    rows = [(name, f"{count:,}", f"{2 * count / 1e9:.3f}") for name, count in counts.items()]
    return _table([("part", "parameters", "GB in bf16"), *rows])


def _image_lines(told: Description) -> Iterator[str]:
    def row(cut: ImageCut, what: str) -> tuple[str, str, str]:
        return what, f"{cut.grid.rows}x{cut.grid.cols}", f"{cut.tokens:,}"

    sizes = [row(cut, f"{cut.size_wh[0]}x{cut.size_wh[1]}") for cut in told.sizes]
    grids = [row(cut, "any of this grid") for cut in told.grids]
    return _table([("image, pixels", "rows x columns", "tokens"), *sizes, *grids])


def _sample_lines(told: Description) -> Iterator[str]:
    sample, flops = told.sample, told.sample.flops
    cuts = [f"{width}x{height}" for width, height in (image.size_wh for image in sample.images)]
    yield f"one sample: {', '.join(cuts) or 'no image'} and {sample.text_tokens:,} tokens of text"
    if sample.length > told.context:
        yield f"longer than the context of {told.context:,} positions"
    counts = {
        "vision": flops.vision,
        "projector": flops.projector,
        "language layers": flops.layers,
        "attention scores, causal half": flops.scores,
        "head, on the text": flops.head,
        "forward": flops.forward,
        "training, x3": flops.train,
        "training with checkpointing, x4": flops.train_checkpointed,
    }
    rows = [(name, f"{count / 1e12:,.3f}", f"{count / flops.forward:.1%}") for name, count in counts.items()]
    yield from _table([("work", "TFLOP", "of forward"), *rows])
    yield f"{sample.length:,} positions; keys and values {_size(sample.kv_bytes)} in bf16"


def _memory_lines(memory: Memory) -> Iterator[str]:
    yield f"memory in GB, batch of {memory.batch}, weights in bf16, all parts trained"
    rows = {
        "weights": (memory.weights, memory.weights, memory.weights),
        "gradients, bf16": (memory.gradients, memory.gradients, 0),
        "AdamW, two moments in float32": (memory.adamw, memory.adamw, 0),
        "activations and loss, estimated": (memory.activations, memory.activations_checkpointed, 0),
        "keys and values": (0, 0, memory.kv_cache),
        "total": (memory.training, memory.training_checkpointed, memory.answering),
    }
    shown = [(what, *(f"{value / 1e9:,.2f}" if value else "-" for value in values)) for what, values in rows.items()]
    yield from _table([("", "training", "with checkpointing", "answering"), *shown])
    yield f"a float32 copy of the weights, where an optimizer keeps one: {_size(memory.float32_copy)} more"


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:,.2f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:,.1f} MB"


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Rows with aligned columns; all but the first to the right, as numbers are read."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *rest in rows:
        cells = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))]
        yield "  ".join(cells).rstrip()
