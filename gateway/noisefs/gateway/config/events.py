"""The schema of events: where they are told, and how long they are kept for that."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, model_validator

from noisefs.gateway.config.table import Count, Seconds, Table
from noisefs.gateway.config.values import HookUrl, RedisUrl

_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"


class WebhookDeclaration(Table):
    """A receiver of events: bucket owners choose it by its ARN, `arn:noisefs:sqs::NAME:webhook`."""

    name: str = Field(pattern=_NAME, max_length=64, description="Its name in the ARN, for ever.")
    url: HookUrl = Field(description="Where messages are POSTed; redirections are not followed.")
    secret: SecretStr | None = Field(
        default=None,
        min_length=16,
        description="What messages are signed with (Standard Webhooks); behind `whsec_` it is base64.",
    )
    secret_file: Path | None = Field(default=None, description="File whose first line is the secret.")

    @model_validator(mode="after")
    def _one(self) -> "WebhookDeclaration":
        if (self.secret is None) == (self.secret_file is None):
            raise ValueError("one of secret and secret_file is needed")
        return self


class RedisDeclaration(Table):
    """A receiver of events: bucket owners choose it by its ARN, `arn:noisefs:sqs::NAME:redis`."""

    name: str = Field(pattern=_NAME, max_length=64, description="Its name in the ARN, for ever.")
    url: RedisUrl = Field(description="Redis or Valkey: `redis://HOST:PORT/0`, `rediss://` with TLS, `unix:///PATH`.")
    stream: str = Field(
        default="noisefs-events", min_length=1, max_length=512, description="Key of the stream that messages go to."
    )
    max_entries: int = Field(
        default=0, ge=0, description="About so many entries stay in the stream, the newest; 0: all."
    )
    user: str | None = Field(default=None, description="User, where it has users.")
    password: SecretStr | None = Field(default=None, description="That user's password, or the server's.")
    password_file: Path | None = Field(default=None, description="File whose first line is the password.")

    @model_validator(mode="after")
    def _one(self) -> "RedisDeclaration":
        if self.password is not None and self.password_file is not None:
            raise ValueError("one of password and password_file is enough")
        return self


class EventsConfig(Table):
    """Events of objects, told to receivers that buckets name in their notification configuration."""

    webhooks: tuple[WebhookDeclaration, ...] = Field(default=(), description="Receivers of events.")
    redis: tuple[RedisDeclaration, ...] = Field(default=(), description="Streams of Redis servers that get events.")
    queue_max: Count = Field(
        default=100_000, description="Events that wait for one receiver; the oldest is dropped for each further one."
    )
    max_age_s: Seconds = Field(default=86_400, description="Events that could not be told for so long are dropped.")
    batch: int = Field(default=100, ge=1, le=1000, description="Events of one message at most.")
    timeout_s: Annotated[float, Field(gt=0, le=60)] = Field(
        default=10, description="A receiver that has not answered by then gets the message again."
    )
    retry_max_s: Annotated[float, Field(ge=1, le=3600)] = Field(
        default=60, description="Longest pause between two attempts; the first is a second, each twice as long."
    )

    @model_validator(mode="after")
    def _names(self) -> "EventsConfig":
        for kind, names in (
            ("webhooks", [hook.name for hook in self.webhooks]),
            ("redis receivers", [one.name for one in self.redis]),
        ):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"two {kind} are called {twice[0]!r}")
        return self
