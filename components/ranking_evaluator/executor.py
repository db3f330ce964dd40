"""Measures the exported model on test users, reports and blesses."""

from __future__ import annotations

import json
import os
from typing import Any

from tfx import types
from tfx.types import artifact_utils
from tfx.utils import io_utils

from components import periods, splits
from components.artifact_files import (
    METRICS_FILE,
    MODEL_CARD_FILE,
    REPORT_FILE,
)
from components.beam_executor import BeamExecutor
from components.ranking_evaluator import (
    compared,
    evaluation,
    findings,
    index_recall,
    results,
    scoring,
)
from components.ranking_evaluator.config import EvaluationConfig
from components.ranking_evaluator.evaluation import Measured
from components.ranking_evaluator.findings import Findings
from components.ranking_evaluator.model_card import card, markdown
from components.ranking_evaluator.report import examples, page
from components.ranking_evaluator.request import (
    Request,
    choose_targets,
    parse,
    read_checked,
)


class Executor(BeamExecutor):
    """Executor of RankingEvaluator."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes metrics.json, the report, the card, rankings and blessing.

        Raises:
            ValueError: no test users, examples and vocabulary of different
                runs, a threshold on what is not measured, a model to compare
                with that does not fit, or a model whose answers are NaN, too
                short or repeated.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        request = parse(input_dict, output_dict, exec_properties)
        found = self._measure(request)
        io_utils.write_string_file(
            os.path.join(request.output, METRICS_FILE),
            json.dumps(found.evaluation, indent=2, sort_keys=True),
        )
        _write_report(
            findings.gather(
                found.evaluation,
                _examples(found, request.config),
                request,
                input_dict,
            ),
            request.output,
        )
        results.write_blessing(
            artifact_utils.get_single_instance(output_dict["blessing"]),
            artifact_utils.get_single_instance(input_dict["model"]),
            found.evaluation["blessing"],
            exec_properties,
        )

    def _measure(self, request: Request) -> Measured:
        """Asks all models, and measures what they answered."""
        histories = read_checked(request)
        test = histories.select(splits.test_users(histories, request.split))
        targets = choose_targets(test, request.config)
        others = compared.find(
            request.config.compare_with,
            request.item_ids[periods.TRAIN_VALIDATION],
            test,
            request.serving_dir,
            request.model_directory,
        )
        for name in set(request.config.compare_with) - {m.name for m in others}:
            print(
                "[evaluator] no other model has been pushed to "
                f"{request.serving_dir} yet, so there is no `{name}` to "
                "compare with",
                flush=True,
            )
        with self._make_beam_pipeline() as pipeline:
            scoring.score(pipeline, request, others)
        found = evaluation.measure(request, histories, test, targets, others)
        if line := index_recall.sentence(found.evaluation["index"]):
            print(f"[evaluator] {line}", flush=True)
        return found


def _examples(
    found: Measured, config: EvaluationConfig
) -> list[dict[str, Any]]:
    """Users of the main setting, with the best baseline's answers."""
    main = (config.targets[0], config.seen_items)
    baseline = found.rankings.get(found.evaluation["best_baseline"])
    return examples.choose(
        found.test,
        found.targets[main[0]],
        found.universe,
        found.tables[main],
        baseline[main] if baseline else None,
        config.seed,
    )


def _write_report(found: Findings, folder: str) -> None:
    """Writes report.html, and the model card as Markdown."""
    sections = card.build(found)
    io_utils.write_string_file(
        os.path.join(folder, REPORT_FILE), page.render(found, sections)
    )
    profile = found.evaluation["profile"]
    io_utils.write_string_file(
        os.path.join(folder, MODEL_CARD_FILE),
        markdown.to_markdown(
            f"Model card: {found.dataset}, {profile} profile", sections
        ),
    )
