# SPDX-License-Identifier: Apache-2.0
"""Files of a confined worker: inside its volumes, whatever the path or its links say and whoever swaps them."""

from __future__ import annotations

import errno
import os
import stat
import threading
from pathlib import Path, PurePosixPath

import pytest

from accelchain_runtime.engine.function import InputError
from accelchain_runtime.functions.publication import open_sink
from accelchain_runtime.functions.remote import confined

SECRET = b"not for the flow"


@pytest.fixture(params=["openat2", "walk"])
def way(request, monkeypatch):
    """Both ways to open beneath a folder."""
    if request.param == "walk":

        def unknown(*args):
            raise OSError(errno.ENOSYS, "unknown call")

        monkeypatch.setattr(confined, "_openat2", unknown)
    return request.param


@pytest.fixture
def outside(tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.mp4").write_bytes(SECRET)
    return tmp_path / "outside"


@pytest.fixture
def data(tmp_path, clips):
    """The folder that is mounted at /data; here it lies elsewhere, as it does for a worker on a laptop."""
    folder = tmp_path / "volume"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "clip.mp4").write_bytes((clips / "clip.mp4").read_bytes())
    return folder


@pytest.fixture
def rules(reach, data, tmp_path):
    (tmp_path / "fixed").mkdir()
    return reach(volumes=[("/data", data, False), ("/fixed", tmp_path / "fixed", True)])


def test_a_file_of_a_volume_is_read(way, rules, data, decode):
    assert len(decode("file:///data/sub/clip.mp4", rules).pictures) == 20
    (data / "near").symlink_to("sub/../sub/clip.mp4")
    (data / "folder").symlink_to("sub")
    assert len(decode("file:///data/near", rules).pictures) == 20
    assert len(decode("/data/folder/clip.mp4", rules).pictures) == 20


PROCESS_ROOT = "/proc/self/root"


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/etc/passwd",
            "/data/../outside/secret.mp4",
            "/data/sub/../../outside/secret.mp4",
            "/database/x.mp4",
            "/data",
        ),
        *(f"{PROCESS_ROOT}/etc/passwd", "/proc/self/environ", "/data/absolute", "/data/up", "/data/folder/secret.mp4"),
        *(
            "/data/loop",
            "/data/chain",
            "/data/magic/etc/passwd",
            "/data/fd",
            "/data/pipe",
            "/data/sub",
            "/fixed/none.mp4",
        ),
        *("/data/sub/clip.mp4/x", "/data/" + "n" * 300, "//data/sub/clip.mp4", "/data/" + "d/" * 3000),
    ],
)
def test_what_leads_out_is_refused(way, rules, data, outside, decode, path):
    (data / "absolute").symlink_to(outside / "secret.mp4")
    (data / "up").symlink_to("../outside/secret.mp4")
    (data / "folder").symlink_to("../outside")
    (data / "loop").symlink_to("loop")
    (data / "chain").symlink_to("sub/../absolute")
    (data / "magic").symlink_to("/proc/self/root")
    (data / "fd").symlink_to("/proc/self/fd/0")
    os.mkfifo(data / "pipe")
    with pytest.raises(InputError) as caught:
        decode(path, rules)
    assert caught.value.parameter == "uri"


def test_the_volumes_are_named(rules, decode):
    with pytest.raises(InputError, match=r"in no volume of this flow\. Its volumes are /data, /fixed \(read-only\)\."):
        decode("file:///etc/passwd", rules)


def test_a_folder_that_is_swapped_for_a_link_leads_nowhere(way, data, outside):
    """The race of who checks a path and opens it afterwards: one thread swaps, the other opens, thousands of times."""
    (data / "turn").mkdir()
    (data / "turn" / "secret.mp4").write_bytes(b"inside")
    stop = threading.Event()

    def swap():
        while not stop.is_set():
            os.rename(data / "turn", data / "aside")
            os.symlink(outside, data / "turn")
            os.unlink(data / "turn")
            os.rename(data / "aside", data / "turn")

    folder = os.open(data, os.O_PATH)
    thread = threading.Thread(target=swap)
    thread.start()
    seen = set()
    try:
        for _ in range(2000):
            try:
                descriptor = confined.beneath(folder, PurePosixPath("turn/secret.mp4"), os.O_RDONLY)
            except OSError:
                continue
            seen.add(os.read(descriptor, 100))
            os.close(descriptor)
    finally:
        stop.set()
        thread.join()
        os.close(folder)
    assert seen <= {b"inside"}


def test_no_descriptor_is_left_open(way, rules, data, outside, decode):
    (data / "up").symlink_to("../outside/secret.mp4")
    before = len(os.listdir("/proc/self/fd"))
    for path in ("/data/up", "/data/sub", "/data/nothing", "/data/sub/clip.mp4/x"):
        with pytest.raises(InputError):
            decode(path, rules)
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.fixture
def written(context, rules):
    sinks = []

    def write(uri, **others):
        sinks.append(open_sink(uri, context(uri, rules, **others)))
        sinks[-1].file.write(b"result")
        sinks[-1].complete()
        return sinks[-1]

    yield write
    for sink in sinks:
        sink.discard()


def test_a_result_goes_into_a_volume(way, written, data):
    sink = written("file:///data/sub/out.jsonl")
    assert not (data / "sub" / "out.jsonl").exists()
    sink.publish()
    assert (data / "sub" / "out.jsonl").read_bytes() == b"result"
    assert sorted(os.listdir(data / "sub")) == ["clip.mp4", "out.jsonl"]


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/fixed/out.jsonl", "is read-only"),
        ("/out.jsonl", "in no volume"),
        ("/data/../out.jsonl", "not allowed"),
        ("/data/up/out.jsonl", "leads out of the volume at /data"),
        ("/data/absolute/out.jsonl", "leads out of the volume at /data"),
        ("/data/out/x.jsonl", "no such file or folder"),
        ("/data/link.jsonl", "no regular file"),
        ("/data", "is a folder"),
        ("/", "is a folder"),
        ("/data/sub", "is a folder|no regular file"),
        ("/data/" + "n" * 300, "too long"),
    ],
)
def test_results_that_would_go_elsewhere_are_refused(way, written, data, outside, path, sentence):
    (data / "up").symlink_to("../outside")
    (data / "absolute").symlink_to(outside)
    (data / "link.jsonl").symlink_to(outside / "secret.mp4")
    with pytest.raises(InputError, match=sentence):
        written(path)
    assert os.listdir(outside) == ["secret.mp4"]


def test_a_folder_that_is_replaced_by_a_link_before_publication_takes_the_result_nowhere(way, written, data, outside):
    sink = written("file:///data/sub/secret.mp4")
    (data / "sub").rename(data / "moved")
    (data / "sub").symlink_to(outside)
    sink.publish()
    assert (outside / "secret.mp4").read_bytes() == SECRET
    assert (data / "moved" / "secret.mp4").read_bytes() == b"result"


def test_a_link_in_place_of_an_earlier_result_is_replaced_and_not_followed(way, written, data, outside):
    sink = written("file:///data/late.jsonl")
    (data / "late.jsonl").symlink_to(outside / "secret.mp4")
    sink.publish()
    assert (outside / "secret.mp4").read_bytes() == SECRET
    assert stat.S_ISREG(os.lstat(data / "late.jsonl").st_mode)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{target}\n#EXT-X-ENDLIST\n"),
        ("list.mp4", "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile://{target}\n#EXT-X-ENDLIST\n"),
        ("list.ffconcat", "ffconcat version 1.0\nfile {target}\n"),
        ("a.sdp", "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5000 RTP/AVP 96\n"),
    ],
)
def test_a_file_that_names_others_is_refused(rules, data, clips, decode, name, text):
    (data / name).write_text(text.format(target=clips / "clip.ts"))
    with pytest.raises(InputError, match="is no video that can be read"):
        decode(f"/data/{name}", rules)


def test_a_volume_within_another_one_counts(reach, tmp_path, decode, clips):
    for name in ("outer", "inner"):
        (tmp_path / name).mkdir()
    (tmp_path / "inner" / "clip.mp4").write_bytes((clips / "clip.mp4").read_bytes())
    rules = reach(volumes=[("/data", tmp_path / "outer", False), ("/data/inner", tmp_path / "inner", True)])
    assert len(decode("/data/inner/clip.mp4", rules).pictures) == 20


def test_a_volume_that_is_not_there_is_said(reach, decode):
    with pytest.raises(InputError, match="the volume at /data is not there"):
        decode("/data/clip.mp4", reach(volumes=[("/data", Path("/nonexistent/folder"), False)]))
