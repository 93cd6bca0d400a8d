# SPDX-License-Identifier: Apache-2.0
"""kubectl logs, seen from the kubelet."""

from __future__ import annotations

import asyncio
import io

import pytest

from accelchain_operators.kube.client import ApiError
from accelchain_operators.localkube.kubelet.logs import tail_offset


async def test_a_followed_log_comes_as_it_is_written_and_ends(kube, start, make_pod, tmp_path):
    kubelet = await start(1)
    release = tmp_path / "release"
    make_pod("flow", {"until": str(release), "lines": 3})
    await kube.until("flow", "Running")
    text = b""
    async with asyncio.timeout(15):
        async for part in kubelet.logs("default", "flow", "worker", follow=True):
            text += part
            if b"line 2\n" in text:
                release.touch()
    assert text.startswith(b"warming up\n")  # nothing that the worker said before it had work is lost
    assert text.endswith(b"line 2\nlast line\n")


async def test_the_log_of_an_ended_pod_is_kept_until_it_is_deleted(kube, start, make_pod):
    kubelet = await start()
    make_pod("flow", {"lines": 5})
    await kube.until("flow", "Succeeded")
    text = b"".join([part async for part in kubelet.logs("default", "flow", tail_lines=2)])
    assert text == b"line 3\nline 4\n"


async def test_a_pod_that_waits_has_no_log_yet(kube, start, make_pod):
    kubelet = await start()
    make_pod("early", config=False)
    async with asyncio.timeout(15):
        while not kube.statuses.get("early"):
            await asyncio.sleep(0.01)
    with pytest.raises(ApiError, match='"early" is waiting to start') as caught:
        await anext(kubelet.logs("default", "early"))
    assert caught.value.code == 400


@pytest.mark.parametrize(
    ("text", "lines", "tail"),
    [
        (b"", 3, b""),
        (b"a\nb\nc\n", 0, b""),
        (b"a\nb\nc\n", 1, b"c\n"),
        (b"a\nb\nc", 2, b"b\nc"),
        (b"a\nb\n", 9, b"a\nb\n"),
        (b"x\n" * 100_000 + b"end\n", 2, b"x\nend\n"),
        (b"a\n" + b"y" * 200_000 + b"\n", 1, b"y" * 200_000 + b"\n"),
    ],
)
def test_the_tail_is_counted_in_lines(text, lines, tail):
    assert text[tail_offset(io.BytesIO(text), lines) :] == tail
