# SPDX-License-Identifier: Apache-2.0
"""Videos in a tar of their own, as workflow engines keep what their Pods wrote."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import tempfile
from pathlib import Path

import pytest

from accelchain_runtime.engine.function import InputError
from accelchain_runtime.engine.reach import Reach, Volume
from accelchain_runtime.functions.remote import archive
from accelchain_runtime.functions.remote.failures import Refused, Unavailable


def entry(name: str, size: int = 0, **fields: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size = size
    for field, value in fields.items():
        setattr(info, field, value)
    return info


def packed(*members: tuple[tarfile.TarInfo, bytes], kind: str = "gz", format: int = tarfile.PAX_FORMAT) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode=f"w:{kind}", format=format) as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data) if data else None)
    return made.getvalue()


def one_file(body: bytes, name: str = "out/video.mp4", **how: object) -> bytes:
    return packed((entry(name, len(body)), body), **how)


def read(data: bytes, **how: object) -> tuple[bytes, str] | None:
    found = archive.unpacked(io.BytesIO(data), "s3://b/x.tgz", lambda: None, **how)
    if found is None:
        return None
    with found[0] as file:
        return file.readall(), found[1]


@pytest.mark.parametrize("confined", [True, False])
@pytest.mark.parametrize(("ending", "kind"), [("tgz", "gz"), ("tar.gz", "gz"), ("tar", "")])
def test_a_video_in_an_archive_is_read_from_a_file(tmp_path, clips, decode, confined, ending, kind):
    name = f"clip.mp4.{ending}"
    (tmp_path / name).write_bytes(one_file((clips / "tail.mp4").read_bytes(), kind=kind))
    reach = Reach(True, (Volume("/data", tmp_path),))
    uri = f"file:///data/{name}" if confined else f"file://{tmp_path}/{name}"
    assert len(decode(uri, reach if confined else Reach()).pictures) == 20


def test_a_video_in_an_archive_is_read_from_a_bucket(s3, s3_secret, reach, clips, decode):
    s3.put("wf/pod-1/video.tgz", one_file((clips / "clip.mp4").read_bytes()))
    uri = "s3://videos/wf/pod-1/video.tgz"
    assert len(decode(uri, reach(uri, s3_secret, "127.0.0.0/8")).pictures) == 20


def test_a_video_that_is_only_named_like_an_archive_is_read_as_it_is(serve, answer, clips, decode):
    body = (clips / "clip.mp4").read_bytes()
    port = serve(lambda handler: answer(handler, body))
    assert len(decode(f"http://127.0.0.1:{port}/video.tgz", Reach()).pictures) == 20


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_folders_and_long_names_do_no_harm(format):
    body, name = os.urandom(3_000_000), "d/" * 40 + "x" * 90 + ".mp4"
    data = packed((entry("d", type=tarfile.DIRTYPE), b""), (entry(name, len(body)), body), format=format)
    content, told = read(data)
    assert content == body
    assert told.startswith("xxx"), "folders of the name are of no interest"


def test_a_size_that_only_the_extra_header_tells_counts():
    """As Go writes files of 8 GiB and more."""
    body = b"y" * 700
    info = entry("v", len(body), pax_headers={"size": str(len(body))})
    data = bytearray(packed((info, body), kind=""))
    start = data.index(b"v\0", 1024)  # the file's own header: after the extra one and its text
    data[start + 124 : start + 136] = b"00000000000\0"
    data[start + 148 : start + 156] = b" " * 8
    data[start + 148 : start + 156] = b"%06o\0 " % sum(data[start : start + 512])
    assert read(bytes(data)) == (body, "v")


LINK = {"linkname": "/etc/passwd"}


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (packed((entry("d", type=tarfile.DIRTYPE), b"")), "holds no file"),
        (packed((entry("a", 1), b"a"), (entry("b", 1), b"b")), "more than one file"),
        (packed((entry("a", type=tarfile.SYMTYPE, **LINK), b"")), "'a', which is no plain file"),
        (packed((entry("a", type=tarfile.LNKTYPE, **LINK), b"")), "no plain file"),
        (packed((entry("a", 1), b"a"), (entry("l", type=tarfile.SYMTYPE, **LINK), b"")), "no plain file"),
        (packed((entry("pipe", type=tarfile.FIFOTYPE), b"")), "no plain file"),
        (packed(*[(entry(f"d{i}", type=tarfile.DIRTYPE), b"") for i in range(1001)]), "more than 1000 entries"),
        (packed((entry("a", 10, pax_headers={"comment": "c" * 100_000}), b"x" * 10)), "far too long"),
        (one_file(b"x" * 1001), "1001 bytes; no more than 1000"),
        (gzip.compress(one_file(os.urandom(999), kind="")[:1000]), "ends in the middle"),
        (one_file(os.urandom(999))[:-500], "damaged"),
    ],
    ids=[
        "empty",
        "two-files",
        "link",
        "hard-link",
        "file-and-link",
        "pipe",
        "entries",
        "header",
        "large",
        "cut",
        "damaged",
    ],
)
def test_what_is_wrong_with_an_archive_is_said(data, sentence):
    with pytest.raises(Refused, match=sentence):
        read(data, most_bytes=1000)


def test_names_in_an_archive_lead_nowhere(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert read(one_file(b"x", "../../../escaped"))[1] == "escaped"
    assert read(one_file(b"x", "/escaped"))[1] == "escaped"
    assert list(tmp_path.iterdir()) == [] and not Path("/escaped").exists()


def test_what_is_no_archive_is_left_to_the_reader():
    assert read(b"") is read(b"\x1f\x8b") is read(gzip.compress(b"no tar" * 200)) is read(b"video" * 300) is None


def test_a_connection_that_breaks_is_no_damage():
    data = one_file(os.urandom(100_000))
    with pytest.raises(Unavailable, match="gone"):
        archive.unpacked(io.BytesIO(data[:50_000]), "x", lambda: Unavailable("gone."))


def test_unpacking_ends_after_an_hour():
    times = iter([0.0, 1.0, 1.0, 3700.0])
    with pytest.raises(Unavailable, match="takes more than 3600 s"):
        read(one_file(os.urandom(3_000_000)), clock=lambda: next(times))


def test_an_archive_is_the_user_s_mistake_at_setup(tmp_path, decode):
    (tmp_path / "x.tgz").write_bytes(packed((entry("a", 1), b"a"), (entry("b", 1), b"b")))
    with pytest.raises(InputError, match="more than one file") as caught:
        decode(f"file://{tmp_path}/x.tgz", Reach())
    assert caught.value.parameter == "uri"
