"""Uploads finished pictures to a bucket: Cloudflare R2, or anything else that speaks S3. Needs `pip install aiobotocore`
(the extra `r2`).

The name of a file is an HMAC-SHA256 of its content: the same picture is stored once, and no text of a caller is in the
name. Its key is 32 random bytes in `state.dir/picture_names_key`, used for nothing else and never sent anywhere: whoever
has a picture, or the names of others, can neither compute a name nor try out guesses of the key, or of the bucket's own
secret, which has no part in it. Gateways with folders of their own have keys of their own, and then each stores its copy.

What fails (the bucket, the network, time) is never the caller's loss: the picture then goes out as bytes.
After three failures in a row the store is left alone for half a minute."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import importlib.util
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from config.settings import Key
from gateway.errors import PluginFailed
from gateway.hookspecs import Services, hookimpl
from gateway.model import Call, Image
from gateway.state.kept_key import kept_key
from gateway.wire.media import EXTENSIONS

log = logging.getLogger("gateway.plugins.r2_upload")
_FAILURES, _REST_S = 3, 30.0
_REMEMBERED, _REMEMBERED_S = 4096, 3600.0


class Settings(BaseModel):
    """Where the bucket is, and how files get and stay there."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    endpoint_url: str = Field(pattern=r"^https?://[^/]+/?$", description="https://ACCOUNT.r2.cloudflarestorage.com")
    bucket: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{1,62}$", description="Name of the bucket; it must exist.")
    access_key_id: Key = Field(description="Key id of a token that may write objects.")
    secret_access_key: Key = Field(description="Its secret.")
    public_base_url: str | None = Field(
        None, pattern=r"^https?://", description="Address of the public bucket; without it links are presigned."
    )
    ca_file: Path | None = Field(None, description="Extra CA (PEM) of the endpoint.")
    prefix: str = Field(
        "", pattern=r"^([A-Za-z0-9_-]+/)*$", description='Folder, such as "week/", for a lifecycle rule that deletes.'
    )
    presigned_s: int = Field(86_400, ge=60, le=604_800, description="How long a presigned link works, in seconds.")
    cache_control: str = Field("public, max-age=31536000, immutable", description="Cache-Control of the files.")
    timeout_s: float = Field(8, gt=0, le=300, description="Time for one upload, its one retry included.")


class Plugin:
    def __init__(self, settings: Settings) -> None:
        if importlib.util.find_spec("aiobotocore") is None:
            raise ValueError("needs the package aiobotocore (pip install aiobotocore)")
        self._settings = settings
        self._client: Any = None
        self._key = b""
        self._failures = 0
        self._rest_until = 0.0
        self._stored: OrderedDict[str, float] = OrderedDict()

    @hookimpl
    async def lifespan(self, gateway: Services) -> AsyncIterator[None]:
        self._key = await asyncio.to_thread(kept_key, gateway.state_dir / "picture_names_key")
        async with AsyncExitStack() as stack:
            self._client = await stack.enter_async_context(self._connection(gateway.root))
            yield

    def _connection(self, root: Path) -> Any:
        from aiobotocore.config import AioConfig
        from aiobotocore.session import get_session

        wanted = self._settings
        config = AioConfig(
            signature_version="s3v4",
            # The newer default is a checksum trailer that R2 refuses, and over HTTPS only.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={"addressing_style": "path"},
            retries={"total_max_attempts": 2, "mode": "standard"},
            connect_timeout=wanted.timeout_s,
            read_timeout=wanted.timeout_s,
            max_pool_connections=16,
        )
        return get_session().create_client(
            "s3",
            region_name="auto",
            endpoint_url=wanted.endpoint_url,
            aws_access_key_id=wanted.access_key_id.get_secret_value(),
            aws_secret_access_key=wanted.secret_access_key.get_secret_value(),
            verify=str(root / wanted.ca_file) if wanted.ca_file else True,
            config=config,
        )

    @hookimpl
    async def store_image(self, image: Image, call: Call) -> str | None:
        if time.monotonic() < self._rest_until:
            raise PluginFailed("the store failed a moment ago and is left alone")
        digest = await asyncio.to_thread(_digest, self._key, image.data)
        key = f"{self._settings.prefix}{digest}.{EXTENSIONS[image.mime]}"
        if self._stored.get(key, 0.0) < time.monotonic():
            await self._upload(key, image)
        return await self._url(key)

    async def _upload(self, key: str, image: Image) -> None:
        try:
            # Of its own: botocore's timeouts do not cover an upload that waits for `100 Continue`.
            async with asyncio.timeout(self._settings.timeout_s):
                await self._client.put_object(
                    Bucket=self._settings.bucket,
                    Key=key,
                    Body=image.data,
                    ContentType=image.mime,
                    CacheControl=self._settings.cache_control,
                )
        except Exception as exc:
            reason = _reason(exc)
            log.warning("upload to %s failed: %s", self._settings.bucket, reason)
            self._failed()
            raise PluginFailed(f"the store {reason}") from exc
        self._failures = 0
        self._stored[key] = time.monotonic() + _REMEMBERED_S
        while len(self._stored) > _REMEMBERED:
            self._stored.popitem(last=False)

    def _failed(self) -> None:
        self._failures += 1
        if self._failures >= _FAILURES:
            self._rest_until = time.monotonic() + _REST_S

    async def _url(self, key: str) -> str:
        if self._settings.public_base_url:
            return f"{self._settings.public_base_url.rstrip('/')}/{key}"
        where = {"Bucket": self._settings.bucket, "Key": key}
        url: str = await self._client.generate_presigned_url(
            "get_object", Params=where, ExpiresIn=self._settings.presigned_s
        )
        return url


def _digest(key: bytes, data: bytes) -> str:
    return hmac.new(key, data, hashlib.sha256).hexdigest()


def _reason(exc: Exception) -> str:
    """What went wrong, in words that hold no secret and no address."""
    if isinstance(exc, TimeoutError):
        return "did not answer in time"
    response = getattr(exc, "response", None)
    code = str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""
    if code:
        return f"refused it ({code[:40]})" if code.isalnum() else "refused it"
    return f"could not be reached ({type(exc).__name__})"
