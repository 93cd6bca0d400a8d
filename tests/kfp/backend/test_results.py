# SPDX-License-Identifier: Apache-2.0
"""What the report of a launcher shows of results in S3, and what it does without."""

from __future__ import annotations

import base64
import socket
from pathlib import Path
from typing import Any

import pytest
from kfp_backend.cluster import NAMESPACE, SECRETS, Cluster
from kfp_backend.store import S3Store

from accelchain.cli.record import RunRecord
from accelchain.cli.report import render
from accelchain.kfp.launcher import results

CLIP = Path(__file__).resolve().parents[3] / "pipelines/person-detection/people.mp4"
LINES = b'{"detections": [{}, {}]}\n{"detections": [{}]}\n'
KEYS = "keys-of-the-store"


@pytest.fixture
def store(s3: S3Store, cluster: Cluster) -> S3Store:
    """A store with a video and detections, and its Secret."""
    s3.client.put_object(Bucket="mlpipeline", Key="r/boxes.mp4", Body=CLIP.read_bytes())
    s3.client.put_object(Bucket="mlpipeline", Key="r/lines.jsonl", Body=LINES)
    if cluster.find(SECRETS, KEYS) is None:
        data = {"access": s3.access, "secret": s3.secret}
        cluster.create(SECRETS, {"metadata": {"name": KEYS}, "stringData": data})
    return s3


def flow(endpoint: str, *keys: str, secret: str = KEYS) -> dict[str, Any]:
    """Return a flow that wrote these objects."""
    place = {"endpoint": endpoint.removeprefix("http://"), "insecure": True}
    place |= {f"{kind}KeySecret": {"name": secret, "key": kind} for kind in ("access", "secret")}
    uris = {Path(key).stem: f"s3://mlpipeline/{key}" for key in keys}
    return {
        "metadata": {"name": "f", "namespace": NAMESPACE},
        "spec": {"outputs": {name: {"uri": uri, "s3": place} for name, uri in uris.items()}},
        "status": {"outputs": {"artifacts": [{"name": name, "uri": uri} for name, uri in uris.items()]}},
    }


def copied(cluster: Cluster, made: dict[str, Any], folder: Path) -> tuple[dict[str, Path], list[str]]:
    """Return copies, and what was said."""
    said: list[str] = []
    return dict(cluster.call(results.copies(cluster.local.client, made, folder, said.append))), said


def test_frames_and_detections_are_shown(store: S3Store, cluster: Cluster, tmp_path: Path) -> None:
    made = flow(store.endpoint, "r/boxes.mp4", "r/lines.jsonl")
    copies, said = copied(cluster, made, tmp_path)
    assert said == []
    assert copies["s3://mlpipeline/r/boxes.mp4"].read_bytes() == CLIP.read_bytes()
    record = RunRecord("f", NAMESPACE)
    record.see({**made, "kind": "DataFlow"}, 1.0)
    page = render(record, "<svg></svg>", tmp_path / "report.html", copies)
    pictures = page.split('src="data:image/jpeg;base64,')[1:]
    assert len(pictures) == 6
    assert all(base64.b64decode(each.partition('"')[0]).startswith(b"\xff\xd8") for each in pictures)
    assert "Detections a frame" in page
    assert 'href="s3://mlpipeline/r/boxes.mp4"' in page
    assert "<img" not in render(record, "<svg></svg>", tmp_path / "report.html")


def test_what_is_not_there_is_said(store: S3Store, cluster: Cluster, tmp_path: Path) -> None:
    copies, said = copied(cluster, flow(store.endpoint, "r/other.mp4", "r/lines.jsonl", "r/table.csv"), tmp_path)
    assert list(copies) == ["s3://mlpipeline/r/lines.jsonl"]
    (line,) = said
    assert line.startswith("the report does without other: s3://mlpipeline/r/other.mp4 can't be read")


def test_a_secret_that_is_not_there_is_said(store: S3Store, cluster: Cluster, tmp_path: Path) -> None:
    assert copied(cluster, flow(store.endpoint, "r/boxes.mp4", secret="none"), tmp_path) == (
        {},
        ["the report does without boxes: Secret none is not there"],
    )


def test_a_store_that_does_not_answer_is_said(store: S3Store, cluster: Cluster, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        copies, (line,) = copied(cluster, flow(f"http://127.0.0.1:{taken.getsockname()[1]}", "r/boxes.mp4"), tmp_path)
    assert copies == {} and "can't be read" in line


def test_a_long_video_is_not_copied(
    store: S3Store, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "_MOST_BYTES", 1 << 10)
    copies, said = copied(cluster, flow(store.endpoint, "r/boxes.mp4"), tmp_path)
    assert copies == {} and "0 are the most" in said[0]
