# SPDX-License-Identifier: Apache-2.0
"""S3: botocore signs requests and reads answers, ``Web`` carries them.

botocore offers no way to give it a pool of connections, but its event ``before-send`` may answer a request in its
place: so none of its own sockets is ever opened by a request to S3.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from typing import Any, TypeVar

import urllib3
from urllib3.exceptions import HTTPError

from accelchain_runtime.engine.function import InputError
from accelchain_runtime.engine.reach import Reach
from accelchain_runtime.functions.addresses import Address, parse

from .credentials import Credentials, credentials_for
from .failures import Refused, Unavailable
from .guard import Guard
from .web import Web, failed, problem

_DEFAULT_REGION = "us-east-1"
_SERVER_ATTEMPTS = 3
"""How often botocore asks again where a server answers with an error of its own."""
_SAYINGS = {
    "NoSuchKey": "there is no object of this key in the bucket",
    "NoSuchBucket": "there is no such bucket",
    "AccessDenied": "access is denied: the credentials are missing or don't allow it",
    "AllAccessDisabled": "access to this object is disabled",
    "InvalidAccessKeyId": "the server does not know the access key",
    "SignatureDoesNotMatch": "the secret access key is wrong",
    "ExpiredToken": "the credentials are expired",
    "InvalidToken": "the session token is wrong",
    "TokenRefreshRequired": "the credentials are expired",
    "RequestTimeTooSkewed": "the clocks of this machine and the server differ too much",
    "PermanentRedirect": "the bucket is in another region: name it as key region",
    "AuthorizationHeaderMalformed": "the bucket is in another region: name it as key region",
    "InvalidBucketName": "this is no valid name of a bucket",
    "InvalidRange": "the object is empty, or was replaced while it was read",
    "NoSuchUpload": "another attempt has taken its place",
    "InvalidObjectState": "the object is archived",
}
_ANSWER_BYTES = 8 << 20
"""Larger than any answer but an object: a server must not fill the worker's memory."""
_TRY_LATER = {"InternalError", "ServiceUnavailable", "SlowDown", "RequestTimeout", "OperationAborted", "Throttling"}

Result = TypeVar("Result")


class S3:
    """Requests to S3 for one address. Credentials are read anew for each. Used by one thread."""

    def __init__(self, address: Address, uri: str, reach: Reach, seconds: float) -> None:
        """Get ready; connects to nothing.

        Args:
            address: of scheme s3.
            uri: what its credentials are for.
            reach: the plan's.
            seconds: that the server may take to answer.

        Raises:
            Refused: the credentials or the rules can't be read.
        """
        self.address = address
        self._uri = uri
        self._reach = reach
        self._seconds = seconds
        self._limit = seconds
        self._guard = Guard(reach)
        self._credentials = credentials_for(uri, reach)
        self._web = Web(self._guard, seconds, self._credentials.authorities)
        self._client = self._new_client(self._credentials)

    def call(self, operation: str, *, seconds: float | None = None, **parameters: Any) -> dict[str, Any]:
        """Do an operation of botocore's S3 client on the address's bucket and key.

        Args:
            operation: its name: ``get_object``.
            seconds: that the server may take to answer; None: the object's own.
            parameters: of the operation, ``Bucket`` and ``Key`` aside.

        Raises:
            Refused, Unavailable: it failed; ``code`` of a ``S3Refused`` is the server's.
        """
        from botocore.exceptions import BotoCoreError, ClientError  # not loaded where no S3 is used: 24 MiB

        self._limit = seconds or self._seconds
        self._renew()
        known = {"Bucket": self.address.host} | ({} if "Prefix" in parameters else {"Key": self.address.route})
        try:
            result: dict[str, Any] = getattr(self._client, operation)(**known, **parameters)
        except ClientError as error:
            raise _answered(error.response, self.address.shown) from None
        except BotoCoreError as error:  # what it finds wrong before it sends anything, or can't read
            raise Refused(f"{self.address.shown}: {_sentence(error)}") from None
        return result

    def insist(self, call: Callable[[], Result]) -> Result:
        """Call, once again where the connection broke.

        Raises:
            Refused, Unavailable: as ``call`` does.
        """
        try:
            return call()
        except Unavailable:
            return call()

    def close(self) -> None:
        """Close all connections."""
        self._web.close()

    def _renew(self) -> None:
        credentials = credentials_for(self._uri, self._reach)
        if credentials != self._credentials:
            self._web.close()
            self._web = Web(self._guard, self._seconds, credentials.authorities)
            self._credentials = credentials
            self._client = self._new_client(credentials)

    def _new_client(self, credentials: Credentials) -> Any:
        try:
            import botocore.session
            from botocore import UNSIGNED
            from botocore.config import Config
            from botocore.credentials import CredentialResolver
            from botocore.exceptions import BotoCoreError
        except ImportError:
            raise Refused("s3: addresses need the package botocore: install accelchain[cpu].") from None
        own = credentials.given or self._reach.confined  # else the user's: variables AWS_*, ~/.aws
        endpoint = _endpoint(credentials.endpoint) if own else None
        environment = {} if own else os.environ
        try:
            session = botocore.session.Session()
            if own:  # nothing of the machine's: no ~/.aws, whose files may run programs, no instance metadata
                session.set_config_variable("config_file", os.devnull)
                session.set_config_variable("credentials_file", os.devnull)
                session.register_component("credential_provider", CredentialResolver([]))
            signed = bool(credentials.access_key_id) if own else session.get_credentials() is not None
            has_endpoint = endpoint or environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL")
            client = session.create_client(
                "s3",
                region_name=credentials.region
                or (None if own else environment.get("AWS_REGION") or session.get_config_variable("region"))
                or _DEFAULT_REGION,
                endpoint_url=endpoint,
                aws_access_key_id=credentials.access_key_id or None,
                aws_secret_access_key=credentials.secret_access_key or None,
                aws_session_token=credentials.session_token or None,
                config=Config(
                    signature_version=None if signed else UNSIGNED,
                    s3={"addressing_style": "path"} if has_endpoint else None,
                    retries={"mode": "standard", "total_max_attempts": _SERVER_ATTEMPTS},
                    # Checksums in trailers, its default, are unknown to many servers that speak S3.
                    request_checksum_calculation="when_required",
                    response_checksum_validation="when_required",
                    ignore_configured_endpoint_urls=own,
                ),
            )
        except (BotoCoreError, ValueError) as error:
            raise Refused(f"{self.address.shown}: {_sentence(error)}") from None
        client.meta.events.register_first("before-send.s3", self._send)
        return client

    def _send(self, request: Any, **others: Any) -> Any:
        """Answer a request of botocore's (its event ``before-send``)."""
        from botocore.awsrequest import AWSResponse

        headers = {
            name: value.decode("latin-1") if isinstance(value, bytes) else str(value)
            for name, value in request.headers.items()
            if name.lower() != "expect"  # "100-continue": the body is sent at once
        }
        answer = self._web.send(request.method, request.url, headers, request.body, seconds=self._limit)
        if request.stream_output and answer.status < 300:
            return AWSResponse(request.url, answer.status, answer.headers, answer)
        try:
            body = answer.read(_ANSWER_BYTES)
            rest = answer.read(1)
        except (HTTPError, OSError) as error:
            raise problem(error, self.address.shown, self._limit) from None
        if rest:
            answer.close()
            raise Unavailable(f"{self.address.shown}: the server's answer is larger than any of S3.")
        return AWSResponse(
            request.url, answer.status, answer.headers, urllib3.HTTPResponse(io.BytesIO(body), preload_content=False)
        )


class S3Refused(Refused):
    """The server refused a request."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


def _answered(response: dict[str, Any], shown: str) -> Refused | Unavailable:
    code = str(response.get("Error", {}).get("Code", ""))
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in _SAYINGS:
        return S3Refused(f"{shown}: {_SAYINGS[code]} ({code}).", code)
    if code in _TRY_LATER:
        return Unavailable(f"{shown}: the server answered {code}.")
    failure = failed(status, shown)
    return S3Refused(str(failure), code) if isinstance(failure, Refused) else failure


def _endpoint(text: str) -> str | None:
    if not text:
        return None
    try:
        address = parse(text, ("http", "https"))
    except InputError as error:
        raise Refused(f"the endpoint of the bucket: {error}") from None
    if address.user or address.route != "/" or "?" in text:
        raise Refused("the endpoint of the bucket is more than http(s)://host:port.")
    return address.url


def _sentence(error: Exception) -> str:
    text = " ".join(str(error).split())[:300]
    return text if text.endswith(".") else f"{text}."
