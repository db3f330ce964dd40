"""Models that give nearly everybody the same few items are warned of."""

import pytest

from components.ranking_evaluator import concentration
from tests.components import test_ranking_evaluator as evaluator

artifacts = evaluator.artifacts

MAIN = ("last", "filtered")


def measured(**coverages):
    """Metrics of models of which coverage@10 in the main setting is given."""
    return {
        model: {
            "last": {
                "filtered": {"coverage_at_10": coverage},
                # of what is not looked at
                "kept": {"coverage_at_10": 0.5},
            }
        }
        for model, coverage in coverages.items()
    }


@pytest.mark.parametrize(
    ("ours", "warned"), [(0.0399, True), (0.04, False), (0.9, False)]
)
def test_less_than_a_tenth_of_poprnd_is_told(ours, warned):
    metrics = measured(model=ours, popular_random=0.4)
    assert bool(concentration.sentence(metrics, MAIN, 10)) == warned


def test_the_warning_has_both_figures_and_what_to_do():
    metrics = measured(model=0.0123, popular_random=0.4)
    line = concentration.sentence(metrics, MAIN, 10)
    assert line.startswith(
        "Coverage@10 is 1.23 %, less than a tenth of PopRnd's 40.00 %: "
    )
    assert "less dropout" in line and "coverage_at_10" in line


def test_without_poprnd_nothing_is_said():
    assert concentration.sentence(measured(model=0.001), MAIN, 10) == ""


def test_the_report_shows_it_beside_the_verdict(
    artifacts, tmp_path, monkeypatch
):
    """Only then: the toy's five items cannot differ tenfold by themselves."""
    evaluator._save(tmp_path / "model" / "Format-Serving")
    page = tmp_path / "evaluation" / "report.html"
    evaluator._execute(artifacts, tmp_path)
    assert "less than a tenth" not in page.read_text()
    monkeypatch.setattr(concentration, "_TIMES_FEWER", 0.1)
    evaluator._execute(artifacts, tmp_path)
    text = page.read_text()
    assert text.count('<p class="warning">Coverage@3 is 66.67 %') == 1
    assert text.index("Coverage@3 is 66.67 %") < text.index("</section>")
