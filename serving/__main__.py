"""``python -m serving``: load one model version, then answer requests until SIGTERM."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from pathlib import Path
from types import FrameType

import uvicorn

from serving.app import App, Limits
from serving.errors import printable
from serving.loading import LoadedModel, LoadError, load, silence_warnings
from serving.metrics import Metrics
from serving.payload import FrameBuilder, reader_for, strict_columns
from serving.rowwise import may_join
from serving.scoring import Scorer

log = logging.getLogger("serving")

# A proxy keeps idle connections (Traefik: 90 s). Whoever closes first must be the proxy, or a request can meet a
# connection that is being closed.
KEEP_ALIVE_SECONDS = 300
# Models that are not known to predict row by row are called as mlflow models serve calls them: side by side.
THREADS_ALONE = 4


def main(arguments: list[str] | None = None) -> int:
    """Run the server. Returns the exit code: 0 after SIGTERM or SIGINT, 1 when the model cannot be loaded.

    Raises SystemExit with another code than 0 when the port cannot be opened.
    """
    options = parse(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        loaded = load(options.model_dir)
    except LoadError as error:
        print(f"serving: cannot load {served(options)}: {error}", file=sys.stderr)
        return 1
    silence_warnings()
    serve(build(loaded, options), options)
    return 0


def parse(arguments: list[str] | None) -> argparse.Namespace:
    limits = Limits()
    parser = argparse.ArgumentParser(prog="python -m serving", description="Serve one model version.")
    parser.add_argument("--model-dir", type=Path, required=True, help="directory with the MLmodel file")
    parser.add_argument("--name", required=True, help="registered model")
    parser.add_argument("--version", required=True, help="model version, sent as X-Model-Version")
    parser.add_argument("--host", default="127.0.0.1", help="default: %(default)s")
    parser.add_argument("--port", type=int, required=True)
    batching = "score waiting requests together: when it changes no answer, whatever the flavor, or never"
    parser.add_argument("--batching", choices=["auto", "on", "off"], default="auto", help=batching)
    parser.add_argument("--max-body-bytes", type=int, default=limits.body_bytes, help="default: %(default)s")
    parser.add_argument("--timeout-seconds", type=float, default=limits.seconds, help="default: %(default)s")
    parser.add_argument("--drain-seconds", type=int, default=30, help="for requests in flight at SIGTERM")
    return parser.parse_args(arguments)


def served(options: argparse.Namespace) -> str:
    """The model version, in words for the log; names come from a registry that allows any character."""
    return printable(f"{options.name} version {options.version}")


def build(loaded: LoadedModel, options: argparse.Namespace) -> App:
    """The application for a loaded model."""
    columns = strict_columns(loaded.model)
    metrics = Metrics(loaded.reference, model=options.name, version=options.version)
    row_wise = may_join(loaded.model, columns, loaded.reference, options.batching)
    prediction = loaded.reference.prediction
    scorer = Scorer(loaded.model, FrameBuilder(columns), metrics, row_wise=row_wise, prediction=prediction)
    log.info("%s is loaded, batching is %s", served(options), "on" if row_wise else "off")
    return App(
        reader_for(loaded.model),
        scorer,
        metrics,
        version=options.version,
        threads=1 if row_wise else THREADS_ALONE,
        limits=Limits(options.max_body_bytes, options.timeout_seconds),
    )


def serve(app: App, options: argparse.Namespace) -> None:
    """Answer requests until SIGTERM or SIGINT, then finish those in flight."""
    config = uvicorn.Config(
        app,
        host=options.host,
        port=options.port,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=options.drain_seconds,
    )
    # After its graceful stop uvicorn raises the signal again, for whoever handled it before. That is us: exit code 0.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    uvicorn.Server(config).run()


def _leave(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(0)


if __name__ == "__main__":
    sys.exit(main())
