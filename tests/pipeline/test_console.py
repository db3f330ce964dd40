"""Which messages reach a person."""

import logging

from pipeline import console


def test_last_words_of_an_error_in_this_process():
    assert console.last_words(KeyError("a")) == "KeyError: 'a'"
    assert console.last_words(RuntimeError()) == "RuntimeError"


def test_last_words_of_a_beam_worker():
    text = (
        "Traceback (most recent call last):\n"
        '  File "a.py", line 1, in f\n'
        "    x\n"
        "KeyError: 1\n\n"
        "During handling of the above exception, another exception "
        "occurred:\n\n"
        "Traceback (most recent call last):\n"
        '  File "b.py", line 2, in g\n'
        "    raise\n"
        "ValueError: Row 3 of x.csv has 2 columns.\nFix: check it."
    )
    assert console.last_words(RuntimeError(text)) == (
        "ValueError: Row 3 of x.csv has 2 columns.\nFix: check it."
    )


def shown(path, level, name="any"):
    record = logging.LogRecord(name, level, path, 1, "text", None, None)
    return bool(console._OwnRecords().filter(record))


def test_own_messages_and_library_errors_are_shown():
    own = console._REPOSITORY + "models/fitting/fit.py"
    library = console._REPOSITORY + ".venv/lib/site-packages/x/y.py"
    assert shown(own, logging.INFO)
    assert not shown(own, logging.DEBUG)
    assert not shown(library, logging.WARNING)
    assert shown(library, logging.ERROR)
    # TFX says through absl what the run says at its end in fewer words.
    assert not shown(library, logging.ERROR, "absl")


def test_the_log_of_a_run_holds_what_the_console_does_not(tmp_path, capsys):
    path = tmp_path / "shop" / "run.log"
    logger = logging.getLogger("absl")
    with console.logging_to(path):
        logger.info("many words")
    logger.info("after the run")
    text = path.read_text()
    assert "many words" in text
    assert "after the run" not in text
    assert "many words" not in capsys.readouterr().err
