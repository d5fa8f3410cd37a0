"""RenameObject."""

import re
from typing import Final

from noisefs.adapters.inbound.s3 import answers
from noisefs.adapters.inbound.s3.answers import Answer
from noisefs.adapters.inbound.s3.call import Call
from noisefs.adapters.inbound.s3.conditions import read_condition
from noisefs.adapters.inbound.s3.failure import S3Error, invalid_argument
from noisefs.adapters.inbound.s3.rename_source import SOURCE, source_key_of
from noisefs.core.services.namespace.objects.renaming import Renames

_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,64}")


class Renaming:
    """Answers renames. Task-safe."""

    def __init__(self, *, renames: Renames) -> None:
        self._renames = renames

    async def rename(self, call: Call) -> Answer:
        """Give the object that the source names the request's key."""
        source = source_key_of(call.headers, call.bucket)
        if source.endswith("/") or call.key.endswith("/"):
            raise S3Error("InvalidRequest", "A key that ends with a slash cannot be renamed, nor be a new name.")
        token = call.headers.get("x-amz-client-token", "")
        if token and _TOKEN.fullmatch(token) is None:
            raise invalid_argument("x-amz-client-token", token, "1 to 64 visible ASCII characters")
        version_id = await self._renames.rename(
            call.who,
            call.bucket,
            source,
            call.key,
            condition=read_condition(call.headers),
            source_condition=read_condition(call.headers, f"{SOURCE}-"),
            token=token,
        )
        return answers.empty(call, headers={"x-amz-version-id": version_id} if version_id else {})
