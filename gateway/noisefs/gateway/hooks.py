"""Receivers of events, as the configuration names them."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from noisefs.adapters.outbound.redisstream.sink import RedisStream
from noisefs.adapters.outbound.webhook.sink import Webhook
from noisefs.core.domain.buckets.notification import redis_target
from noisefs.core.errors import ConfigError, InvalidArgument
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.events import EventSink
from noisefs.core.services.events.delivery import EventSettings
from noisefs.gateway.config.events import RedisDeclaration, WebhookDeclaration
from noisefs.gateway.config.schema import Config
from noisefs.gateway.rootkey import first_line


@asynccontextmanager
async def sinks_of(config: Config, clock: Clock) -> AsyncIterator[Mapping[str, EventSink]]:
    """The receivers by name; closed at the end. None of them has to answer now.

    Raises:
        ConfigError: A secret cannot be read, or is none.
    """
    async with AsyncExitStack() as stack:
        sinks: dict[str, EventSink] = {}
        for hook in config.events.webhooks:
            try:
                sink = Webhook(hook.name, hook.url, _secret(hook), clock=clock, timeout_s=config.events.timeout_s)
            except InvalidArgument as exc:
                raise ConfigError(f"events.webhooks secret of {hook.name}", "(hidden)", exc.allowed) from exc
            stack.push_async_callback(sink.close)
            sinks[hook.name] = sink
        for one in config.events.redis:
            stream = RedisStream(
                one.name,
                one.url,
                one.stream,
                user=one.user,
                password=_password(one),
                most=one.max_entries,
                timeout_s=config.events.timeout_s,
            )
            stack.push_async_callback(stream.close)
            sinks[redis_target(one.name)] = stream
        yield sinks


def event_settings(config: Config) -> EventSettings:
    """What the configuration says about events."""
    return EventSettings(
        region=config.s3.region,
        queue_most=config.events.queue_max,
        max_age_s=config.events.max_age_s,
        batch_most=config.events.batch,
        retry_most_s=config.events.retry_max_s,
    )


def _password(one: RedisDeclaration) -> str | None:
    if one.password_file is not None:
        return first_line(f"password_file of redis receiver {one.name}", one.password_file)
    return None if one.password is None else one.password.get_secret_value()


def _secret(hook: WebhookDeclaration) -> str:
    if hook.secret_file is not None:
        return first_line(f"secret_file of webhook {hook.name}", hook.secret_file)
    return "" if hook.secret is None else hook.secret.get_secret_value()
