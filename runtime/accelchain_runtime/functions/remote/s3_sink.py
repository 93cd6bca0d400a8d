# SPDX-License-Identifier: Apache-2.0
"""Results in S3: a multipart upload, begun at once, filled when the result is whole, completed when it is published.

Nobody sees an upload before it is completed, and an earlier object stays until then. A worker that is killed leaves
an upload behind that the next attempt at this key aborts.
"""

from __future__ import annotations

import logging
import secrets
import tempfile
from pathlib import PurePosixPath
from typing import Any, BinaryIO, cast

from accelchain_runtime.functions.files import WriteError, writing

from .failures import Refused, Unavailable
from .s3_client import S3, S3Refused

log = logging.getLogger(__name__)

_PART_BYTES = 8 << 20
_PARTS = 9_000
"""S3 takes 10 000 at most."""
_MARK = "accelchain-upload"
CONTENT_TYPES = {
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".mov": "video/quicktime",
    ".mkv": "video/x-matroska",
    ".jsonl": "application/x-ndjson",
    ".json": "application/json",
}


def content_type(name: str) -> str:
    """The media type that a result's ending says."""
    return CONTENT_TYPES.get(PurePosixPath(name).suffix.lower(), "application/octet-stream")


class S3Sink:
    """A result being written: an ``Unfinished`` of ``functions.publication``. The bytes lie in a file without name."""

    def __init__(self, s3: S3) -> None:
        """Abort what earlier attempts left at this key, and begin an upload: so it is known that there may be one.

        Raises:
            Refused, Unavailable: there can't.
        """
        self._s3 = s3
        self._shown = s3.address.shown
        self._token = secrets.token_hex(8)
        self._upload = ""
        self._parts: list[dict[str, Any]] = []
        self.file: BinaryIO = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115  (until discard)
        """Where the bytes go; seekable."""
        self._abort_earlier()
        self._upload = s3.insist(self._begin)

    @property
    def name(self) -> str:
        """The address, for messages."""
        return self._shown

    def complete(self) -> int:
        """Upload the result, not to be seen yet, and return its size in bytes.

        Raises:
            WriteError: it can't be uploaded.
        """
        with writing(self._shown):
            self.file.flush()
            size = self.file.seek(0, 2)
        length = max(_PART_BYTES, -(-size // _PARTS))
        for number in range(1, max(1, -(-size // length)) + 1):
            self._parts.append({"PartNumber": number, "ETag": self._send_part(number, length)})
        return size

    def publish(self) -> None:
        """Complete the upload.

        Raises:
            WriteError: it can't be completed.
        """
        try:
            self._complete_upload()
        except (Refused, Unavailable) as error:
            raise WriteError(f"can't write {error}") from error
        self._upload = ""
        self.discard()

    def discard(self) -> None:
        """Abort the upload, if it isn't published. Callable in any state."""
        upload, self._upload = self._upload, ""
        if upload:
            self._abort(upload)
        self.file.close()
        self._s3.close()

    def _begin(self) -> str:
        answer = self._s3.call(
            "create_multipart_upload", ContentType=content_type(self._shown), Metadata={_MARK: self._token}
        )
        return str(answer["UploadId"])

    def _send_part(self, number: int, length: int) -> str:
        def send() -> str:
            answer = self._s3.call("upload_part", UploadId=self._upload, PartNumber=number, Body=data)
            return str(answer["ETag"])

        with writing(self._shown):
            self.file.seek((number - 1) * length)
            data = self.file.read(length)
        try:
            return self._s3.insist(send)
        except (Refused, Unavailable) as error:
            raise WriteError(f"can't write {error}") from error

    def _complete_upload(self) -> None:
        def complete() -> None:
            self._s3.call("complete_multipart_upload", UploadId=self._upload, MultipartUpload={"Parts": self._parts})

        try:
            complete()
        except Unavailable:  # the answer was lost, maybe: then there is no such upload any more, but our object
            try:
                complete()
            except S3Refused as error:
                if error.code != "NoSuchUpload" or not self._is_ours():
                    raise

    def _is_ours(self) -> bool:
        found: dict[str, str] = self._s3.call("head_object").get("Metadata", {})
        return found.get(_MARK) == self._token

    def _abort_earlier(self) -> None:
        key = self._s3.address.route
        try:
            found = self._s3.insist(lambda: self._s3.call("list_multipart_uploads", Prefix=key)).get("Uploads", [])
        except S3Refused as error:
            if error.code != "AccessDenied":
                raise
            log.warning("%s: uploads that were left unfinished may not be listed, and stay.", self._shown)
            return
        for each in found:
            if each["Key"] == key:
                self._abort(each["UploadId"])

    def _abort(self, upload: str) -> None:
        try:
            self._s3.call("abort_multipart_upload", UploadId=upload)
        except (Refused, Unavailable) as error:
            if not (isinstance(error, S3Refused) and error.code == "NoSuchUpload"):
                log.warning("an upload is left unfinished: %s", error)
