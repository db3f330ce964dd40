"""Which folders are versions, and which of them is the newest."""

import subprocess
import sys

import pytest
import tensorflow as tf

from pipeline.config import REPOSITORY
from serving import version_folders


@pytest.fixture
def base_path(tmp_path):
    """Versions 2 and 10, and much that is none."""
    for name in ("2", "10", "1x", "-3", "²", "notes", "9" * 30):
        (tmp_path / name).mkdir()
        (tmp_path / name / "saved_model.pb").write_text("model")
    (tmp_path / "11").mkdir()  # Being pushed.
    (tmp_path / "12").write_text("a file")
    return tmp_path


def test_complete_versions_count_by_number(base_path):
    base = str(base_path)
    assert version_folders.find(base) == {
        2: f"{base}/2",
        10: f"{base}/10",
    }
    assert list(version_folders.find(base)) == [2, 10]
    assert version_folders.newest(base) == f"{base}/10"
    for nothing in (f"{base}/notes", f"{base}/12", f"{base}/none"):
        assert version_folders.find(nothing) == {}
        assert version_folders.newest(nothing) is None


def test_a_number_written_twice_is_one_version(base_path):
    (base_path / "0010").mkdir()
    (base_path / "0010" / "saved_model.pb").write_text("other")
    assert version_folders.newest(str(base_path)) == str(base_path / "10")
    assert version_folders.find(str(base_path))[10] == str(base_path / "10")


def test_a_folder_without_versions_names_the_one_meant(base_path, tmp_path):
    shop = tmp_path / "shop"
    for version in ("3", "4"):
        (shop / "create" / version).mkdir(parents=True)
    pending = version_folders.why_none(str(shop / "create"))
    assert pending == (
        f"no numbered version in {shop}/create: 3, 4 without saved_model.pb "
        "(not yet there?)"
    )
    (shop / "create" / "3" / "saved_model.pb").write_text("model")
    assert version_folders.why_none(str(shop)) == (
        f"no numbered version in {shop}; did you mean {base_path} or "
        f"{shop}/create?"
    )
    assert version_folders.why_none(f"{shop}/create/3/") == (
        f"no numbered version in {shop}/create/3/, which is itself a "
        f"SavedModel; did you mean {shop}/create?"
    )
    alone = tmp_path / "shop" / "own" / "model"
    alone.mkdir(parents=True)
    assert version_folders.why_none(str(alone)).endswith(str(alone))
    (alone / "saved_model.pb").write_text("model")
    assert version_folders.why_none(str(alone)).endswith(f"such as {alone}/1")
    assert version_folders.why_none(f"{alone}/no") == (
        f"there is no folder {alone}/no"
    )


def test_a_uri_is_tensorflows():
    tf.io.gfile.makedirs("ram://models/7")
    with tf.io.gfile.GFile("ram://models/7/saved_model.pb", "w") as file:
        file.write("model")
    assert version_folders.newest("ram://models") == "ram://models/7"
    assert version_folders.newest("ram://others") is None


def test_a_local_folder_needs_no_tensorflow(base_path):
    program = (
        "import sys; from serving import version_folders\n"
        f"assert version_folders.newest({str(base_path)!r}).endswith('/10')\n"
        "assert 'tensorflow' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, check=True)
