# SPDX-License-Identifier: Apache-2.0
"""What decode-video may open: what its address names, by file and http(s); nothing that a file or server names."""

from __future__ import annotations

import threading
import time

import av
import pytest

from accelchain_runtime.engine.function import InputError
from accelchain_runtime.functions.remote.failures import Unavailable


def send(handler, body, content_type="video/mp4", length=None, status=200):
    handler.send_response(status)
    handler.send_header("Content-Type", content_type)
    handler.send_header("Content-Length", str(len(body) if length is None else length))
    handler.end_headers()
    handler.wfile.write(body)


@pytest.mark.parametrize(
    "address",
    [
        "ftp://camera/1",
        "rtp://239.0.0.1:5004",
        "concat:{clip}",
        "subfile:,,start,0,end,0,,:{clip}",
        "cache:file:{clip}",
        "data:video/mp4;base64,AAAA",
        "crypto:{clip}",
        "tcp://127.0.0.1:1",
        "pipe:0",
        "clip.mp4",
        "",
        "file://elsewhere{clip}",
        "http://",
        "http://[::1",
        "file:///a?b",
        "/a\0b",
    ],
)
def test_other_addresses_are_refused_by_name(tmp_path, make_video, decode, address):
    clip = make_video(tmp_path / "clip.ts")
    with pytest.raises(InputError) as caught:
        decode(address.format(clip=clip))
    assert caught.value.parameter == "uri"
    assert "give file:///path" in str(caught.value) or "write" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{clip}\n#EXT-X-ENDLIST\n"),
        ("list.mp4", "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{clip}\n#EXT-X-ENDLIST\n"),
        ("list.ffconcat", "ffconcat version 1.0\nfile {clip}\n"),
        ("list.ffconcat", "ffconcat version 1.0\nfile clip.ts\n"),
        ("camera.sdp", "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5000 RTP/AVP 96\n"),
    ],
)
def test_a_file_that_names_other_files_is_refused(tmp_path, make_video, decode, name, text):
    clip = make_video(tmp_path / "clip.ts")
    path = tmp_path / name
    path.write_text(text.format(clip=clip))
    with pytest.raises(InputError, match="is no video that can be read"):
        decode(path)


def test_a_path_that_looks_like_a_protocol_is_a_path(tmp_path, make_video, decode):
    folder = tmp_path / "concat:x"
    folder.mkdir()
    assert len(decode(make_video(folder / "a|b.mp4")).pictures) == 10


def test_reads_over_http(tmp_path, make_video, decode, serve):
    body = make_video(tmp_path / "clip.mp4").read_bytes()
    decoded = decode(serve(lambda handler: send(handler, body)) + "/clip.mp4")
    assert (len(decoded.pictures), decoded.info.frames, decoded.warning) == (10, 10, None)


def test_a_playlist_over_http_reaches_web_addresses(tmp_path, make_video, decode, serve):
    body = make_video(tmp_path / "clip.ts").read_bytes()
    playlist = b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\npart.ts\n#EXT-X-ENDLIST\n"
    kinds = {"/list.m3u8": (playlist, "application/vnd.apple.mpegurl"), "/part.ts": (body, "video/mp2t")}
    decoded = decode(serve(lambda handler: send(handler, *kinds[handler.path])) + "/list.m3u8")
    assert len(decoded.pictures) == 10


@pytest.mark.parametrize("target", ["file://{clip}", "{clip}", "concat:{clip}", "file:{clip}", "crypto+file:{clip}"])
def test_a_playlist_over_http_reaches_no_file(tmp_path, make_video, decode, serve, target):
    clip = make_video(tmp_path / "clip.ts")
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{target.format(clip=clip)}\n#EXT-X-ENDLIST\n".encode()

    def answer(handler):
        found = handler.path == "/list.m3u8"
        send(handler, playlist if found else b"", "application/vnd.apple.mpegurl", status=200 if found else 404)

    with pytest.raises(InputError):
        decode(serve(answer) + "/list.m3u8", timeout=5)


@pytest.mark.parametrize("target", ["file://{clip}", "{clip}", "concat:{clip}", "subfile:,,start,0,end,0,,:{clip}"])
def test_a_redirect_reaches_no_file(tmp_path, make_video, decode, serve, target):
    clip = make_video(tmp_path / "clip.ts")

    def answer(handler):
        if handler.path != "/start":
            return send(handler, b"", status=404)
        handler.send_response(302)
        handler.send_header("Location", target.format(clip=clip))
        handler.end_headers()

    with pytest.raises(InputError):
        decode(serve(answer) + "/start", timeout=5)


def test_a_missing_page_is_named_without_the_secrets_in_its_address(decode, serve):
    base = serve(lambda handler: send(handler, b"", status=404)).replace("http://", "http://me:hidden@")
    with pytest.raises(InputError, match="404") as caught:
        decode(base + "/clip.mp4?token=hidden")
    assert "hidden" not in str(caught.value)
    assert "/clip.mp4" in str(caught.value)


def test_a_redirect_without_end_is_said(decode, serve):
    def answer(handler):
        handler.send_response(302)
        handler.send_header("Location", "/clip.mp4")
        handler.end_headers()

    with pytest.raises(InputError, match="redirects without end"):
        decode(serve(answer) + "/clip.mp4")


def test_nobody_listening_is_said(decode, serve):
    with pytest.raises(InputError, match="refused"):
        decode("http://127.0.0.1:1/clip.mp4")


def test_a_server_that_never_answers_is_given_up(decode, serve):
    released = threading.Event()
    address = serve(lambda handler: released.wait(30))
    before = time.monotonic()
    try:
        with pytest.raises(Unavailable, match=r"no answer within 0\.3 s"):
            decode(address + "/clip.mp4", timeout=0.3)
    finally:
        released.set()
    assert time.monotonic() - before < 10


@pytest.mark.parametrize("stalls", [False, True], ids=["lost", "stalled"])
def test_a_connection_that_breaks_is_replaced_and_goes_on(tmp_path, make_video, decode, serve, stalls, noise):
    body = make_video(tmp_path / "clip.mp4", noise).read_bytes()
    asked, released = [], threading.Event()

    def answer(handler):
        start = int(handler.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        asked.append(start)
        handler.send_response(206)
        handler.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        handler.send_header("Content-Length", str(len(body) - start))
        handler.end_headers()
        part = body[start : start + 100_000]
        handler.wfile.write(part)
        handler.wfile.flush()
        if stalls and start + len(part) < len(body):
            released.wait(30)
        handler.close_connection = True

    try:
        decoded = decode(serve(answer) + "/clip.mp4", timeout=0.6)
    finally:
        released.set()
    assert (len(decoded.pictures), decoded.warning) == (len(noise), None)
    assert len(asked) > 3


def test_a_connection_that_stays_broken_fails_and_does_not_end_the_video(tmp_path, make_video, decode, serve, noise):
    body = make_video(tmp_path / "clip.mp4", noise).read_bytes()
    asked = []

    def answer(handler):
        asked.append(1)
        if len(asked) > 1:
            return send(handler, b"", status=503)
        send(handler, body[: len(body) // 2], length=len(body))
        handler.close_connection = True

    with pytest.raises(Unavailable, match=r"/clip\.mp4: reading broke off at byte \d+ of \d+: .*503"):
        decode(serve(answer) + "/clip.mp4", timeout=0.5)


@pytest.mark.parametrize(("scheme", "protocols"), [("file", {"file"}), ("http", {"none"})])
def test_ffmpeg_is_told_which_protocols_it_may_use(tmp_path, make_video, decode, serve, monkeypatch, scheme, protocols):
    clip = make_video(tmp_path / "clip.mp4")
    body, told, real = clip.read_bytes(), [], av.open

    def spy(url, **options):
        told.append(options["container_options"])
        return real(url, **options)

    monkeypatch.setattr(av, "open", spy)
    decode(clip if scheme == "file" else serve(lambda handler: send(handler, body)) + "/clip.mp4")
    assert set(told[0]["protocol_whitelist"].split(",")) == protocols
    assert not {"concat", "lavfi", "image2", "sdp", "dash"} & set(told[0]["format_whitelist"].split(","))
