"""What clients send, request by request, from the tables in ``clients``: each answer, and what is left in the end."""

import pytest

from tests.protocol.webdav.clients import apps, finder, linux, phones, windows
from tests.support.replays import Client, replay
from tests.support.webdav_server import WebdavServer

CLIENTS = [*finder.CLIENTS, *windows.CLIENTS, *linux.CLIENTS, *apps.CLIENTS, *phones.CLIENTS]
STORIES = [
    pytest.param(client, story, id=f"{client.name}, {story}".replace(" ", "-"))
    for client in CLIENTS
    for story in client.stories
]


@pytest.mark.parametrize(("client", "story"), STORIES)
async def test_replay(dav: WebdavServer, client: Client, story: str) -> None:
    """The whole story."""
    await replay(dav, client, story)
