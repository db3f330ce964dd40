"""Every failure of the doctor is one line with its fix."""

import shutil
from importlib import metadata

import pytest

from components.package_versions import MAIN_PACKAGES
from pipeline import doctor
from pipeline import doctor_checks as checks
from serving import custom_ops

GIB = 2**30


def failure(function, *arguments, **keywords):
    with pytest.raises(checks.Failure) as caught:
        function(*arguments, **keywords)
    message = str(caught.value)
    assert "\n" not in message
    assert "Fix: " in message
    return message


def test_other_pythons_fail():
    assert checks.check_python((3, 10, 4)) == "3.10.4"
    assert "found 3.11.2" in failure(checks.check_python, (3, 11, 2))


def test_locked_versions(tmp_path):
    lock = tmp_path / "requirements.lock"
    lock.write_text(
        "".join(
            f"{name}[extra]==1.0 \\\n    --hash=sha256:00\n    # via x==2\n"
            for name in MAIN_PACKAGES
        )
    )
    found = dict.fromkeys(MAIN_PACKAGES, "1.0")
    assert checks.check_lock(lock, found.__getitem__).startswith(
        f"{len(MAIN_PACKAGES)} "
    )
    found["apache-beam"] = "2.69.0"
    message = failure(checks.check_lock, lock, found.__getitem__)
    assert message.startswith("apache-beam 2.69.0, locked 1.0. Fix: ")

    def absent(name):
        raise metadata.PackageNotFoundError(name)

    assert "tfx missing, locked 1.0" in failure(checks.check_lock, lock, absent)


def test_this_environment_matches_the_lock():
    assert checks.check_lock().endswith("requirements.lock")


def test_keras_3_fails():
    message = failure(checks.check_legacy_keras, "keras.src.models.model")
    assert "found" not in message
    assert "tf.keras is keras" in message
    assert "TF_USE_LEGACY_KERAS=1" in message
    assert checks.check_legacy_keras("tf_keras.src.engine").startswith("tf_k")


def test_disk_and_memory_have_two_limits():
    assert "0.5 GiB free" in failure(checks.check_disk, GIB // 2)
    with pytest.raises(checks.Note):
        checks.check_disk(2 * GIB)
    assert checks.check_disk(50 * GIB) == "50 GiB free"
    assert "1.5 GiB available" in failure(checks.check_memory, 3 * GIB // 2)
    with pytest.raises(checks.Note):
        checks.check_memory(3 * GIB)
    assert checks.check_memory(8 * GIB) == "8 GiB available"


@pytest.mark.parametrize(
    ("limit", "current", "stat", "gib"),
    [
        # 7.5 of 8 GiB are used, but 6 of them are what files left in the
        # cache. Memory that programs share (shmem) is in `file` and stays.
        (8 * GIB, 15 * GIB // 2, (4 * GIB, 2 * GIB, 0), 6.5),
        (8 * GIB, 15 * GIB // 2, (GIB, 0, GIB), 2.5),
        (8 * GIB, 15 * GIB // 2, (0, 0, 0), 0.5),
        (64 * GIB, 0, (0, 0, 0), 30),
        ("max", 15 * GIB // 2, (0, 0, 0), 30),
    ],
)
def test_the_page_cache_of_a_container_is_available(
    limit, current, stat, gib, tmp_path
):
    inactive, active, slab = stat
    (tmp_path / "meminfo").write_text(
        f"MemTotal: 99999999 kB\nMemAvailable: {30 * 2**20} kB\n"
    )
    (tmp_path / "memory.max").write_text(f"{limit}\n")
    (tmp_path / "memory.current").write_text(f"{current}\n")
    (tmp_path / "memory.stat").write_text(
        f"anon 1\nfile {7 * GIB}\ninactive_file {inactive}\n"
        f"active_file {active}\nslab_reclaimable {slab}\n"
    )
    found = checks._available_memory(tmp_path / "meminfo", tmp_path)
    assert found == gib * GIB


def test_without_a_cgroup_the_kernel_is_asked_alone(tmp_path):
    (tmp_path / "meminfo").write_text("MemAvailable: 1024 kB\n")
    found = checks._available_memory(tmp_path / "meminfo", tmp_path / "no")
    assert found == 2**20


def test_no_gpu_is_no_failure():
    with pytest.raises(checks.Note, match="CPU"):
        checks.check_gpu([])
    assert checks.check_gpu(["gpu:0", "gpu:1"]) == "2: gpu:0, gpu:1"


def test_scann_is_optional_but_must_load():
    def absent(name):
        raise metadata.PackageNotFoundError(name)

    def breaks(needed_by):
        raise custom_ops.MissingOpsError(f"{needed_by}, not for 2.16. Fix: x")

    with pytest.raises(checks.Note, match="only serving.index scann"):
        checks.check_scann(absent)
    found = {"scann": "1.4.0"}.__getitem__
    assert checks.check_scann(found, lambda needed_by: None) == "1.4.0"
    assert "1.4.0: it is installed, not for 2.16" in failure(
        checks.check_scann, found, breaks
    )


def test_missing_command_is_named(tmp_path):
    (tmp_path / "tfx").write_text("")
    (tmp_path / "tfx").chmod(0o755)
    assert "no pip in" in failure(checks.check_tfx_command, tmp_path)


def test_exit_code_and_lines(capsys):
    def fails():
        raise checks.Failure("found 1, needed 2. Fix: add 1")

    def breaks():
        raise ImportError("libfoo.so: no such file")

    def notes():
        raise checks.Note("none")

    good = [("fine", lambda: "1.0"), ("gpu", notes)]
    assert doctor.main(good) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["ok", "fine", "1.0"]
    assert lines[1].split() == ["note", "gpu", "none"]

    assert doctor.main([*good, ("bad", fails), ("lib", breaks)]) == 1
    out, err = capsys.readouterr()
    assert "FAIL  bad             found 1, needed 2. Fix: add 1\n" in out
    assert "ImportError: libfoo.so: no such file. Fix: make clean" in out
    assert "2 of 4 checks failed" in err


def test_brief_shows_only_failures(capsys):
    assert doctor.main([("fine", lambda: "1.0")], brief=True) == 0
    assert "fine" not in capsys.readouterr().out


def test_a_run_hears_of_little_room_where_its_files_will_lie(
    capsys, monkeypatch, tmp_path
):
    folder = tmp_path / "to" / "come"
    usage = {tmp_path: 2 * GIB}  # of the folder that is there

    def disk_usage(path):
        return shutil._ntuple_diskusage(9 * GIB, 7 * GIB, usage[path])

    monkeypatch.setattr(checks.shutil, "disk_usage", disk_usage)
    (disk,) = (c for c in doctor.checks_of_run(str(folder)) if c[0] == "disk")
    assert doctor.main([disk], brief=True) == 0
    assert "2.0 GiB free" in capsys.readouterr().out
    usage[tmp_path] = GIB // 2
    assert doctor.main([disk], brief=True) == 1
    assert f"0.5 GiB free in {folder}" in capsys.readouterr().out


def test_beam_really_runs():
    assert "DirectRunner" in checks.check_beam()


def test_a_step_that_cannot_be_imported_is_named_with_its_library(
    tmp_path, monkeypatch
):
    """The slim image had no libgomp: the doctor was content, no step ran."""
    (tmp_path / "no_openmp.py").write_text(
        'raise ImportError("libgomp.so.1: cannot open shared object file")'
    )
    (tmp_path / "no_package.py").write_text("import no_such_package_at_all")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(checks.Failure, match="no_openmp: .*that has libgomp"):
        checks.check_steps(["json", "no_openmp"])
    with pytest.raises(checks.Failure, match="no_such_package.*make clean"):
        checks.check_steps(["no_package"])
    assert checks.check_steps(["json"]) == "1 load"


def test_the_doctor_loads_every_step():
    assert checks.check_steps() == "9 load"
