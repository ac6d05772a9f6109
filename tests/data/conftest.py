import contextlib
import gzip
import http.server
import os
import struct
import threading
from pathlib import Path

import numpy as np
import pytest

from pixkit.components.spec import ComponentSpec, Entry
from pixkit.data import SOURCES, prepare
from pixkit.errors import DataError


@pytest.fixture
def make(tmp_path):
    """make(source, **config) -> Dataset; `cls` takes another class than the registered one."""

    def build(name, cls=None, base=tmp_path, progress=None, **config):
        cls = cls or SOURCES[name]
        entry = Entry("data", name, cls, "pixkit", "0")
        return prepare(ComponentSpec(entry, cls.Config(**config), "source"), base, progress)

    return build


@pytest.fixture
def real_data():
    """The folder of real data sets, or a skip."""
    own = os.environ.get("PIXKIT_DATA")
    folder = Path(own) if own else Path(__file__).resolve().parents[3] / "shared" / "data"
    if not (folder / "mnist").is_dir():
        pytest.skip(f"no MNIST in {folder}: PIXKIT_DATA names the folder of real data")
    return folder


@pytest.fixture
def said_of():
    """said_of(call) -> message, found, expected and hint of the DataError that it raises, at the place "x"."""

    def said(call):
        with pytest.raises(DataError) as caught:
            call()
        error = caught.value
        assert error.where == "x"
        return error.message, error.found, error.expected, error.hint

    return said


def idx(array):
    array = np.asarray(array, dtype=np.uint8)
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def idx_files():
    """Contents of the four files of a tiny MNIST, 12 and 5 images of 4x3, by stem."""
    rng = np.random.default_rng(0)
    contents = {}
    for part, count in (("train", 12), ("t10k", 5)):
        contents[f"{part}-images-idx3"] = idx(rng.integers(0, 256, (count, 4, 3)))
        contents[f"{part}-labels-idx1"] = idx(np.arange(count) % 10)
    return contents


@pytest.fixture
def idx_root(tmp_path, idx_files):
    """A folder with those files, images gzipped and labels plain."""
    root = tmp_path / "root"
    root.mkdir()
    for stem, content in idx_files.items():
        if "images" in stem:
            (root / f"{stem}-ubyte.gz").write_bytes(gzip.compress(content))
        else:
            (root / f"{stem}-ubyte").write_bytes(content)
    return root


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        name = self.path.strip("/")
        wanted = self.headers.get("Range")
        server.requests.append((name, wanted))
        if server.barrier is not None:
            with contextlib.suppress(threading.BrokenBarrierError):
                server.barrier.wait()
        if name not in server.files:
            self.send_error(404)
            return
        content = server.files[name]
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and server.ranges else 0
        if start >= len(content):
            self.send_error(416)
            return
        body = content[start:]
        self.send_response(206 if start else 200)
        if start:
            place = start + server.shift
            self.send_header("Content-Range", f"bytes {place}-{len(content) - 1}/{len(content)}")
        if server.announce:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: server.drops.pop(0)] if server.drops else body)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(monkeypatch):
    """A local web server: `files` by name; `drops` cuts the next replies short; `requests` is what was asked for."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as web:
        web.files, web.requests, web.drops = {}, [], []
        web.ranges, web.announce, web.shift, web.barrier = True, True, 0, None
        web.url = f"http://127.0.0.1:{web.server_port}/"
        thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield web
        web.shutdown()
        thread.join()
