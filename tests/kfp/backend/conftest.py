# SPDX-License-Identifier: Apache-2.0
"""Kubeflow Pipelines' backend, emulated (``kfp_backend``), for tests of compiled pipelines."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("kfp")
sys.path.append(str(Path(__file__).parent))

from kfp_backend import sandbox
from kfp_backend.backend import Backend
from kfp_backend.cluster import Cluster
from kfp_backend.store import S3Store, serve

REPOSITORY = Path(__file__).resolve().parents[3]
_FOLDERS = (REPOSITORY / "shared/data", REPOSITORY.parent / "shared/data")
DATA = next((folder for folder in _FOLDERS if folder.exists()), _FOLDERS[0])


@pytest.fixture(scope="session")
def upstream() -> Callable[[str], str]:
    """Return upstream's IR files by name; the test is skipped where they are not there."""

    def text(name: str) -> str:
        path = DATA / "kfp-ir" / f"{name}.yaml"
        if not path.exists():
            pytest.skip(f"{path} is not there")
        return path.read_text()

    return text


@pytest.fixture
def seeded(tmp_path: Path) -> dict[str, str]:
    """An environment in which ``random`` always begins alike."""
    folder = tmp_path / "seed"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text("import random\nrandom.seed(7)\n")
    return {"PYTHONPATH": str(folder)}


@pytest.fixture
def backend(tmp_path: Path) -> Backend:
    """A backend whose pipeline root is a folder, without a cluster."""
    root = tmp_path / "artifacts"
    root.mkdir()
    return Backend(tmp_path / "pods", str(root), shared=(tmp_path,))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, kernel_cache: Path) -> Iterator[Cluster]:
    """An embedded API with our operators; containers find it as they find a cluster's."""
    if not sandbox.is_possible():
        pytest.skip("containers find a cluster by their service account's files, which needs mount namespaces")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ACCELCHAIN_CACHE", str(kernel_cache))
        with Cluster(tmp_path_factory.mktemp("cluster")) as running:
            yield running


@pytest.fixture
def in_cluster(tmp_path: Path, cluster: Cluster) -> Backend:
    """A backend whose containers run in a cluster; the pipeline root is a folder that its nodes have too."""
    root = tmp_path / "artifacts"
    root.mkdir()
    return Backend(tmp_path / "pods", str(root), cluster=cluster, shared=(tmp_path,))


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Any], str]:
    """Compile a pipeline with KFP's own compiler."""
    from kfp import compiler

    def text(pipeline: Any) -> str:
        path = tmp_path_factory.mktemp("ir") / "pipeline.yaml"
        compiler.Compiler().compile(pipeline, str(path))
        return path.read_text()

    return text


@pytest.fixture(scope="session")
def s3_soon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Future[S3Store]]:
    """SeaweedFS with the bucket ``mlpipeline``, which starts while tests that don't need it run: mostly it waits."""
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(1) as threads:
        yield threads.submit(stack.enter_context, serve(tmp_path_factory.mktemp("seaweed"), "mlpipeline"))


@pytest.fixture(scope="session")
def s3(s3_soon: Future[S3Store]) -> S3Store:
    """SeaweedFS, with the bucket ``mlpipeline``."""
    pytest.importorskip("botocore", reason="S3 needs botocore")
    try:
        return s3_soon.result()
    except FileNotFoundError as error:
        pytest.skip(str(error))
