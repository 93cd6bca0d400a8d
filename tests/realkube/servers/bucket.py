# SPDX-License-Identifier: Apache-2.0
"""``bucket.py ENDPOINT KEYS put|get BUCKET/KEY FILE``: one object of S3.

KEYS is a JSON file with ``access`` and ``secret``. ``put`` makes the bucket and waits for the server; ``get`` ends
with 1 where there is no such object.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

START_SECONDS = 60.0


def client(endpoint: str, keys: Path) -> Any:
    """Return botocore's client."""
    pair = json.loads(keys.read_text())
    return botocore.session.get_session().create_client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=pair["access"],
        aws_secret_access_key=pair["secret"],
        config=Config(s3={"addressing_style": "path"}, request_checksum_calculation="when_required"),
    )


def put(s3: Any, bucket: str, key: str, file: Path) -> None:
    """Store a file, as soon as the server takes it."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            s3.create_bucket(Bucket=bucket)
        except ClientError as error:
            made = error.response["Error"]["Code"] in ("BucketAlreadyExists", "BucketAlreadyOwnedByYou")
            if not made and time.monotonic() > deadline:
                raise
        except BotoCoreError:
            if time.monotonic() > deadline:
                raise
        try:
            s3.put_object(Bucket=bucket, Key=key, Body=file.read_bytes())
            return
        except (BotoCoreError, ClientError):
            if time.monotonic() > deadline:
                raise
        time.sleep(0.2)


def main() -> int:
    """Do one thing."""
    endpoint, keys, verb, name, file = sys.argv[1:]
    s3 = client(endpoint, Path(keys))
    bucket, _, key = name.partition("/")
    if verb == "put":
        put(s3, bucket, key, Path(file))
        return 0
    try:
        Path(file).write_bytes(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    except ClientError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
