"""Answers questions for cells: ``POST /cells``, proved by the store's own key, over a socket of this machine or TCP."""

import logging

from aiohttp import web

from noisefs.core.domain.caching import peering
from noisefs.core.domain.sealing.keys import Label, derive
from noisefs.core.domain.sealing.store_keys import StoreKeys
from noisefs.core.errors import AccessDenied, InvalidArgument, NoisefsError
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.workers import Lane, Workers
from noisefs.core.services.caching.peers import Lending

log = logging.getLogger(__name__)


class PeerHandler:
    """Task-safe."""

    def __init__(self, lending: Lending, keys: StoreKeys, clock: Clock, workers: Workers) -> None:
        self._lending = lending
        self._key = derive(keys.store_key, Label.PEERS)
        self._clock = clock
        self._workers = workers

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one question: 200 with what could be given, 400, 403, or 503."""
        if request.method != "POST" or request.path != peering.PATH:
            return web.Response(status=404)
        body = bytearray()
        async for chunk in request.content.iter_any():
            body += chunk
            if len(body) > peering.MOST_QUESTION_BYTES:
                return web.Response(status=413)
        try:
            now_s = self._clock.now_us() // 1_000_000
            peering.check(self._key, now_s, bytes(body), request.headers.get(peering.PROOF, ""))
            question = peering.decode_question(bytes(body))
            answers = await self._workers.run(Lane.PEERS, self._lending.answer, question)
        except AccessDenied as exc:
            log.warning("peer.refused", extra={"cause": str(exc)})
            return web.Response(status=403)
        except InvalidArgument:
            return web.Response(status=400)
        except NoisefsError as exc:
            log.info("peer.not_answered", extra={"cause": str(exc)})
            return web.Response(status=503)
        return web.Response(body=peering.encode_answers(answers), content_type="application/octet-stream")
