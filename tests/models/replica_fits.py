"""Fits on one and on two replicas, as JSON on standard output.

A process of its own: how many logical devices there are is settled before
TensorFlow first uses them. With TF_CONFIG set, it is one worker of several
and prints the fit that all share.
"""

import dataclasses
import json
import os
import sys

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import tensorflow as tf

from models.config import AlignmentConfig, GraphTowerConfig, WeightSchedule
from models.create import Create
from models.fitting.fit import fit
from models.fitting.schedule import Schedule
from tests.models.fit_helpers import MODEL, TRAINING, make_period

# 60 users: 4 full batches of 13 and one of 8; nothing is drawn per replica
SAME = dataclasses.replace(
    TRAINING,
    batch_size=13,
    warmup_epochs=1,
    max_epochs=2,
    weight_decay=0.01,
    clip_norm=0.5,
)


def model(sequential, alignment, **graph):
    return dataclasses.replace(
        MODEL,
        sequential=dataclasses.replace(
            MODEL.sequential, encoder=sequential, dropout=0.0
        ),
        graph=GraphTowerConfig(batch_size=33, l2=0.1, **graph),
        alignment=AlignmentConfig(kind=alignment),
        alignment_weight=WeightSchedule(0.5, 1.0, 2)
        if alignment == "barlow_twins"
        else 0.5,
    )


CASES = {
    "sasrec, lightgcn against all, barlow twins": (
        model("sasrec", "barlow_twins", negatives="all"),
        SAME,
    ),
    "sasrec, lightgcn with shared negatives, infonce": (
        model("sasrec", "infonce", negatives="shared", num_negatives=7),
        dataclasses.replace(SAME, batch_by_length=True),
    ),
    "sasrec, ultragcn with shared negatives, gaussian": (
        model(
            "sasrec",
            "gaussian_mi",
            encoder="ultragcn",
            negatives="shared",
            num_negatives=7,
        ),
        SAME,
    ),
}


def run(case, distribution, checkpoint_dir=None):
    """Losses of the epochs, and the item table's sum of squares."""
    model_config, training = CASES[case]
    training = dataclasses.replace(training, distribution=distribution)
    result = fit(
        case,
        model_config,
        training,
        make_period(),
        Schedule.of_selection(model_config, training),
        checkpoint_dir=checkpoint_dir,
        report=lambda line: print(line, file=sys.stderr),
    )
    assert isinstance(result.model, Create)
    return {
        "epochs": [
            {key: record[key] for key in ("losses", "loss", "gradient_norm")}
            | {"ndcg": record["validation_ndcg_at_10"]}
            for record in result.epochs
        ],
        "table": result.model.items.table.numpy().tolist(),
        "users": result.model.graph.users.numpy().tolist(),
    }


def main():
    if "TF_CONFIG" in os.environ:
        print(json.dumps(run(sys.argv[1], "auto", *sys.argv[2:])))
        return
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(
        cpu, [tf.config.LogicalDeviceConfiguration()] * 2
    )
    print(
        json.dumps(
            {
                case: {
                    "one": run(case, "none"),
                    "two": run(case, "mirrored"),
                }
                for case in CASES
            }
        )
    )


if __name__ == "__main__":
    main()
