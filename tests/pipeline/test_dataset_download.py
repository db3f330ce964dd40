"""Downloads from a server on this machine that breaks off and lies."""

import contextlib
import dataclasses
import gzip
import hashlib
import http.server
import io
import threading
import zipfile

import numpy as np
import pytest

from pipeline import dataset_download, datasets
from pipeline.dataset_catalogue import (
    Counts,
    DatasetError,
    Download,
    load_catalogue,
)
from pipeline.dataset_download import download, show_progress

PAGE = "https://example.org/data"
NOISE = np.random.default_rng(0).bytes(300_000)
RATINGS = b"u1::a::5::10\nu2::b::4::20\nu1::b::3::30\nu2::c::1::40\n"


class Server:
    """Serves `files`; what it does wrong is set by the attributes.

    Attributes:
        files: path without slash to content.
        cut_at: bytes of a file after which connections break; None never.
        cuts: how many connections break; None all.
        ranges: whether Range is understood.
        requests: (path, Range) of all requests.
    """

    def __init__(self):
        self.files = {}
        self.cut_at = None
        self.cuts = None
        self.ranges = True
        self.requests = []

    def answer(self, handler):
        name = handler.path.lstrip("/")
        wanted = handler.headers.get("Range")
        self.requests.append((name, wanted))
        if name not in self.files:
            handler.send_error(404)
            return
        content = self.files[name]
        start = 0
        if wanted and self.ranges:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                handler.send_response(416)
                handler.send_header("Content-Range", f"bytes */{len(content)}")
                handler.send_header("Content-Length", "0")
                handler.end_headers()
                return
            handler.send_response(206)
            handler.send_header(
                "Content-Range",
                f"bytes {start}-{len(content) - 1}/{len(content)}",
            )
        else:
            handler.send_response(200)
        handler.send_header("Content-Length", str(len(content) - start))
        handler.end_headers()
        end = len(content)
        if self.cut_at is not None and self.cuts != 0:
            end = max(self.cut_at, start)
            if self.cuts is not None:
                self.cuts -= 1
        handler.wfile.write(content[start:end])
        handler.close_connection = True


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(dataset_download, "_WAIT_SECONDS", 0.0)
    state = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):  # noqa: N802
            state.answer(self)

        def log_message(self, *arguments):
            pass

    with contextlib.closing(Closing(Handler)) as running:
        state.url = f"http://127.0.0.1:{running.port}"
        yield state


class Closing:
    def __init__(self, handler):
        self._server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), handler
        )
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def source_of(server, name, content, **keywords):
    server.files[name] = content
    return Download(
        f"{server.url}/{name}", keywords.pop("save_as", name), **keywords
    )


def sha256(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


def error_of(*arguments):
    with pytest.raises(DatasetError) as caught:
        download(*arguments)
    return str(caught.value)


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_whole_file_arrives_with_progress(server, tmp_path, capsys):
    source = source_of(server, "a.bin", NOISE, digest=sha256(NOISE))
    path = download(source, tmp_path / "new" / "folder", PAGE)
    assert path.read_bytes() == NOISE
    assert names_in(path.parent) == ["a.bin"]
    assert "a.bin: 0.3 MB of 0.3 MB (100%)" in capsys.readouterr().err


def test_a_broken_connection_is_resumed_in_the_same_call(server, tmp_path):
    source = source_of(server, "a.bin", NOISE, digest=sha256(NOISE))
    server.cut_at, server.cuts = 1000, 1
    path = download(source, tmp_path, PAGE)
    assert path.read_bytes() == NOISE
    assert server.requests == [("a.bin", None), ("a.bin", "bytes=1000-")]


def test_a_download_that_was_killed_is_resumed(server, tmp_path):
    source = source_of(server, "a.bin", NOISE, digest=sha256(NOISE))
    (tmp_path / "a.bin.part").write_bytes(NOISE[:1500])
    assert download(source, tmp_path, PAGE).read_bytes() == NOISE
    assert server.requests == [("a.bin", "bytes=1500-")]
    assert names_in(tmp_path) == ["a.bin"]


def test_a_part_that_is_complete_is_only_verified(server, tmp_path):
    source = source_of(server, "a.bin", NOISE, digest=sha256(NOISE))
    (tmp_path / "a.bin.part").write_bytes(NOISE)
    assert download(source, tmp_path, PAGE).read_bytes() == NOISE
    assert server.requests == [("a.bin", f"bytes={len(NOISE)}-")]


def test_a_truncated_file_is_refused_and_its_beginning_kept(server, tmp_path):
    source = source_of(server, "a.bin", NOISE)
    server.cut_at = 1000
    message = error_of(source, tmp_path, PAGE)
    assert "ended after 1,000 of 300,000 bytes" in message
    assert "the same command continues there" in message
    assert names_in(tmp_path) == ["a.bin.part"]
    server.cut_at = None
    assert download(source, tmp_path, PAGE).read_bytes() == NOISE
    assert server.requests[-1] == ("a.bin", "bytes=1000-")


def test_a_part_longer_than_the_file_is_thrown_away(server, tmp_path):
    source = source_of(server, "a.bin", NOISE)
    (tmp_path / "a.bin.part").write_bytes(NOISE + b"of an older file")
    assert download(source, tmp_path, PAGE).read_bytes() == NOISE
    assert server.requests[-1] == ("a.bin", None)


def test_a_server_without_ranges_starts_over(server, tmp_path):
    source = source_of(server, "a.bin", NOISE)
    server.ranges = False
    (tmp_path / "a.bin.part").write_bytes(NOISE[:1500])
    assert download(source, tmp_path, PAGE).read_bytes() == NOISE


def test_other_content_of_the_same_size_is_refused(server, tmp_path):
    other = NOISE[:-1] + bytes([NOISE[-1] ^ 1])
    source = source_of(server, "a.bin", other, digest=sha256(NOISE))
    message = error_of(source, tmp_path, PAGE)
    assert "is not the published file: sha256" in message
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("damage", ["cut", "flipped", "a web page"])
def test_a_damaged_gzip_file_is_refused(damage, server, tmp_path):
    packed = bytearray(gzip.compress(NOISE))
    packed[-8] ^= 1  # of the checksum
    content = {
        "cut": bytes(gzip.compress(NOISE)[:-100]),
        "flipped": bytes(packed),
        "a web page": b"<html>moved</html>",
    }[damage]
    source = source_of(server, "a.json.gz", content)
    assert "no sound gzip file" in error_of(source, tmp_path, PAGE)
    assert names_in(tmp_path) == []


def test_an_existing_file_is_kept_without_a_request(server, tmp_path):
    source = source_of(server, "a.bin", NOISE)
    (tmp_path / "a.bin").write_bytes(b"mine")
    assert download(source, tmp_path, PAGE).read_bytes() == b"mine"
    assert server.requests == []


def zip_of(**members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/"), content)
    return buffer.getvalue()


def test_one_member_of_an_archive_is_taken_out(server, tmp_path):
    content = zip_of(ml__README=b"terms", ml__ratings=RATINGS)
    source = source_of(
        server, "ml.zip", content, member="ml/ratings", save_as="ratings.gz"
    )
    path = download(source, tmp_path, PAGE)
    assert gzip.decompress(path.read_bytes()) == RATINGS
    assert names_in(tmp_path) == ["ratings.gz"]
    plain = dataclasses.replace(source, save_as="ratings")
    assert download(plain, tmp_path, PAGE).read_bytes() == RATINGS


@pytest.mark.parametrize("fault", ["no such member", "no archive"])
def test_an_archive_without_the_member_is_an_error(fault, server, tmp_path):
    content = NOISE if fault == "no archive" else zip_of(other=b"x")
    source = source_of(
        server, "ml.zip", content, member="ml/ratings", save_as="ratings.gz"
    )
    message = error_of(source, tmp_path, PAGE)
    assert "ml.zip does not hold ml/ratings" in message
    assert names_in(tmp_path) == ["ml.zip"]


def test_errors_of_the_server_point_to_the_page(server, tmp_path):
    source = Download(f"{server.url}/gone.bin", "gone.bin")
    message = error_of(source, tmp_path, PAGE)
    assert "answers 404" in message and PAGE in message
    # Port 9 of this machine: nothing listens there.
    source = Download("http://127.0.0.1:9/a.bin", "a.bin")
    message = error_of(source, tmp_path, PAGE)
    assert "cannot be reached" in message and PAGE in message


def test_progress_is_a_line_per_tenth_or_one_line_on_a_terminal():
    out = io.StringIO()
    report = show_progress("a", out)
    for done in range(0, 1001):
        report(done * 1000, 1_000_000)
    lines = out.getvalue().splitlines()
    assert len(lines) == 11
    assert lines[0].startswith("a: 0.0 MB of 1.0 MB (0%)")
    assert lines[-1].startswith("a: 1.0 MB of 1.0 MB (100%)")

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    out = Terminal()
    report = show_progress("a", out)
    report(0, 100)
    report(100, 100)
    assert out.getvalue().count("\r") == out.getvalue().count("\n") == 1


def movielens(server, counts):
    """A catalogue whose MovieLens-1M is four lines on our server."""
    real = load_catalogue()
    content = zip_of(**{"ml-1m__ratings.dat": RATINGS})
    server.files["ml-1m.zip"] = content
    dataset = dataclasses.replace(
        real.datasets["movielens-1m"],
        counts=Counts(*counts),
        download=Download(
            f"{server.url}/ml-1m.zip",
            "ratings.dat.gz",
            "ml-1m/ratings.dat",
            "md5:" + hashlib.md5(content).hexdigest(),
        ),
    )
    return dataclasses.replace(real, datasets={"movielens-1m": dataset})


def test_terms_are_shown_and_must_be_accepted(server, tmp_path, capsys):
    command = ["download", "movielens-1m", "--root", str(tmp_path)]
    catalogue = movielens(server, (2, 3, 4))
    assert datasets.main(command, catalogue) == 1
    out, err = capsys.readouterr()
    assert "commercial or revenue-bearing use" in " ".join(out.split())
    assert "Nothing was fetched." in err and "--accept-terms" in err
    assert server.requests == [] and names_in(tmp_path) == []


def test_a_download_is_checked_and_says_how_to_go_on(server, tmp_path, capsys):
    command = ["download", "movielens-1m", "--root", str(tmp_path)]
    command.append("--accept-terms")
    assert datasets.main(command, movielens(server, (2, 3, 4))) == 0
    out = capsys.readouterr().out
    assert out.count(" ok ") == 3
    assert "make run CONFIG=pipeline/configs/movielens_1m_sound.yaml\n" in out
    # A second call keeps the file, and counts it again.
    assert datasets.main(command, movielens(server, (2, 3, 5))) == 1
    out = capsys.readouterr().out
    assert "is there already; remove it to fetch it again" in out
    assert "found 4, expected 5" in out
    assert len(server.requests) == 1


def test_a_failed_download_is_an_exit_code(server, tmp_path, capsys):
    command = ["download", "movielens-1m", "--root", str(tmp_path)]
    command.append("--accept-terms")
    catalogue = movielens(server, (2, 3, 4))
    server.files.clear()
    assert datasets.main(command, catalogue) == 1
    assert "answers 404" in capsys.readouterr().err
