"""Counts users, items and events of a dataset, by HistoryExampleGen itself.

Importing this module is cheap; `count` loads TFX and Beam.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import tempfile
from pathlib import Path

from components.history_example_gen.config import LogsConfig
from models.settings import to_json
from pipeline import console
from pipeline.config import BeamConfig
from pipeline.dataset_catalogue import (
    Counts,
    Dataset,
    DatasetError,
    KnownDifference,
)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a check found.

    Attributes:
        found: the counts of the files.
        expected: those of the catalogue.
        known: the entry of the catalogue for exactly these counts, if any.
        account: HistoryExampleGen's line on what became of the rows.
        num_unused: rows that are no events.
    """

    found: Counts
    expected: Counts
    known: KnownDifference | None
    account: str
    num_unused: int

    @property
    def passed(self) -> bool:
        """Whether the counts are as expected, or known to differ."""
        return self.found == self.expected or self.known is not None

    def __str__(self) -> str:
        lines = []
        for field in dataclasses.fields(Counts):
            found = getattr(self.found, field.name)
            expected = getattr(self.expected, field.name)
            verdict = (
                f"ok         {found:,}"
                if found == expected
                else f"DIFFERENT  found {found:,}, expected {expected:,}"
            )
            lines.append(f"  {field.name:<8}{verdict}")
        if self.known:
            lines.append(f"  known: {self.known.why}")
        if self.num_unused:
            lines.append(f"  {self.account}")
        return "\n".join(lines)


def check(dataset: Dataset, logs: LogsConfig, layout: str) -> Outcome:
    """Compares a file with the catalogue.

    Args:
        dataset: what it should be.
        logs: where the file is, and how it is read.
        layout: the layout's name in the catalogue.

    Raises:
        DatasetError: the file cannot be read; the message has the fix.
    """
    ingest, account = _ingest(logs)
    found = Counts(ingest["users"], ingest["items"], ingest["used"])
    known = [
        file.differs
        for file in dataset.files
        if file.layout == layout
        and file.differs
        and file.differs.counts == found
        and found != dataset.counts
    ]
    return Outcome(
        found,
        dataset.counts,
        known[0] if known else None,
        account,
        ingest["rows"] - ingest["used"],
    )


def _ingest(logs: LogsConfig) -> tuple[dict[str, int], str]:
    """Runs HistoryExampleGen; returns `ingest.json` and its printed line.

    Raises:
        DatasetError: HistoryExampleGen cannot read the file.
    """
    # TFX takes 15 seconds to import, and only this needs it.
    from tfx.dsl.components.base import base_beam_executor
    from tfx.types import standard_artifacts

    from components.artifact_files import INGEST_FILE
    from components.artifacts import DeadLetters
    from components.history_example_gen import executor
    from components.history_example_gen.readers import LogsError

    with tempfile.TemporaryDirectory(prefix="create-check-") as folder:
        outputs = {
            "examples": [standard_artifacts.Examples()],
            "dead_letters": [DeadLetters()],
        }
        for name, artifacts in outputs.items():
            artifacts[0].uri = str(Path(folder) / name)
            Path(artifacts[0].uri).mkdir()
        context = base_beam_executor.BaseBeamExecutor.Context(
            beam_pipeline_args=BeamConfig().arguments("HistoryExampleGen"),
            tmp_dir=folder,
        )
        printed = io.StringIO()
        try:
            with contextlib.redirect_stdout(printed):
                executor.Executor(context).Do(
                    {}, outputs, {"config": to_json(logs)}
                )
        except LogsError as error:
            raise DatasetError(console.last_words(error)) from error
        path = Path(outputs["dead_letters"][0].uri) / INGEST_FILE
        ingest = json.loads(path.read_text(encoding="utf-8"))
    return ingest, printed.getvalue().strip()
