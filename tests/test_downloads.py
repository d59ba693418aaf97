"""Downloads through pooch, from a server on this machine."""

import hashlib
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from symnets import downloads as module
from symnets.data._published_images import IDX
from symnets.downloads import Published, cache, download

CONTENT = b"sixteen by eight"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Quiet(SimpleHTTPRequestHandler):
    """Server of a folder that records requests."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        super().do_GET()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Folder of a local server, its address, and the list of requests."""
    folder = tmp_path / "served"
    folder.mkdir()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    asked: list[str] = []
    handler = type("Handler", (Quiet,), {"asked": asked})
    http = ThreadingHTTPServer(("127.0.0.1", 0), lambda *args: handler(*args, directory=str(folder)))
    thread = threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield folder, f"http://127.0.0.1:{http.server_address[1]}", asked
    http.shutdown()
    thread.join()
    http.server_close()


def test_a_file_is_downloaded_once(server, tmp_path):
    folder, url, asked = server
    (folder / "images.gz").write_bytes(CONTENT)
    published = Published(f"{url}/images.gz", SHA256)
    for _ in range(2):
        assert download(published, tmp_path / "cache").read_bytes() == CONTENT
    assert asked == ["/images.gz"]


def test_a_wrong_checksum_is_refused_and_nothing_is_kept(server, tmp_path):
    folder, url, _ = server
    (folder / "images.gz").write_bytes(b"something else")
    found = hashlib.sha256(b"something else").hexdigest()
    with pytest.raises(ValueError, match=r"images\.gz from http.* wrong checksum") as caught:
        download(Published(f"{url}/images.gz", SHA256), tmp_path / "cache")
    for part in (SHA256, found, "SYMNETS_DATA"):
        assert part in str(caught.value)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_damaged_file_in_the_cache_is_downloaded_again(server, tmp_path):
    folder, url, asked = server
    (folder / "images.gz").write_bytes(CONTENT)
    published = Published(f"{url}/images.gz", SHA256)
    download(published, tmp_path / "cache").write_bytes(b"damaged")
    assert download(published, tmp_path / "cache").read_bytes() == CONTENT
    assert len(asked) == 2


def test_a_missing_file_on_the_server_is_an_error(server, tmp_path):
    _, url, _ = server
    with pytest.raises(OSError, match=r"download to .* failed: 404.*SYMNETS_DATA"):
        download(Published(f"{url}/nothing.gz", SHA256), tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_the_cache_is_in_the_users_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache() == Path(tmp_path, "symnets")
    assert module.pooch.os_cache("symnets") == cache()


def test_known_checksums_are_sha256_and_all_different():
    published = [file for parts in IDX.values() for pair in parts.values() for file in pair]
    assert len({file.sha256 for file in published}) == len(published) == 8
    assert all(len(bytes.fromhex(file.sha256)) == 32 for file in published)
