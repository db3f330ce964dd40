"""Seconds of our training epochs and of other libraries', in one run.

    python -m benchmarks.peers --data-root DIR --peer-python PEERS/bin/python \
        --dataset amazon-beauty --newest 10 --epochs 5 --output FILE.json

SASRec beside RecTools' SASRec and LightGCN beside RecBole's, on the same
events, with the same sizes, on the CPU. Both sides of a comparison train one
epoch in turn; the first epoch of each, which compiles, does not count;
medians of the others. Beside it the arithmetic rate of our SASRec epoch, as a
share of a float32 matrix product of 2,048 rows that is timed between the
epochs.

Run it on a quiet machine: threads of PyTorch wait for each other by spinning
and become many times slower where others compute. `others_cores` says how many
cores others kept busy meanwhile; above 0.1 a warning says that the figures
mean nothing.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import statistics
import sys
from pathlib import Path
from typing import Any

from benchmarks.peers import ours
from benchmarks.peers.arithmetic import encoder_flops, softmax_flops
from benchmarks.peers.interactions import Interactions, read_interactions
from benchmarks.peers.machine import OtherLoad
from benchmarks.peers.process import PeerEpochs, PeerError
from benchmarks.peers.settings import Epoch, Settings
from benchmarks.publish import publish

_FOLDER = Path(__file__).parent
_MOST_OTHERS = 0.1
SCRIPTS = {
    ours.SASREC: _FOLDER / "rectools_sasrec.py",
    ours.LIGHTGCN: _FOLDER / "recbole_lightgcn.py",
}


def main(arguments: list[str] | None = None) -> int:
    """Measures and prints; 1 where a peer or the data cannot be had."""
    options = _parser().parse_args(arguments)
    try:
        settings = Settings(
            newest=options.newest,
            batch_size=options.batch_size,
            threads=options.threads,
        )
        interactions = read_interactions(
            options.data_root, options.dataset, options.newest
        )
        ours.use_cpu(settings.threads)
        results = {
            "dataset": options.dataset,
            "sizes": interactions.sizes(),
            "settings": dataclasses.asdict(settings),
            "cores": os.cpu_count(),
            "versions": ours.versions(),
        }
        for model in options.models:
            results[model] = compare(
                model,
                options.peer_python,
                interactions,
                settings,
                options.epochs,
            )
    except (PeerError, FileNotFoundError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    publish(results, options.output)
    return 0


def compare(
    model: str,
    peer_python: str,
    interactions: Interactions,
    settings: Settings,
    epochs: int,
) -> dict[str, Any]:
    """Epochs of one model in turn with its peer's.

    Args:
        model: key of `SCRIPTS`.
        peer_python: of the peer's environment.
        interactions: events to train on.
        settings: sizes.
        epochs: that count, after one that does not.

    Returns:
        For JSON; the ratio is the peer's median over ours.

    Raises:
        PeerError: the peer failed.
    """
    our_epochs = ours.OurEpochs(model, interactions, settings)
    script = SCRIPTS[model]
    ours_run, peer_run, gflops = [], [], []
    with PeerEpochs(
        peer_python, script, interactions, settings, epochs + 1
    ) as peer:
        load = OtherLoad()
        for epoch in range(epochs + 1):
            ours_run.append(our_epochs.run())
            gflops.append(ours.matmul_gflops())
            peer_run.append(peer.run())
            print(
                f"{model} epoch {epoch}: ours {ours_run[-1].seconds:.2f} s, "
                f"{script.stem} {peer_run[-1].seconds:.2f} s",
                file=sys.stderr,
            )
        others = load.cores(sum(epoch.cpu_seconds for epoch in peer_run))
    if others > _MOST_OTHERS:
        print(
            f"Warning: others kept {others:.2f} cores busy. Repeat this on a "
            "quiet machine; the ratio means nothing.",
            file=sys.stderr,
        )
    sides = {"ours": _side(ours_run), script.stem: _side(peer_run)}
    result: dict[str, Any] = {
        **sides,
        "ratio": sides[script.stem]["seconds"] / sides["ours"]["seconds"],
        "others_cores": others,
        "peer": peer.about,
        "matmul_gflops": statistics.median(gflops[1:]),
    }
    if model == ours.SASREC:
        result["arithmetic"] = arithmetic(
            interactions,
            settings,
            sides["ours"]["seconds"],
            result["matmul_gflops"],
        )
    return result


def arithmetic(
    interactions: Interactions,
    settings: Settings,
    seconds: float,
    matmul_gflops: float,
) -> dict[str, float]:
    """The rate of an epoch of SASRec beside that of a matrix product.

    Args:
        interactions: events of the epoch.
        settings: sizes.
        seconds: of the epoch.
        matmul_gflops: 1e9 operations a second of the product.
    """
    softmax = softmax_flops(
        interactions.sizes()["positions"],
        interactions.num_items,
        settings.embedding_dim,
    )
    encoder = encoder_flops(
        interactions.lengths - 1, settings.embedding_dim, settings.num_blocks
    )
    peak = seconds * matmul_gflops * 1e9
    return {
        "softmax_gflop": softmax / 1e9,
        "encoder_gflop": encoder / 1e9,
        "gflops": (softmax + encoder) / seconds / 1e9,
        "softmax_share_of_matmul": softmax / peak,
        "share_of_matmul": (softmax + encoder) / peak,
    }


def _side(run: list[Epoch]) -> dict[str, Any]:
    """The median after the first epoch, and everything it comes from."""
    return {
        "seconds": statistics.median(epoch.seconds for epoch in run[1:]),
        "epochs": [dataclasses.asdict(epoch) for epoch in run],
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--data-root",
        type=Path,
        required=True,
        help="folder with DATASET/interactions.csv.gz",
    )
    parser.add_argument(
        "--peer-python",
        required=True,
        help="Python of the environment made from requirements.txt",
    )
    parser.add_argument("--dataset", default="amazon-beauty")
    parser.add_argument("--newest", type=int, default=10)
    parser.add_argument("--epochs", type=_positive, default=5)
    parser.add_argument(
        "--models", nargs="+", choices=list(SCRIPTS), default=list(SCRIPTS)
    )
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path)
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, found {number}")
    return number


if __name__ == "__main__":
    sys.exit(main())
