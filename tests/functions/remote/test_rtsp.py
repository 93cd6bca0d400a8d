# SPDX-License-Identifier: Apache-2.0
"""Cameras: a real RTSP server, and a front before it that demands, redirects, stalls and lies."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import socket
import ssl
import stat
import threading
from contextlib import suppress

import pytest

from accelchain_runtime.engine.function import InputError
from accelchain_runtime.functions.decode_video.host import DecodeVideo
from accelchain_runtime.functions.remote.failures import Unavailable
from accelchain_runtime.functions.remote.rtsp.login import Login
from accelchain_runtime.functions.remote.rtsp.messages import Message, ProtocolError, Splitter, says_bye

USER, PASSWORD = "viewer", 'p"ss:w@rd'


class Front:
    """Stands before the camera: ``rule(request) -> answer | None`` may answer in its place."""

    def __init__(self, camera, rule, tls=None):
        self.camera, self.rule, self.tls = camera, rule, tls
        self.requests, self.answer_rule = [], lambda answer: answer
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with suppress(OSError):
            while True:
                player, _ = self.listener.accept()
                threading.Thread(target=self._serve, args=(player,), daemon=True).start()

    def _serve(self, player):
        with suppress(OSError, ValueError):
            if self.tls is not None:
                player = self.tls.wrap_socket(player, server_side=True)
            with player, socket.create_connection(("127.0.0.1", self.camera)) as server:
                threading.Thread(target=self._back, args=(server, player), daemon=True).start()
                splitter = Splitter()
                while data := player.recv(65536):
                    for item in splitter.feed(data):
                        if isinstance(item, Message):
                            self.requests.append(Message(item.start, list(item.headers)))
                            answer = self.rule(item)
                            if answer is not None:
                                answer.set("CSeq", item.get("CSeq"))
                                player.sendall(answer.encode())
                                continue
                            item.start = item.start.replace(f":{self.port}", f":{self.camera}")
                            item.start = item.start.replace("rtsps://", "rtsp://")
                        server.sendall(item if isinstance(item, bytes) else item.encode())

    def _back(self, server, player):
        splitter = Splitter()
        with suppress(OSError, ValueError):
            try:
                while data := server.recv(65536):
                    for item in splitter.feed(data):
                        item = self.answer_rule(item)
                        player.sendall(item if isinstance(item, bytes) else item.encode())
            finally:
                player.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def front(camera):
    fronts = []

    def make(rule=lambda request: None, tls=None):
        fronts.append(Front(camera, rule, tls))
        return fronts[-1]

    yield make
    for each in fronts:
        each.listener.close()


@pytest.fixture
def allowed(reach):
    return reach("", None, "127.0.0.1")


def test_a_camera_is_read(camera, allowed, decode):
    decoded = decode(f"rtsp://127.0.0.1:{camera}/clip.mp4", allowed, frames=10)
    assert len(decoded.pictures) == 10


def test_a_confined_worker_reaches_no_private_camera(camera, reach, decode):
    with pytest.raises(InputError, match="is a loopback address"):
        decode(f"rtsp://127.0.0.1:{camera}/clip.mp4", reach())


def demand(algorithm, qop):
    """A rule that lets only who answers a Digest challenge pass."""
    hashing = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}[algorithm]

    def digest(text):
        return hashing(text.encode()).hexdigest()

    def rule(request):
        method, uri, _ = request.start.split(" ")
        fields = dict(re.findall(r'(\w+)="?((?:[^",\\]|\\.)*)"?', request.get("Authorization").partition(" ")[2]))
        secret, asked = digest(f"{USER}:cam:{PASSWORD}"), digest(f"{method}:{uri}")
        middle = f"n0nce:{fields.get('nc')}:{fields.get('cnonce')}:auth" if qop else "n0nce"
        if fields.get("response") == digest(f"{secret}:{middle}:{asked}") and fields["uri"] == uri:
            return None
        challenge = f'Digest realm="cam", nonce="n0nce", algorithm={algorithm}{", qop=" if qop else ""}'
        challenge += '"auth,auth-int"' if qop else ""
        return Message("RTSP/1.0 401 Unauthorized", [("WWW-Authenticate", challenge)])

    return rule


@pytest.mark.parametrize(("algorithm", "qop"), [("MD5", False), ("MD5", True), ("SHA-256", True)])
def test_digest_credentials_of_a_secret(front, reach, secret, decode, caplog, capfd, algorithm, qop):
    caplog.set_level(logging.DEBUG)
    server = front(demand(algorithm, qop))
    uri = f"rtsp://127.0.0.1:{server.port}/clip.mp4"
    rules = reach(uri, secret(username=USER, password=PASSWORD), "127.0.0.1")
    assert len(decode(uri, rules, frames=5).pictures) == 5
    assert all(PASSWORD not in request.encode().decode() for request in server.requests)
    wrong = reach(uri, secret(username=USER, password="wr0ng"), "127.0.0.1")
    with pytest.raises(InputError, match="401: the credentials are missing or wrong") as caught:
        decode(uri, wrong)
    printed = caplog.text + "".join(capfd.readouterr()) + str(caught.value)
    assert PASSWORD not in printed and "wr0ng" not in printed


def test_basic_credentials_of_the_address(front, allowed, decode):
    def rule(request):
        if request.get("Authorization") == "Basic bWU6cEBzcw==":
            return None
        return Message("RTSP/1.0 401 Unauthorized", [("WWW-Authenticate", 'Basic realm="cam"')])

    server = front(rule)
    assert len(decode(f"rtsp://me:p%40ss@127.0.0.1:{server.port}/clip.mp4", allowed, frames=5).pictures) == 5
    assert all("p%40ss" not in request.start and "@" not in request.start for request in server.requests)


def test_credentials_are_not_sent_unasked(front, reach, secret, decode):
    server = front()
    uri = f"rtsp://127.0.0.1:{server.port}/clip.mp4"
    decode(uri, reach(uri, secret(username=USER, password=PASSWORD), "127.0.0.1"), frames=2)
    assert server.requests and not any(request.get("Authorization") for request in server.requests)


@pytest.mark.parametrize("method", ["OPTIONS", "DESCRIBE", "SETUP", "PLAY"])
@pytest.mark.parametrize("target", ["rtsp://169.254.169.254/", "file:///etc/passwd", "http://127.0.0.1:1/"])
def test_a_redirect_is_refused(front, allowed, decode, method, target):
    def rule(request):
        if request.start.startswith(method):
            return Message("RTSP/1.0 302 Moved Temporarily", [("Location", target)])
        return None

    with pytest.raises(InputError, match="the camera redirects to another address"):
        decode(f"rtsp://127.0.0.1:{front(rule).port}/clip.mp4", allowed)


def test_a_redirect_in_the_middle_is_refused(front, allowed, decode):
    server = front()

    def answer(item):
        if isinstance(item, bytes):
            return Message("REDIRECT rtsp://127.0.0.1/ RTSP/1.0", [("CSeq", "1"), ("Location", "rtsp://10.0.0.1/")])
        return item

    server.answer_rule = answer
    with pytest.raises(Exception, match="the camera redirects to another address"):
        decode(f"rtsp://127.0.0.1:{server.port}/clip.mp4", allowed)


def test_addresses_within_a_description_lead_nowhere(front, allowed, decode):
    """A camera may call its streams what it likes: the connection stays the one that was checked."""
    trap = socket.create_server(("127.0.0.1", 0))
    elsewhere = f"rtsp://127.0.0.1:{trap.getsockname()[1]}"
    server = front()
    server.rule = lambda request: setattr(
        request, "start", request.start.replace(elsewhere, f"rtsp://127.0.0.1:{server.port}")
    )

    def answer(item):
        if isinstance(item, Message):
            here = f"rtsp://127.0.0.1:{server.camera}"
            item.headers = [(name, value.replace(here, elsewhere)) for name, value in item.headers]
            if item.body:
                item.body = re.sub(rb"a=control:(?!\*)", b"a=control:" + elsewhere.encode() + b"/clip.mp4/", item.body)
                item.set("Content-Length", str(len(item.body)))
        return item

    server.answer_rule = answer
    with suppress(InputError, Unavailable):  # whether the camera understands its own names again does not matter
        decode(f"rtsp://127.0.0.1:{server.port}/clip.mp4", allowed, frames=3)
    assert any(elsewhere in request.start for request in server.requests)
    trap.settimeout(0.2)
    with trap, pytest.raises(TimeoutError):
        trap.accept()


def test_media_over_udp_is_refused(front, allowed, decode):
    def rule(request):
        if request.start.startswith("SETUP"):
            transport = "RTP/AVP;unicast;destination=169.254.169.254;client_port=80-81;server_port=80-81"
            return Message("RTSP/1.0 200 OK", [("Session", "1"), ("Transport", transport)])
        return None

    with pytest.raises(InputError, match="does not send media over TCP"):
        decode(f"rtsp://127.0.0.1:{front(rule).port}/clip.mp4", allowed)


@pytest.mark.parametrize(
    ("code", "kind"), [(404, InputError), (403, InputError), (503, Unavailable), (453, Unavailable)]
)
def test_answers_that_are_errors(front, allowed, decode, code, kind):
    server = front(lambda request: Message(f"RTSP/1.0 {code} X", []) if "DESCRIBE" in request.start else None)
    with pytest.raises(kind, match=f"the camera answered {code}"):
        decode(f"rtsp://127.0.0.1:{server.port}/clip.mp4", allowed)


def breaking(server, frames, *, times):
    """Have the front cut the connection after so many frames of media, so often; then it is gone."""
    count = []

    def answer(item):
        if isinstance(item, bytes):
            count.append(1)
            if len(count) % frames == 0 and len(count) // frames <= times:
                if len(count) // frames == times:
                    server.listener.shutdown(socket.SHUT_RDWR)
                raise OSError
        return item

    server.answer_rule = answer


def test_a_camera_that_breaks_off_is_connected_to_again(front, reach, secret, decode):
    server = front(demand("MD5", True))
    breaking(server, 60, times=3)
    uri = f"rtsp://127.0.0.1:{server.port}/clip.mp4"
    folder = secret(username=USER, password=PASSWORD)
    with pytest.raises(Unavailable, match=r"nothing listens there\. It was tried for 1 s to connect again"):
        decode(uri, reach(uri, folder, "127.0.0.1"), timeout=1)
    played = [each for each in server.requests if each.start.startswith("PLAY") and each.get("Authorization")]
    assert len(played) == 3


def test_a_camera_that_never_answers_is_given_up(allowed, decode):
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(Unavailable, match=r"no data for 0\.5 s"):
        decode(f"rtsp://127.0.0.1:{silent.getsockname()[1]}/clip.mp4", allowed, timeout=0.5)


def test_what_is_no_rtsp_is_said(serve, answer, allowed, decode):
    port = serve(lambda handler: answer(handler, b"hello"))
    with pytest.raises((InputError, Unavailable), match=r"RTSP|connection|closed"):
        decode(f"rtsp://127.0.0.1:{port}/clip.mp4", allowed, timeout=2)


def test_a_secure_camera_must_show_a_certificate_that_is_trusted(front, reach, secret, decode, authority):
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(authority.chain, authority.key)
    server = front(tls=tls)
    uri = f"rtsps://127.0.0.1:{server.port}/clip.mp4"
    assert len(decode(uri, reach(uri, secret(ca_crt=authority.pem), "127.0.0.1"), frames=5).pictures) == 5
    with pytest.raises(InputError, match="certificate is not trusted"):
        decode(uri, reach("", None, "127.0.0.1"))


def test_nothing_is_left_when_a_camera_is_closed(camera, allowed, context):
    def held():
        threads = {thread for thread in threading.enumerate() if thread.name.startswith("relay of")}
        return threads, {
            os.readlink(f"/proc/self/fd/{each}") for each in os.listdir("/proc/self/fd") if is_socket(each)
        }

    def is_socket(number):
        with suppress(OSError):
            return stat.S_ISSOCK(os.fstat(int(number)).st_mode)
        return False

    before = held()
    for path in ("clip.mp4", "nothing.mp4"):
        source = DecodeVideo()
        with suppress(InputError, Unavailable):
            source.setup(context(f"rtsp://127.0.0.1:{camera}/{path}", allowed))
        source.close()
    assert [now - then for now, then in zip(held(), before, strict=True)] == [set(), set()]


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nContent-Length: 99999999\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"RTSP/1.0 200 OK\r\n" + b"x" * 70_000,
    ],
)
def test_messages_that_are_none(data):
    with pytest.raises(ProtocolError):
        list(Splitter().feed(data))


def test_messages_come_in_pieces():
    splitter = Splitter()
    data = (
        b"$\x00\x00\x03abc"
        + Message("RTSP/1.0 200 OK", [("Content-Length", "2")], b"hi").encode()
        + b"\r\n$\x01\x00\x00"
    )
    items = [item for byte in data for item in splitter.feed(bytes([byte]))]
    assert (items[0], items[1].body, items[1].status, items[2]) == (b"$\x00\x00\x03abc", b"hi", 200, b"$\x01\x00\x00")


def test_rtcp_says_bye_behind_other_reports():
    report, bye = bytes([0x80, 201, 0, 1]) + b"ssrc", bytes([0x81, 203, 0, 1]) + b"ssrc"
    assert says_bye(b"$\x01\x00\x10" + report + bye)
    assert not says_bye(b"$\x01\x00\x08" + report)
    assert not says_bye(b"$\x00\x00\x08" + bye)
    assert not says_bye(b"$\x01\x00\x02" + b"\x80\xcb")


def test_a_demand_that_can_not_be_met():
    assert not Login("", "").take(['Basic realm="x"'])
    assert not Login("u", "p").take(['Digest realm="x", nonce="n", algorithm=ROT13', "Negotiate"])
    assert Login("u", "p").take(["Negotiate", 'Basic realm="x"'])
