"""The command line: `python beam_runner.py VERB …`, installed as `somtom VERB …`. Parses, loads the config, calls."""

import argparse
import contextlib
import importlib.util
import io
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any

from pipelines.arguments import count, names, positive, share, uri
from schemas.errors import TooMuchQuarantinedError, UserError

_DONE, _FINDINGS, _MISTAKE, _QUARANTINED, _INTERRUPTED = 0, 1, 2, 3, 130

_EPILOG = """\
A config is a YAML file, or the name of one that comes along (run: video, ui, image, omniparser; train: tiny, …). Set
fields with a.b=value, in YAML; paths are seen from where you are:
  somtom try my_video.mp4
  somtom try my_screen.png recipe=ui
  somtom run video source.uris=my_videos --out OUT
  somtom run video source.name=manifest source.path=clips.csv clips.length_s=3 --out OUT --workers 8
  somtom train tiny data.mixture.0.path=OUT --out RUN
  somtom predict RUN my_video.mp4 --task tom
  somtom capture https://example.org page.html --viewport 1280x800,390x844 --out SCREENS
What follows a lone -- goes to Beam:
  somtom run video source.uris=gs://b/videos --out gs://b/out -- --runner=DataflowRunner --region=europe-west4

Exit codes: 0 done, 1 findings, 2 a mistake in what was asked (field, value, cure), 3 too much quarantined."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a verb; gives the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    cut = words.index("--") if "--" in words else len(words)
    arguments = _parse(words[:cut])
    arguments.beam_flags = words[cut + 1 :]
    try:
        return int(arguments.call(arguments))
    except UserError as error:
        print(error, file=sys.stderr)
        return _MISTAKE
    except TooMuchQuarantinedError as error:
        print(error, file=sys.stderr)
        return _QUARANTINED
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on from here", file=sys.__stderr__)  # the other may be taken away
        return _INTERRUPTED


def entry() -> None:
    """The command `somtom`.

    Ends at once when the verb has: after an error Beam's threads would go on with the shards they are at, and Arrow's
    now and then abort a process that ends under them.
    """
    try:
        code = main()
    except Exception:  # noqa: BLE001  a bug: shown whole
        traceback.print_exc()
        code = _FINDINGS
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _run(arguments: argparse.Namespace) -> int:
    from pipelines import job
    from pipelines.config import load_config

    overrides = [*arguments.overrides, *([f"limit={arguments.limit}"] if arguments.limit else [])]
    config = load_config(arguments.config, overrides)
    totals = job.run(config, arguments.out, arguments.workers, arguments.retry_failed, arguments.beam_flags)
    print(job.summary(arguments.out, totals))
    return _DONE


def _plan(arguments: argparse.Namespace) -> int:
    from pipelines import job
    from pipelines.config import load_config

    print(job.show_plan(load_config(arguments.config, arguments.overrides)))
    return _DONE


def _try(arguments: argparse.Namespace) -> int:
    from pipelines.trial import trial_config, try_first

    for line in try_first(trial_config(arguments.file, arguments.overrides), arguments.folder):
        print(line)
    return _DONE


def _status(arguments: argparse.Namespace) -> int:
    from pipelines import job

    print(job.status(arguments.out))
    return _DONE


def _finish(arguments: argparse.Namespace) -> int:
    from pipelines import job

    print(job.summary(arguments.out, job.finish_alone(arguments.out, arguments.max_quarantined)))
    return _DONE


def _lint(arguments: argparse.Namespace) -> int:
    from pipelines.inspect.lint import lint

    findings = 0
    for findings, line in enumerate(lint(arguments.out), start=1):  # noqa: B007
        print(line)
    print(f"{findings} findings" if findings else "no findings", file=sys.stderr)
    return _FINDINGS if findings else _DONE


def _explain(arguments: argparse.Namespace) -> int:
    from pipelines.inspect.explain import explain

    print(explain(arguments.out, arguments.key))
    return _DONE


def _preview(arguments: argparse.Namespace) -> int:
    from pipelines import store
    from pipelines.inspect.contact_sheet import contact_sheet

    png = io.BytesIO()
    sheet = contact_sheet(arguments.out, arguments.sample, arguments.seed, arguments.sort, arguments.join or "")
    sheet.save(png, format="PNG")
    store.write_bytes(arguments.png, png.getvalue())
    print(arguments.png)
    return _DONE


def _predict(arguments: argparse.Namespace) -> int:
    from PIL import Image

    _check_train_extra()
    from pipelines import store
    from pipelines.scene import read_scene
    from train.answer_picture import draw_prediction
    from train.ask import load_network
    from train.predict import predict, read_statistics

    statistics = read_statistics(arguments.statistics) if arguments.statistics else None
    scene = read_scene(
        arguments.file,
        arguments.task,
        text=arguments.text,
        boxes_uri=arguments.boxes or "",
        overrides=arguments.overrides,
    )
    network, processor = load_network(arguments.model, device=arguments.device, dtype=arguments.dtype)
    prediction = predict(network, processor, scene, max_new_tokens=arguments.max_tokens, statistics=statistics)
    png = io.BytesIO()
    Image.fromarray(draw_prediction(prediction)).save(png, format="PNG")
    store.write_bytes(arguments.out, png.getvalue())
    print(*(prediction.answer or "(an empty answer)", *prediction.facts, arguments.out), sep="\n")
    return _DONE


def _eval(arguments: argparse.Namespace) -> int:
    _check_train_extra()
    from pipelines import store
    from pipelines.progress import Teller
    from train.ask import load_network
    from train.evaluate import as_json, evaluate, read_bins, read_items, table

    out, teller = arguments.out, Teller()
    items = read_items(out, split=arguments.split, tasks=arguments.tasks, sample=arguments.sample, seed=arguments.seed)
    bins = read_bins(out)
    network, processor = load_network(arguments.model, device=arguments.device, dtype=arguments.dtype)
    scores = evaluate(
        network,
        processor,
        items,
        bins=bins,
        batch=arguments.batch,
        max_new_tokens=arguments.max_tokens,
        seed=arguments.seed,
        tell=teller.update,
    )
    teller.close()
    print(table(scores))
    if arguments.json:
        store.write_bytes(arguments.json, as_json(scores).encode())
    return _DONE


def _train(arguments: argparse.Namespace) -> int:
    _check_train_extra()
    from train.config import load_config
    from train.loop import train

    print(train(load_config(arguments.config, arguments.overrides), arguments.out))
    return _DONE


def _capture(arguments: argparse.Namespace) -> int:
    from pipelines.capture import capture, read_viewports

    viewports, scale = read_viewports(arguments.viewport), arguments.scale
    failed = False
    for shot in capture(arguments.pages, arguments.out, viewports, arguments.full_page, scale, arguments.wait):
        if shot.error or shot.note:
            print(f"{shot.uri}: {shot.error or shot.note}", file=sys.stderr)
        for file in shot.files:
            print(file, flush=True)
        failed |= bool(shot.error)
    return _FINDINGS if failed else _DONE


def _check_train_extra() -> None:
    missing = [name for name in ("torch", "transformers", "timm") if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"{missing[0]} is not installed, which models need; run: pip install '.[train]'")


def _parse(words: Sequence[str]) -> argparse.Namespace:
    """Parses; overrides may stand anywhere, which argparse's subcommands alone do not allow."""
    parser = _parser()
    arguments, rest = parser.parse_known_args(words)
    stray = [word for word in rest if word.startswith("-") or "=" not in word or "overrides" not in arguments]
    if stray:
        parser.error(f"unknown here: {' '.join(stray)}; see --help")
    if rest:
        arguments.overrides += rest
    return arguments


def _parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="somtom",
        description="Set-of-Mark and Trace-of-Mark supervision from raw video, screens and pictures.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = top.add_subparsers(title="verbs", metavar="VERB", required=True)

    verb = verbs.add_parser("try", help="one video or picture to a marked picture (and a trace animation), in seconds")
    verb.add_argument("file", metavar="FILE|URL")
    verb.add_argument("overrides", nargs="*", metavar="a.b=value")
    verb.add_argument("--folder", type=uri, default=".", metavar="URI", help="where the pictures go (here)")
    verb.set_defaults(call=_try)

    verb = verbs.add_parser("run", help="curate a dataset, or go on with one that was interrupted")
    _add_config(verb)
    verb.add_argument("--out", required=True, type=uri, metavar="URI", help="folder or bucket of the dataset")
    verb.add_argument(
        "--workers", type=count, default=0, metavar="N", help="processes (one per core, or one for a GPU)"
    )
    verb.add_argument("--limit", type=count, default=0, metavar="N", help="read only the first N records")
    verb.add_argument("--retry-failed", action="store_true", help="make shards with quarantined rows again")
    verb.set_defaults(call=_run)

    verb = verbs.add_parser("plan", help="what a run would read and make; writes nothing")
    _add_config(verb)
    verb.set_defaults(call=_plan)

    verb = verbs.add_parser("train", help="train Magma from datasets, or go on with a training")
    verb.add_argument("config", metavar="CONFIG", help="a YAML file, or a ready one by name: tiny, pretrain, …")
    verb.add_argument("overrides", nargs="*", metavar="a.b=value", help="e.g. data.mixture.0.path=OUT")
    verb.add_argument("--out", required=True, type=uri, metavar="RUN", help="local folder of the training")
    verb.set_defaults(call=_train)

    verb = _add_out_verb(verbs, "status", "where a job stands")
    verb.set_defaults(call=_status)

    verb = _add_out_verb(verbs, "finish", "the last act alone: index, ledger, card, job.json from finished shards")
    verb.add_argument(
        "--max-quarantined", type=share, metavar="SHARE", help="in place of the job's run.max_quarantined"
    )
    verb.set_defaults(call=_finish)

    verb = _add_out_verb(verbs, "lint", "checks every promise that the files can show; a line per finding")
    verb.set_defaults(call=_lint)

    verb = _add_out_verb(verbs, "explain", "why something was kept or dropped; without KEY, every reason with examples")
    verb.add_argument("key", nargs="?", default="", metavar="KEY", help="a key, a record id or a URI")
    verb.set_defaults(call=_explain)

    _add_preview(verbs)
    _add_capture(verbs)
    _add_predict(verbs)
    _add_eval(verbs)
    return top


def _add_preview(verbs: Any) -> None:
    verb = _add_out_verb(verbs, "preview", "a contact sheet of samples, as PNG")
    verb.add_argument("--png", default="preview.png", metavar="URI", help="the file to write (preview.png)")
    verb.add_argument("--sample", type=int, default=12, metavar="N", help="how many samples (12)")
    verb.add_argument("--seed", type=int, default=0, metavar="S", help="which ones")
    verb.add_argument(
        "--sort", default="", metavar="COL", help="those that are highest in a column of the index; --sort=-COL: lowest"
    )
    verb.add_argument(
        "--join", type=uri, metavar="FILE", help="a Parquet table with a column key, to sort by its columns"
    )
    verb.set_defaults(call=_preview)


def _add_capture(verbs: Any) -> None:
    what = "web pages to screenshots, each with a file of what can be seen on it"
    verb = verbs.add_parser("capture", help=what, description=what)
    verb.add_argument("pages", nargs="+", metavar="URL|FILE.html")
    verb.add_argument("--out", required=True, type=uri, metavar="URI", help="folder of NAME.png and NAME.json")
    verb.add_argument("--viewport", default="1280x800", metavar="WxH,…", help="sizes of the window (1280x800)")
    verb.add_argument("--full-page", action="store_true", help="all of the page, not only what the window shows")
    verb.add_argument("--scale", type=int, choices=(1, 2), default=1, help="pixels per CSS pixel (1)")
    verb.add_argument("--wait", type=float, default=0.0, metavar="S", help="seconds after a page has loaded (0)")
    verb.set_defaults(call=_capture)


def _add_predict(verbs: Any) -> None:
    verb = verbs.add_parser("predict", help="a picture or video marked, a model asked about it, its answer drawn")
    _add_model(verb)
    verb.add_argument("file", metavar="FILE|URL")
    verb.add_argument("overrides", nargs="*", metavar="a.b=value", help="fields of the recipe")
    verb.add_argument(
        "--task", required=True, choices=("caption", "som", "tom", "click", "action"), help="what is asked"
    )
    verb.add_argument("--text", default="", help="what is being done, or (click, action) is to be done")
    verb.add_argument("--boxes", type=uri, metavar="FILE.json", help="what can be marked in a picture, in pixels")
    verb.add_argument("--statistics", type=uri, metavar="FILE.json", help="of a robot, for actions in its units")
    verb.add_argument("--out", type=uri, default="answer.png", metavar="URI", help="the file to write (answer.png)")
    verb.set_defaults(call=_predict)


def _add_eval(verbs: Any) -> None:
    verb = verbs.add_parser("eval", help="a model asked the questions of a dataset, its answers scored")
    _add_model(verb)
    verb.add_argument("out", type=uri, metavar="OUT", help="folder or bucket of the dataset")
    verb.add_argument("--split", default="val", help="which samples (val)")
    verb.add_argument("--tasks", type=names, default=[], metavar="TASK,…", help="only samples with one of these")
    verb.add_argument("--sample", type=count, default=0, metavar="N", help="so many samples, drawn (all)")
    verb.add_argument("--seed", type=int, default=0, metavar="S", help="which ones")
    verb.add_argument("--batch", type=positive, default=16, metavar="B", help="answers that are made together (16)")
    verb.add_argument("--json", type=uri, metavar="URI", help="also write the scores there")
    verb.set_defaults(call=_eval)


def _add_model(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("model", metavar="MODEL", help="a folder, a training run's folder, or a name on the hub")
    verb.add_argument("--device", default="", help="cpu or cuda (a GPU where there is one)")
    verb.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), help="of the weights (as they are stored)")
    verb.add_argument("--max-tokens", type=positive, default=1024, metavar="N", help="of an answer, at most (1024)")


def _add_config(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("config", metavar="CONFIG", help="a YAML file, or a ready one: video, ui, image, omniparser")
    verb.add_argument("overrides", nargs="*", metavar="a.b=value", help="fields to set, e.g. source.uris=my_videos")


def _add_out_verb(verbs: Any, name: str, what: str) -> argparse.ArgumentParser:
    verb: argparse.ArgumentParser = verbs.add_parser(name, help=what, description=what)
    verb.add_argument("out", type=uri, metavar="OUT", help="folder or bucket of the dataset")
    return verb


if __name__ == "__main__":
    entry()
