# SPDX-License-Identifier: Apache-2.0
"""Log lines: one JSON object each, with who is worked on, and without credentials."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import warnings
from typing import Any

import pytest

from accelchain_operators.kube.controller import Controller
from accelchain_operators.kube.logs import log_to, without_secrets, working_on

logger = logging.getLogger("accelchain.test")


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_record_is_one_line_of_json_with_its_exception() -> None:
    stream = io.StringIO()
    with log_to(stream):
        logger.info("two\nlines and %s", "ümlauts")
        try:
            raise ValueError("what\nhappened")
        except ValueError:
            logger.exception("it failed")
    first, second = lines(stream)
    assert first.pop("time").endswith("+00:00")
    assert first == {"level": "info", "logger": "accelchain.test", "message": "two\nlines and ümlauts"}
    assert second["level"] == "error"
    assert "Traceback" in second["exception"] and "what\nhappened" in second["exception"]


async def test_lines_tell_what_is_worked_on_in_each_task_of_its_own() -> None:
    stream, both = io.StringIO(), asyncio.Event()

    async def work(key: str) -> float | None:
        if key == "b":
            both.set()
        await both.wait()  # the two are at work at one time
        logger.warning("at work on %s", key)
        return None

    def describe(key: str) -> dict[str, str]:
        return {"namespace": "ns", "name": key, "uid": ""}

    controller: Controller[str] = Controller("dataflow", work, workers=2, describe=describe)
    with log_to(stream):
        task = asyncio.create_task(controller.run())
        controller.queue.add("a")
        controller.queue.add("b")
        async with asyncio.timeout(10):
            while len(stream.getvalue().splitlines()) < 2:
                await asyncio.sleep(0.01)
        logger.warning("at rest")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    told = {line["message"]: line for line in lines(stream)}
    for key in ("a", "b"):
        line = told[f"at work on {key}"]
        assert (line["controller"], line["namespace"], line["name"]) == ("dataflow", "ns", key)
        assert "uid" not in line
    assert "controller" not in told["at rest"]


def test_kopfs_lines_tell_their_object() -> None:
    stream = io.StringIO()
    ref = {"kind": "DataFlow", "name": "flow", "namespace": "ns", "uid": "1"}
    with log_to(stream):
        logging.getLogger("kopf.objects").warning("odd", extra={"k8s_ref": ref})
    assert lines(stream)[0] | {"namespace": "ns", "name": "flow", "uid": "1"} == lines(stream)[0]


def test_text_is_for_people() -> None:
    stream = io.StringIO()
    with log_to(stream, format="text"), working_on(lambda: {"controller": "chain", "name": "demo"}):
        logger.info("hello")
    assert stream.getvalue().endswith("INFO    accelchain.test: hello [controller=chain name=demo]\n")


def test_pythons_warnings_are_lines_too() -> None:
    stream = io.StringIO()
    with log_to(stream), warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    assert "DeprecationWarning: old" in lines(stream)[0]["message"]


SECRET = "s3cr3t-value"
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Bearer {SECRET}",
        f"headers {{'Authorization': 'Bearer {SECRET}'}}",
        f"GET /stream?interval=1&token={SECRET} failed",
        f'{{"token": "{SECRET}"}}',
        f"rtsp://camera:{SECRET}@host/stream",
        f"Basic {SECRET}",
    ],
)
def test_credentials_are_struck_out(text: str) -> None:
    assert SECRET not in without_secrets(text)


def test_a_token_of_a_service_account_is_struck_out_wherever_it_is() -> None:
    stream = io.StringIO()
    with log_to(stream):
        try:
            raise ValueError(JWT)
        except ValueError:
            logger.exception("the token %s is wrong", JWT)
    assert "eyJ" not in stream.getvalue()
    assert lines(stream)[0]["message"] == "the token … is wrong"
