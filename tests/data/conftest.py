"""Small files in the real formats, and a web server that misbehaves on request."""

import contextlib
import gzip
import hashlib
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from gan_lab.data.formats import format_idx
from gan_lab.data.idx import IdxFile
from gan_lab.data.mnist import MNIST, SHAPES

NUM_TRAIN, NUM_TEST = 60, 20


@pytest.fixture
def idx_contents() -> dict[str, bytes]:
    """The four files of MNIST in small: name -> content."""
    random = np.random.default_rng(0)
    contents = {}
    for name, shape in SHAPES.items():
        count = NUM_TRAIN if name.startswith("train") else NUM_TEST
        high = 256 if "images" in name else 10
        array = random.integers(0, high, (count, *shape[1:]))
        contents[name] = format_idx(array.astype(np.uint8))
    return contents


@pytest.fixture
def small_mnist(
    idx_contents: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> dict[str, bytes]:
    """MNIST expects the small files, and has nowhere to fetch them from."""
    files = {
        name: IdxFile(
            ((NUM_TRAIN if name.startswith("train") else NUM_TEST), *SHAPES[name][1:]),
            hashlib.sha256(content).hexdigest(),
        )
        for name, content in idx_contents.items()
    }
    monkeypatch.setattr(MNIST, "FILES", files)
    monkeypatch.setattr(MNIST, "MIRRORS", ())
    monkeypatch.setattr(MNIST, "num_train", NUM_TRAIN)
    return idx_contents


@pytest.fixture
def mnist_root(tmp_path: Path, small_mnist: dict[str, bytes]) -> str:
    """A folder with the small MNIST in it."""
    for name, content in small_mnist.items():
        (tmp_path / name).write_bytes(content)
    return str(tmp_path)


class Web:
    """Serves `pages`; `log` tells what was asked for, and `delay` keeps the answers back."""

    def __init__(self, address: str):
        self.address = address
        self.pages: dict[str, bytes] = {}
        self.log: list[str] = []
        self.delay = 0.0


@pytest.fixture
def web() -> Iterator[Web]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.log.append(self.path)
            time.sleep(site.delay)
            content = site.pages.get(self.path)
            with contextlib.suppress(OSError):  # the client may have given up
                self.send_response(404 if content is None else 200)
                self.send_header("Content-Length", str(len(content or b"")))
                self.end_headers()
                self.wfile.write(content or b"")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site = Web(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield site
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def mirror(web: Web, small_mnist: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Web:
    """A mirror of the small MNIST."""
    web.pages = {f"/mnist/{name}.gz": gzip.compress(data) for name, data in small_mnist.items()}
    monkeypatch.setattr(MNIST, "MIRRORS", (f"{web.address}/mnist/",))
    return web
