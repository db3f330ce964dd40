"""The report's templates by themselves."""

import re
from pathlib import Path

from components.ranking_evaluator.report import page


def test_every_class_has_a_style():
    """Without one long folders and lists ran out of the page."""
    templates = sorted(Path(page._TEMPLATES).glob("*.j2"))
    text = "".join(path.read_text(encoding="utf-8") for path in templates)
    (style,) = re.findall(r"(?s)<style>(.*?)</style>", text)
    used = {
        name
        for names in re.findall(r'class="([^"{]+)', text)
        for name in names.split()
    }
    assert {"trials", "whole-ids"} <= used
    assert used <= set(re.findall(r"\.([a-z][a-z-]*)", style))
