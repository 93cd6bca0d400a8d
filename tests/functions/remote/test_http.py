# SPDX-License-Identifier: Apache-2.0
"""http(s): reading, redirects, playlists, credentials, TLS and PUT, as a confined worker does it."""

from __future__ import annotations

import ssl
from base64 import b64encode

import pytest

from accelchain_runtime.engine.function import InputError
from accelchain_runtime.engine.reach import Reach
from accelchain_runtime.functions.files import WriteError
from accelchain_runtime.functions.publication import open_sink
from accelchain_runtime.functions.remote import sources
from accelchain_runtime.functions.remote.failures import Refused, Unavailable


@pytest.fixture
def site(serve, answer, clips):
    """``site({"/path": body or (status, headers) or function})`` serves these, and remembers what it was asked."""

    class Site:
        def __init__(self, pages, tls=None):
            self.pages, self.asked, self.sent = pages, [], {}
            self.port = serve(self._answer, tls)
            self.address = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"

        def _answer(self, handler):
            self.asked.append((handler.command, handler.path, handler.headers.get("Authorization")))
            if handler.command == "PUT":
                self.sent[handler.path] = handler.rfile.read(int(handler.headers["Content-Length"]))
            page = self.pages.get(handler.path, (404, {}))
            if callable(page):
                page = page(handler)
            if isinstance(page, bytes):
                return answer(handler, page)
            status, headers = page
            return answer(handler, b"", status, **headers)

    return Site


@pytest.fixture
def clip(clips):
    return (clips / "clip.mp4").read_bytes()


@pytest.mark.parametrize("name", ["clip.mp4", "tail.mp4", "clip.ts"])
def test_a_video_is_read(site, reach, decode, clips, name):
    server = site({"/a": (clips / name).read_bytes()})
    decoded = decode(f"{server.address}/a", reach("", None, f"127.0.0.1:{server.port}"))
    assert (len(decoded.pictures), decoded.warning) == (20, None)


def test_a_confined_worker_reaches_no_private_server(site, reach, decode, clip):
    server = site({"/a": clip})
    with pytest.raises(InputError, match=r"is a loopback address, which workers may not reach; the administrator"):
        decode(f"{server.address}/a", reach())
    assert server.asked == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed(site, reach, decode, clip, status):
    server = site({"/a": (status, {"Location": "/b"}), "/b": clip})
    assert len(decode(f"{server.address}/a", reach("", None, "127.0.0.1")).pictures) == 20


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("http://169.254.169.254/latest/meta-data/", "link-local"),
        ("http://[::ffff:169.254.169.254]/", "link-local"),
        ("http://2852039166/", "link-local"),
        ("http://127.0.0.1:1/", "loopback"),
        ("http://localhost:1/", "loopback"),
        ("//10.0.0.1/", "private"),
        ("file:///etc/passwd", "neither http nor https"),
        ("rtsp://127.0.0.1/", "neither http nor https"),
        ("concat:/etc/passwd|/etc/group", "neither http nor https"),
        ("gopher://127.0.0.1/", "neither http nor https"),
        ("/a", "redirects without end"),
    ],
)
def test_a_redirect_leads_nowhere_else(site, reach, decode, target, sentence):
    server = site({"/a": (302, {"Location": target})})
    with pytest.raises(InputError, match=sentence):
        decode(f"{server.address}/a", reach("", None, f"127.0.0.1:{server.port}"))


def test_a_redirect_takes_no_credentials_to_another_server(site, reach, secret, decode, clip):
    other = site({"/b": clip})
    server = site({"/a": (302, {"Location": f"{other.address}/b"})})
    uri = f"{server.address}/a"
    assert len(decode(uri, reach(uri, secret(token="t0ken"), "127.0.0.1")).pictures) == 20
    assert {each[2] for each in server.asked} == {"Bearer t0ken"}
    assert {each[2] for each in other.asked} == {None}


PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{target}\n#EXT-X-ENDLIST\n"


def test_a_playlist_s_parts_are_read_from_where_redirects_led(site, reach, decode, clips):
    part = (clips / "clip.ts").read_bytes()
    server = site(
        {
            "/start": (302, {"Location": "/far/list.m3u8"}),
            "/far/list.m3u8": PLAYLIST.format(target="part.ts").encode(),
            "/far/part.ts": part,
        }
    )
    assert len(decode(f"{server.address}/start", reach("", None, "127.0.0.1")).pictures) == 20


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("/etc/passwd", None),
        ("/etc/passwd.ts", "404"),  # of the server, as any web address
        ("file:///etc/passwd", None),
        ("file:{clip}", None),
        ("concat:{clip}", None),
        ("subfile:,,start,0,end,0,,:{clip}", None),
        ("crypto+file:{clip}", None),
        ("data:video/mp2t;base64,AAAA", None),
        ("http://169.254.169.254/latest/meta-data/iam.ts", "link-local"),
        ("http://127.0.0.1:1/x.ts", "loopback"),
        ("http://[::1]/x.ts", "loopback"),
        ("http://0x7f.1:1/x.ts", "loopback"),
        ("rtsp://127.0.0.1/x", None),
    ],
)
def test_a_playlist_s_parts_are_no_way_out(site, reach, decode, clips, target, sentence):
    playlist = PLAYLIST.format(target=target.format(clip=clips / "clip.ts")).encode()
    server = site({"/list.m3u8": playlist})
    with pytest.raises(InputError, match=sentence):
        decode(f"{server.address}/list.m3u8", reach("", None, f"127.0.0.1:{server.port}"))


def test_a_playlist_that_names_itself_ends(site, reach, decode, monkeypatch):
    monkeypatch.setattr(sources, "_NESTED", 20)
    server = site({"/list.m3u8": b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlist.m3u8\n"})
    with pytest.raises(InputError, match="it names more than 20 others"):
        decode(f"{server.address}/list.m3u8", reach("", None, "127.0.0.1"))


def test_a_playlist_s_parts_on_another_server_get_no_credentials(site, reach, secret, decode, clips):
    other = site({"/part.ts": (clips / "clip.ts").read_bytes()})
    server = site({"/list.m3u8": PLAYLIST.format(target=f"{other.address}/part.ts").encode()})
    uri = f"{server.address}/list.m3u8"
    assert len(decode(uri, reach(uri, secret(username="u", password="p"), "127.0.0.1")).pictures) == 20
    assert {each[2] for each in server.asked} == {"Basic " + b64encode(b"u:p").decode()}
    assert {each[2] for each in other.asked} == {None}


def test_credentials_in_the_address_are_sent_and_not_shown(site, reach, decode, clip):
    server = site({"/a": clip})
    address = server.address.replace("http://", "http://me:p%40ss@")
    assert len(decode(f"{address}/a", reach("", None, "127.0.0.1")).pictures) == 20
    assert {each[2] for each in server.asked} == {"Basic " + b64encode(b"me:p@ss").decode()}
    with pytest.raises(InputError, match="404") as caught:
        decode(f"{address}/b?token=hidden", reach("", None, "127.0.0.1"))
    assert not {"p%40ss", "p@ss", "hidden"} & set(str(caught.value).replace("/", " ").split())


@pytest.mark.parametrize(("status", "sentence"), [(401, "401"), (403, "forbidden"), (404, "nothing at"), (418, "418")])
def test_answers_that_are_the_user_s_fault(site, reach, decode, status, sentence):
    server = site({"/a": (status, {})})
    with pytest.raises(InputError, match=sentence):
        decode(f"{server.address}/a", reach("", None, "127.0.0.1"))


@pytest.mark.parametrize("status", [500, 503, 429])
def test_answers_that_may_be_better_later(site, reach, decode, status):
    server = site({"/a": (status, {})})
    with pytest.raises(Unavailable, match=str(status)):
        decode(f"{server.address}/a", reach("", None, "127.0.0.1"))


def test_an_object_that_is_replaced_while_it_is_read(site, reach, decode, clip):
    tags = iter(range(1000))
    server = site({})

    def changing(handler):
        handler.close_connection = True
        start = int(handler.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        handler.send_response(206)
        handler.send_header("ETag", f'"{next(tags)}"')
        handler.send_header("Content-Range", f"bytes {start}-{len(clip) - 1}/{len(clip)}")
        handler.send_header("Content-Length", str(len(clip) - start))
        handler.end_headers()
        handler.wfile.write(clip[start : start + 50_000])
        raise ConnectionError

    server.pages["/a"] = changing
    with pytest.raises(Refused, match="was replaced by another one while it was read"):
        decode(f"{server.address}/a", reach("", None, "127.0.0.1"))


def test_proxies_are_the_user_s_and_not_a_confined_worker_s(site, reach, decode, clip, monkeypatch):
    proxy, server = site({}), site({"/a": clip})
    proxy.pages["http://video.example/a"] = clip
    monkeypatch.setenv("http_proxy", proxy.address)
    monkeypatch.delenv("no_proxy", raising=False)
    assert len(decode("http://video.example/a", Reach()).pictures) == 20
    asked = len(proxy.asked)
    assert len(decode(f"{server.address}/a", reach("", None, "127.0.0.1")).pictures) == 20
    assert len(proxy.asked) == asked > 0


@pytest.fixture
def tls(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.chain, authority.key)
    return context


def test_a_private_authority_is_trusted_where_the_secret_has_it(site, reach, secret, decode, clip, authority, tls):
    server = site({"/a": clip}, tls)
    uri = f"{server.address}/a"
    assert len(decode(uri, reach(uri, secret(ca_crt=authority.pem), "127.0.0.1")).pictures) == 20
    with pytest.raises(InputError, match=r"certificate is not trusted .* ca\.crt"):
        decode(uri, reach("", None, "127.0.0.1"))


def test_https_is_not_left_by_a_redirect(site, reach, secret, decode, clip, authority, tls):
    plain = site({"/a": clip})
    server = site({"/a": (302, {"Location": f"{plain.address}/a"})}, tls)
    uri = f"{server.address}/a"
    with pytest.raises(InputError, match="from https to http"):
        decode(uri, reach(uri, secret(ca_crt=authority.pem), "127.0.0.1"))
    assert plain.asked == []


def test_a_server_without_tls_is_said(site, reach, decode, clip):
    server = site({"/a": clip})
    with pytest.raises(InputError, match=r"TLS failed .* does it speak TLS"):
        decode(f"https://127.0.0.1:{server.port}/a", reach("", None, "127.0.0.1"))


def test_a_result_is_put_when_it_is_published(site, reach, secret, context):
    server = site({"/out.jsonl": lambda handler: (201 if handler.command == "PUT" else 404, {})})
    uri = f"{server.address}/out.jsonl"
    sink = open_sink(uri, context(uri, reach(uri, secret(token="t0ken"), "127.0.0.1")))
    sink.file.write(b"x" * 3_000_000)
    assert sink.complete() == 3_000_000
    assert server.sent == {}
    sink.publish()
    assert server.sent == {"/out.jsonl": b"x" * 3_000_000}
    assert ("PUT", "/out.jsonl", "Bearer t0ken") in server.asked


@pytest.mark.parametrize(
    ("page", "sentence"),
    [((403, {}), "forbidden"), ((503, {}), "503"), ((307, {"Location": "http://169.254.169.254/"}), "redirects what")],
)
def test_a_result_that_is_not_taken(site, reach, context, page, sentence):
    server = site({"/out.jsonl": page})
    uri = f"{server.address}/out.jsonl"
    sink = open_sink(uri, context(uri, reach("", None, "127.0.0.1")))
    sink.complete()
    with pytest.raises(WriteError, match=sentence):
        sink.publish()
    sink.discard()


def test_a_result_is_put_to_no_private_server(site, reach, context):
    server = site({})
    with pytest.raises(InputError, match="loopback"):
        open_sink(f"{server.address}/out.jsonl", context("", reach()))
    assert server.asked == []
