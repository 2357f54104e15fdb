"""Memory and time of loading a checkpoint: ours against the weights' own size, a plain read, and transformers.

A checkpoint of random weights in the form of the release is written tensor by tensor, so that one larger than memory's
half can be made. Each load is a process of its own, and the files are dropped from the page cache before it. The large
one: `python -m bench.load --size magma-8b --scratch DIR`, which takes 18 GB of disk and, for a minute, of memory.
"""

import argparse
import json
import os
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.report import ROOT, Figure, machine, seconds_of, spread, table

_SHARD_BYTES = 5 * 10**9
_BLOCK_BYTES = 2**24
_EVERY_S = 0.01
_SPARE_BYTES = 2**30
"""of the machine's memory; where less is left, a load is stopped before the machine begins to thrash"""
_HOW = {"load_magma": "ours", "from_pretrained": "transformers'"}


@dataclass(frozen=True, kw_only=True)
class Load:
    """One load in seconds and bytes; peaks of all its pages (`resident`), of those of no file (`private`).

    `…_before`: when all was imported and nothing loaded yet.
    """

    seconds: float
    resident: int
    resident_before: int
    private: int
    private_before: int


def measure(scratch: Path, quick: bool) -> Iterator[Figure]:
    yield from measure_size("magma-tiny" if quick else "magma-300m", scratch, repeats=1 if quick else 5)


def measure_size(size: str, scratch: Path, *, repeats: int, ways: Sequence[str] = tuple(_HOW)) -> Iterator[Figure]:
    """Figures of one size; `ways`: names of `_HOW`. RuntimeError where disk or memory are too small for it."""
    folder = scratch / size
    n_bytes = write_random(size, folder)
    _check_memory(n_bytes)
    loads: dict[str, list[Load]] = {way: [] for way in ways}
    reads = []
    for _ in range(repeats):
        _drop_cache(folder)
        reads.append(seconds_of(lambda: _read_plainly(folder)))
        for way, done in loads.items():
            _drop_cache(folder)
            done.append(_watched(way, folder))
    for way, done in loads.items():
        yield from _figures(f"{size}, {n_bytes / 1e9:.2f} GB in bf16, by {way}", done, reads, n_bytes)


def _figures(what: str, loads: Sequence[Load], reads: Sequence[float], n_bytes: int) -> Iterator[Figure]:
    grown = {
        "private": [(load.private, load.private_before) for load in loads],
        "resident": [(load.resident, load.resident_before) for load in loads],
    }
    bounds = {"private": "1.0: the weights, once", "resident": "1.0, and pages of the files while they are read"}
    for kind, peaks in grown.items():
        ratios = [(peak - before) / n_bytes for peak, before in peaks]
        peak, before = (median(values) / 1e9 for values in zip(*peaks, strict=True))
        yield Figure(
            topic="load",
            what=f"{what}: growth of {kind} memory to its peak / weights",
            shown=f"{spread(ratios)} ({before:.2f} GB before, {peak:.2f} at the peak)",
            value=median(ratios),
            bound=bounds[kind],
        )
    ratios = [load.seconds / read for load, read in zip(loads, reads, strict=True)]
    yield Figure(
        topic="load",
        what=f"{what}: time / plain read of the files",
        shown=f"{spread(ratios)} ({median(load.seconds for load in loads):.1f} s against {median(reads):.1f})",
        value=median(ratios),
        bound="1.0: the disk, where files are in no cache",
    )


def write_random(size: str, folder: Path) -> int:
    """A checkpoint of random weights in bf16, in shards, with a processor; its tensors' bytes."""
    import torch

    from model import SIZES, MagmaProcessor
    from model.checkpoint import empty_magma
    from model.config import with_tokenizer
    from model.tokenizer import train_tokenizer

    config = SIZES[size]()
    tokenizer = train_tokenizer(["what to do next"], vocab_size=config.tokenizer_vocab_size)
    config = with_tokenizer(config, tokenizer, height=config.text_config.vocab_size)
    config.dtype = torch.bfloat16
    shapes = {name: tuple(tensor.shape) for name, tensor in empty_magma(config).named_parameters()}
    folder.mkdir(parents=True)
    config.save_pretrained(folder)
    MagmaProcessor.for_config(config, tokenizer).save_pretrained(folder)
    # small numbers that are no NaN; the same again and again, for nothing here depends on them
    block = (torch.randn(_BLOCK_BYTES // 2) * 0.02).bfloat16().view(torch.uint8).numpy().tobytes()
    return _write_shards(folder, shapes, block)


def _write_shards(folder: Path, shapes: dict[str, tuple[int, ...]], block: bytes) -> int:
    shards: list[dict[str, tuple[int, ...]]] = [{}]
    sizes = [0]
    for name, shape in shapes.items():
        if sizes[-1] and sizes[-1] + _bytes_of(shape) > _SHARD_BYTES:
            shards.append({})
            sizes.append(0)
        shards[-1][name] = shape
        sizes[-1] += _bytes_of(shape)
    if sum(sizes) + _SPARE_BYTES > (free := _free_disk(folder)):
        raise RuntimeError(f"{folder} has {free / 1e9:.1f} GB free, {sum(sizes) / 1e9:.1f} are needed; give --scratch")
    weight_map = {}
    for number, shard in enumerate(shards, start=1):
        name = f"model-{number:05}-of-{len(shards):05}.safetensors"
        _write_shard(folder / name, shard, block)
        weight_map |= dict.fromkeys(shard, name)
    index = {"metadata": {"total_size": sum(sizes)}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return sum(sizes)


def _write_shard(path: Path, shapes: dict[str, tuple[int, ...]], block: bytes) -> None:
    """A safetensors file: the length of its header, the header, the tensors; written here so that none is in memory."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in shapes.items():
        start, end = end, end + _bytes_of(shape)
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [start, end]}
    told = json.dumps(header).encode()
    told += b" " * (-len(told) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(told)) + told)
        for left in range(end, 0, -len(block)):
            file.write(block[:left])
        file.flush()
        os.fsync(file.fileno())  # only what is on disk can be dropped from the cache


def _bytes_of(shape: Sequence[int]) -> int:
    n = 2
    for side in shape:
        n *= side
    return n


def _free_disk(folder: Path) -> int:
    told = os.statvfs(folder)
    return told.f_bavail * told.f_frsize


def _drop_cache(folder: Path) -> None:
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _read_plainly(folder: Path) -> None:
    buffer = bytearray(_BLOCK_BYTES)
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass


def child(way: str, folder: str) -> None:
    """What the watched process does; it tells bytes before the load, resident and private, and seconds."""
    import torch
    from transformers import AutoModelForCausalLM

    from model import load_magma

    told = _status("self")
    print(told["VmRSS"], _private(told), flush=True)
    start = time.perf_counter()
    if way == "load_magma":
        model, _ = load_magma(folder, dtype=torch.bfloat16)
    else:
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    # every weight is in memory then, not just promised by a map of the file
    _ = [parameter.flatten()[:: 4096 // 2].sum() for parameter in model.parameters()]
    print(time.perf_counter() - start, flush=True)


def _watched(way: str, folder: Path) -> Load:
    """Loads in a process of its own and looks at that every 10 ms; RuntimeError where memory ends or it fails."""
    code = "import sys; from bench.load import child; child(*sys.argv[1:])"
    command = [sys.executable, "-c", code, way, str(folder)]
    resident = private = 0
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            told = _status(str(process.pid))
            private = max(private, _private(told))
            resident = max(resident, told.get("VmHWM", 0))
            if _available() < _SPARE_BYTES // 2:
                process.kill()
                raise RuntimeError(f"{way} of {folder.name} was stopped: {private / 1e9:.1f} GB, and memory was ending")
            time.sleep(_EVERY_S)
        said, complaint = process.communicate()
    if process.returncode:
        raise RuntimeError(f"{way} of {folder.name} ended with {process.returncode}: {complaint[-2000:]}")
    resident_before, private_before, seconds = said.split()[-3:]
    return Load(
        seconds=float(seconds),
        resident=resident,
        resident_before=int(resident_before),
        private=private,
        private_before=int(private_before),
    )


def _status(process: str) -> dict[str, int]:
    """Sizes in bytes by their names in /proc/PID/status; nothing of a process that has just ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return {}
    split = [line.split() for line in lines if line.endswith(" kB")]
    return {words[0].rstrip(":"): int(words[1]) * 1024 for words in split}


def _private(told: dict[str, int]) -> int:
    return told.get("RssAnon", 0) + told.get("RssShmem", 0)


def _available() -> int:
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))


def _check_memory(n_bytes: int) -> None:
    needed = n_bytes * 1.1 + _SPARE_BYTES
    if _available() < needed:
        raise RuntimeError(f"{_available() / 1e9:.1f} GB of memory are free, {needed / 1e9:.1f} are needed")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.load", description="Loads one size; see BENCHMARKS.md.")
    parser.add_argument("--size", default="magma-300m", metavar="SIZE", help="magma-8b, magma-300m or magma-tiny")
    parser.add_argument("--scratch", type=Path, metavar="DIR", help="where the weights go for the time (TMPDIR)")
    parser.add_argument("--repeats", type=int, default=1, metavar="N", help="(1)")
    parser.add_argument("--ways", nargs="+", choices=_HOW, default=["load_magma"], help="(load_magma)")
    arguments = parser.parse_args()
    figures = []
    with tempfile.TemporaryDirectory(prefix="somtom-bench-load-", dir=arguments.scratch) as scratch:
        for figure in measure_size(arguments.size, Path(scratch), repeats=arguments.repeats, ways=arguments.ways):
            figures.append(figure)
    print("\n".join(table(figures)))
    print("; ".join(f"{name} {value}" for name, value in machine().items()), file=sys.stderr)


if __name__ == "__main__":
    main()
