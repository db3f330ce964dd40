"""The card: its numbers, its Markdown, and its way into the pushed model."""

import hashlib
import json
import re

import numpy as np
import pytest
import tensorflow as tf
from markdown_it import MarkdownIt

from components.artifact_files import MODEL_CARD_FILE
from components.ranking_evaluator import blessing
from components.ranking_evaluator.config import EvaluationConfig
from components.ranking_evaluator.model_card import limits, markdown, sections
from components.ranking_evaluator.model_card.markdown import Section
from tests.components import test_ranking_evaluator as evaluator

artifacts = evaluator.artifacts


def test_markdown_is_what_a_parser_reads_as_the_card():
    card = [
        Section("One", ["Some <b> *text* of item_1."], items=["a|b", "c"]),
        Section("Two", (), ("", "K"), [["x|y_z", "1"], ["`w`", "2"]]),
    ]
    text = markdown.to_markdown("Card of a_b", card)
    page = MarkdownIt("commonmark").enable("table").render(text)
    plain = re.sub(r"<[^>]+>", " ", page)
    assert page.count("<h2>") == 2 and page.count("<li>") == 2
    assert page.count("<tr>") == 3 and page.count("<td>") == 4
    assert "<em>" not in page and "<code>" not in page and "<b>" not in page
    for part in ("Some &lt;b&gt; *text* of item_1.", "a|b", "x|y_z", "`w`"):
        assert part in plain or part.replace("&lt;", "<") in plain, part


def rows_of(card, heading):
    section = next(s for s in card if s.heading == heading)
    return [list(row) for row in section.rows]


def test_the_card_has_the_numbers_of_the_evaluation(artifacts, tmp_path):
    evaluator._save(tmp_path / "model" / "Format-Serving")
    found = evaluator._execute(artifacts, tmp_path)
    text = (tmp_path / "evaluation" / MODEL_CARD_FILE).read_text()
    page = (tmp_path / "evaluation" / "report.html").read_text()
    headings = re.findall("^## (.+)$", text, re.M)
    assert headings == [
        "Model",
        "Intended use",
        "Data and periods",
        "Protocol",
        "Metrics",
        "Baselines",
        "Limits",
        "Versions",
    ]
    for heading in headings:
        assert f"<h3>{heading}</h3>" in page
    assert "It is not blessed" in text and "FAILED" in text
    # All there are; training takes the newest of each only.
    assert "on 4 users, who have 12 events up to the test cut" in text
    kept = found["metrics"]["model"]["last"]["kept"]
    low, high = kept["intervals"]["ndcg_at_3"]
    cell = (
        f"{100 * kept['ndcg_at_3']:.2f} ({100 * low:.2f} to {100 * high:.2f})"
    )
    ours = next(li for li in text.splitlines() if "| This model |" in li)
    assert ours.split(" | ")[1] == cell
    popular = next(li for li in text.splitlines() if "| Most popular |" in li)
    lead = found["comparisons"]["last"]["kept"]["most_popular"]["ndcg_at_3"]
    assert f"{100 * lead['difference']:.2f}".lstrip("-") in popular
    assert "18 used" in text and "2014-03-07" in text
    assert "20 samples" in text


def test_the_card_says_when_the_graph_recommends_too():
    evaluation = {
        "splits": {"items": {"train_validation": 7}},
        "blessing": {"blessed": True, "checks": []},
    }
    towers = {
        "sequential": {"encoder": "sasrec"},
        "graph": {"encoder": "ultragcn"},
    }

    def said(weight):
        config = {**towers, "warm_graph_weight": weight}
        training = {"model": config}
        return sections.model(training, evaluation, "d").paragraphs[0]

    assert "beside it with weight 0.5, from the same history" in said(0.5)
    assert "beside it" not in said(0.0)


def test_a_check_without_a_metric_has_no_numbers():
    found = {
        "splits": {"items": {"train_validation": 7}},
        "blessing": blessing.bless({}, EvaluationConfig(thresholds=())),
    }
    (check,) = sections.model({}, found, "d").items
    assert check.endswith(
        "`evaluation.thresholds` names at least one condition"
    )


def test_limits_are_found_in_the_numbers():
    def group(users, ours, theirs):
        return {
            "group": f"g{users}",
            "users": users,
            "metrics": {
                "model": {"ndcg_at_10": ours},
                "item_knn": {"ndcg_at_10": theirs},
            },
        }

    evaluation = {
        "leaks_future": False,
        "best_baseline": "item_knn",
        "splits": {
            "strategy": "temporal",
            "test": {"cold_target_share": {"last": 0.125}},
        },
        "slices": {
            "last": {
                "users": [group(60, 0.1, 0.2), group(70, 0.2, 0.1)],
                "items": [group(20, 0.1, 0.2)],
            }
        },
    }
    settings = {"targets": ["last"], "cutoffs": [10, 100]}
    found = limits.limits(evaluation, {"warnings": ["w"]}, settings)
    assert "12.5 % of the targets" in found[0]
    assert "g60 (10.00 against 20.00 %, 60 users)" in found[1]
    assert "g70" not in found[1] and "g20" not in found[1]
    assert "differ in 1 way beyond" in found[2]
    nothing = evaluation | {
        "best_baseline": None,
        "splits": {"test": {"cold_target_share": {"last": 0.0}}},
    }
    rest = limits.limits(nothing, {"warnings": []}, settings)
    assert rest == found[3:] and len(rest) == 3


def hashes(folder):
    """Relative name -> SHA-256 of every file."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(
            path.read_bytes()
        ).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def written(tmp_path):
    """A model of the Trainer, its evaluation, and what the writer made."""
    from tfx.types import standard_artifacts

    from components.model_card.executor import Executor

    def artifact(cls, name):
        result = cls()
        result.uri = str(tmp_path / name)
        (tmp_path / name).mkdir()
        return result

    model = artifact(standard_artifacts.Model, "model")
    evaluation = artifact(standard_artifacts.ModelEvaluation, "evaluation")
    described = artifact(standard_artifacts.Model, "described")
    folder = tmp_path / "model" / "Format-Serving"
    evaluator._save(folder)
    (folder / "assets.extra").mkdir()
    (folder / "assets.extra" / "model.json").write_text("{}")
    before = hashes(tmp_path / "model")

    def write():
        Executor().Do(
            {"model": [model], "evaluation": [evaluation]},
            {"described_model": [described]},
            {"code_fingerprint": "0"},
        )
        return described, before

    return write


def test_only_the_card_is_new_in_the_copy(written, tmp_path):
    (tmp_path / "evaluation" / MODEL_CARD_FILE).write_text("# Card\n")
    _, before = written()
    after = hashes(tmp_path / "described")
    card = f"Format-Serving/assets.extra/{MODEL_CARD_FILE}"
    assert after.pop(card) == hashlib.sha256(b"# Card\n").hexdigest()
    assert after == before
    # What was published is as it was.
    assert hashes(tmp_path / "model") == before
    fingerprints = [
        tf.saved_model.experimental.read_fingerprint(
            str(tmp_path / name / "Format-Serving")
        ).saved_model_checksum
        for name in ("model", "described")
    ]
    assert fingerprints[0] == fingerprints[1]


def test_the_stock_pusher_carries_the_card(written, tmp_path):
    from tfx.components.pusher.executor import Executor as Pusher
    from tfx.types import standard_artifacts

    (tmp_path / "evaluation" / MODEL_CARD_FILE).write_text("# Card\n")
    described, _ = written()
    blessing = standard_artifacts.ModelBlessing()
    blessing.uri = str(tmp_path / "blessing")
    blessing.set_int_custom_property("blessed", 1)
    pushed = standard_artifacts.PushedModel()
    pushed.uri = str(tmp_path / "pushed")
    destination = {"filesystem": {"base_directory": str(tmp_path / "serving")}}
    Pusher().Do(
        {"model": [described], "model_blessing": [blessing]},
        {"pushed_model": [pushed]},
        {"push_destination": json.dumps(destination)},
    )
    (version,) = (tmp_path / "serving").iterdir()
    card = version / "assets.extra" / MODEL_CARD_FILE
    assert card.read_text() == "# Card\n"
    answer = tf.saved_model.load(str(version)).signatures["recommend"](
        history=tf.constant([[b"a"]]),
        exclude=tf.constant([[b"e"]]),
        k=tf.constant(2),
    )
    np.testing.assert_array_equal(answer["item_ids"], [[b"a", b"d"]])


def test_an_evaluation_without_a_card_is_an_error(written):
    with pytest.raises(ValueError, match="model_card.md is missing"):
        written()
