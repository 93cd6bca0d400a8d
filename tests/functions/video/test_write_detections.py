# SPDX-License-Identifier: Apache-2.0
"""write-detections: one line a frame, and a file that is there only when it is whole."""

from __future__ import annotations

import json
import os
import resource

import numpy as np
import pytest

from accelchain_runtime.engine.function import FrameInfo, InputError, TensorSpec
from accelchain_runtime.functions.files import WriteError
from accelchain_runtime.functions.write_detections.host import WriteDetections

DETECTIONS = TensorSpec((100, 6), "float32")


class Slot:
    def __init__(self, rows):
        self.array = np.zeros(DETECTIONS.shape, np.float32)
        if rows:
            self.array[: len(rows)] = rows


@pytest.fixture
def open_sink(context):
    sinks = []

    def start(uri, **parameters):
        sink = WriteDetections()
        sinks.append(sink)
        assert sink.setup(context({"uri": str(uri), **parameters}, inputs={"detections": DETECTIONS})) == {}
        return sink

    yield start
    for sink in sinks:
        sink.close(discard=True)


def finish(sink):
    """End as a run does that succeeds."""
    results = sink.finish()
    sink.publish()
    return results


def write(sink, number, rows, time=None):
    frame = FrameInfo(number, number / 10 if time is None else time, (64, 48))
    sink.enqueue(frame, {"detections": Slot(rows)}, {}, None, ())


def test_writes_a_line_a_frame_also_when_nothing_was_found(tmp_path, open_sink):
    path = tmp_path / "out.jsonl"
    sink = open_sink(path.as_uri())
    write(sink, 0, [(500.04, 160.06, 529, 233, 0.97123, 0), (1, 2, 3, 4, 0.5, 0)])
    write(sink, 1, [])
    write(sink, 2, [(1, 2, 3, 4, 0.5, 0)], time=1 / 3)
    assert finish(sink) == {"frames": 3, "detections": 3}
    sink.close()
    assert path.read_text() == (
        '{"frame": 0, "time": 0.0, "detections": ['
        '{"box": [500.0, 160.1, 529.0, 233.0], "score": 0.9712, "label": "person"}, '
        '{"box": [1.0, 2.0, 3.0, 4.0], "score": 0.5, "label": "person"}]}\n'
        '{"frame": 1, "time": 0.1, "detections": []}\n'
        '{"frame": 2, "time": 0.333333, "detections": ['
        '{"box": [1.0, 2.0, 3.0, 4.0], "score": 0.5, "label": "person"}]}\n'
    )


def test_labels_name_classes_and_a_class_without_a_name_has_its_number(tmp_path, open_sink):
    path = tmp_path / "out.jsonl"
    sink = open_sink(path, labels="cat, dog")
    write(sink, 0, [(1, 2, 3, 4, 0.5, 1), (1, 2, 3, 4, 0.5, 2)])
    finish(sink)
    assert [d["label"] for d in json.loads(path.read_text())["detections"]] == ["dog", "class 2"]


def test_rows_without_numbers_leave_the_file_valid_json(tmp_path, open_sink):
    path = tmp_path / "out.jsonl"
    sink = open_sink(path)
    write(sink, 0, [(np.nan, 2, 3, 4, 0.5, 0), (1, 2, np.inf, 4, 0.5, 0), (1, 2, 3, 4, 0.5, 0)])
    finish(sink)
    assert len(json.loads(path.read_text())["detections"]) == 1


def test_an_earlier_result_stays_until_the_new_one_is_whole(tmp_path, open_sink):
    path = tmp_path / "out.jsonl"
    path.write_text("earlier")
    sink = open_sink(path)
    write(sink, 0, [])
    assert path.read_text() == "earlier"
    finish(sink)
    assert json.loads(path.read_text())["frame"] == 0
    assert os.listdir(tmp_path) == ["out.jsonl"]
    assert path.stat().st_mode & 0o777 == 0o666 & ~current_umask()


def current_umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.fixture(params=["anonymous", "named"])
def unfinished(request, monkeypatch):
    """File systems that know files without a name, and those that don't."""
    if request.param == "named":
        real = os.open

        def without_anonymous_files(path, flags, *rest, **others):
            if flags & os.O_TMPFILE == os.O_TMPFILE:
                raise OSError(95, "Operation not supported")
            return real(path, flags, *rest, **others)

        monkeypatch.setattr(os, "open", without_anonymous_files)
    return request.param


def test_a_run_that_failed_leaves_the_folder_as_it_was(tmp_path, open_sink, unfinished):
    path = tmp_path / "out.jsonl"
    path.write_text("earlier")
    sink = open_sink(path)
    write(sink, 0, [])
    names = sorted(os.listdir(tmp_path))
    assert names == ["out.jsonl"] if unfinished == "anonymous" else names[0].endswith(".part") and len(names) == 2
    sink.close(discard=True)
    assert os.listdir(tmp_path) == ["out.jsonl"]
    assert path.read_text() == "earlier"
    sink.close(discard=True)


def test_a_run_that_succeeded_leaves_the_result_alone(tmp_path, open_sink, unfinished):
    path = tmp_path / "out.jsonl"
    sink = open_sink(path)
    write(sink, 0, [])
    finish(sink)
    sink.close(discard=True)  # another function failed afterwards
    assert os.listdir(tmp_path) == ["out.jsonl"]
    assert path.stat().st_mode & 0o777 == 0o666 & ~current_umask()


def test_a_link_is_followed(tmp_path, open_sink):
    target, link = tmp_path / "target.jsonl", tmp_path / "link.jsonl"
    link.symlink_to(target)
    sink = open_sink(link)
    write(sink, 0, [])
    finish(sink)
    assert link.is_symlink() and target.is_file()


@pytest.mark.parametrize(
    ("uri", "sentence"),
    [
        ("{folder}/missing/out.jsonl", "the folder {folder}/missing does not exist"),
        ("{folder}", "{folder} is a folder"),
        ("{folder}/file/out.jsonl", "can't write {folder}/file/out.jsonl"),
        ("/dev/null", "/dev/null is no regular file"),
        ("/proc/out.jsonl", "can't write /proc/out.jsonl"),
        ("ftp://127.0.0.1:1/out.jsonl", "ftp: addresses are not supported"),
        ("out.jsonl", "relative path"),
        ("{folder}/" + "x" * 300, "can't write"),
    ],
)
def test_an_output_that_cant_be_written_is_refused_at_the_start(tmp_path, open_sink, uri, sentence):
    (tmp_path / "file").touch()
    with pytest.raises(InputError) as caught:
        open_sink(uri.format(folder=tmp_path))
    assert sentence.format(folder=tmp_path) in str(caught.value)
    assert caught.value.parameter == "uri"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_write_permission_is_refused_at_the_start(tmp_path, open_sink):
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(InputError, match="is not writable"):
        open_sink(tmp_path / "closed" / "out.jsonl")


def test_a_full_disk_is_refused_at_the_start(tmp_path, open_sink, monkeypatch):
    full = os.statvfs_result((4096, 4096, 1000, 0, 0, 1000, 0, 0, 0, 255))
    monkeypatch.setattr(os, "fstatvfs", lambda folder: full)
    with pytest.raises(InputError, match="No space left on device"):
        open_sink(tmp_path / "out.jsonl")


def test_a_disk_that_fills_up_fails_and_names_the_file(tmp_path, open_sink):
    path = tmp_path / "out.jsonl"
    sink = open_sink(path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(WriteError, match=r"out\.jsonl"):
            for number in range(100):
                write(sink, number, [(1, 2, 3, 4, 0.5, 0)] * 100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    sink.close(discard=True)
    assert os.listdir(tmp_path) == []
