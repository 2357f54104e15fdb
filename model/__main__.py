"""`python -m model VERB …`: what a model takes, and a new one from a LLaMA and a CLIP. Parses, calls, prints."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from model.checkpoint import build_magma, save_magma
from model.config import SIZES, MagmaVisionConfig
from model.describe import MAX_TILES, describe, find_config
from model.describe_text import as_plain, lines

_EPILOG = """\
  python -m model describe magma-8b
  python -m model describe magma-8b --image 1280x720 --image 640x480 --text 512 --batch 8
  python -m model describe checkpoints/mine --json
  python -m model build --llama Meta-Llama-3-8B-Instruct --vision open_clip_pytorch_model.safetensors --out magma-new

Exit codes: 0 done, 2 a mistake in what was asked."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one verb; SystemExit 2 with one line where something asked for can't be."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    try:
        arguments.call(arguments)
        sys.stdout.flush()
    except ValueError as error:
        parser.error(" ".join(str(error).split()))
    except BrokenPipeError:  # `| head` has read enough; nothing is left to be flushed at the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _describe(arguments: argparse.Namespace) -> None:
    name, config = find_config(arguments.config)
    told = describe(
        config,
        name=name,
        images_wh=arguments.image or [(1280, 720)],
        text_tokens=arguments.text,
        batch=arguments.batch,
        max_tiles=arguments.tiles,
    )
    print(json.dumps(as_plain(told), indent=1) if arguments.json else "\n".join(lines(told)))


def _build(arguments: argparse.Namespace) -> None:
    if arguments.out.exists() and (not arguments.out.is_dir() or any(arguments.out.iterdir())):
        raise ValueError(f"{arguments.out} is there already; give a folder that is new or empty")
    vision = MagmaVisionConfig(vision_backbone=arguments.backbone) if arguments.backbone else None
    model, processor = build_magma(
        arguments.llama,
        arguments.vision,
        vision_config=vision,
        dtype=arguments.dtype,
        seed=arguments.seed,
    )
    save_magma(model, processor, arguments.out)
    print(f"{arguments.out}: {sum(parameter.numel() for parameter in model.parameters()):,} parameters")


def _parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="python -m model",
        description="Tells what a Magma takes, or makes one that is not trained yet.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = top.add_subparsers(required=True, metavar="VERB")

    verb = verbs.add_parser("describe", help="parameters, image tokens, FLOPs and memory; needs no weights")
    verb.add_argument("config", metavar="CONFIG", help=f"{', '.join(SIZES)}, or a folder with config.json")
    verb.add_argument("--image", type=_size_wh, action="append", metavar="WxH", help="of a sample, repeated (1280x720)")
    verb.add_argument("--text", type=_count, default=256, metavar="N", help="tokens of text of a sample (256)")
    verb.add_argument("--batch", type=_count, default=1, metavar="B", help="samples in memory at once (1)")
    verb.add_argument("--tiles", type=_count, default=MAX_TILES, metavar="N", help=f"most of an image ({MAX_TILES})")
    verb.add_argument("--json", action="store_true", help="print JSON in place of tables; FLOPs and bytes as integers")
    verb.set_defaults(call=_describe)

    verb = verbs.add_parser("build", help="a LLaMA-3 and LAION's ConvNeXt with a new projector between them")
    verb.add_argument("--llama", required=True, metavar="FOLDER", help="of a LLaMA-3, or its name on the hub")
    verb.add_argument(
        "--vision", required=True, metavar="FILE", help="an image tower of open_clip or timm, or a folder"
    )
    verb.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="to write, new or empty")
    verb.add_argument("--backbone", metavar="NAME", help="of the ConvNeXt (convnextxxlarge)")
    dtypes = ("bfloat16", "float16", "float32")
    verb.add_argument("--dtype", choices=dtypes, default=dtypes[0], help="of the weights written (bfloat16)")
    verb.add_argument("--seed", type=int, default=0, metavar="S", help="of the projector (0)")
    verb.set_defaults(call=_build)
    return top


def _size_wh(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise argparse.ArgumentTypeError(f"{text!r} is no size; give width and height in pixels, such as 1280x720")
    return int(width), int(height)


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of 1 or more")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
