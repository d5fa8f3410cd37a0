"""How Nextcloud's clients sign in: by a page in a browser, after which they have a password of their own.

Login flow v2: ``POST /index.php/login/v2`` begins one; a person opens the page that it names, and signs in there; the
client asks ``/login/v2/poll`` until it gets the password. The older flow is one page in the client's own browser, which
ends in a ``nc://`` URL. The page takes a user's password or an access key, never a device's: none makes others.

Source: Nextcloud developer manual, *Login flow*.
"""

import json
from typing import Final
from urllib.parse import parse_qs, quote

from aiohttp import web

from noisefs.adapters.inbound.webdav import answers
from noisefs.adapters.inbound.webdav.auth.basic import parse_basic
from noisefs.adapters.inbound.webdav.auth.doorman import Doorman
from noisefs.adapters.inbound.webdav.files.incoming import Incoming
from noisefs.adapters.inbound.webdav.page.assets import asset
from noisefs.adapters.inbound.webdav.page.signing_in import SignInPage
from noisefs.adapters.inbound.webdav.places.place import host_of, plain_host
from noisefs.adapters.inbound.webdav.refusal import Refused
from noisefs.core.domain.login_flow import device_name
from noisefs.core.domain.requests import Principal
from noisefs.core.errors import NotFound, TooMany
from noisefs.core.services.accounts import Accounts

_BEGIN: Final = "/login/v2"
_POLL: Final = f"{_BEGIN}/poll"
_FLOW: Final = f"{_BEGIN}/flow/"
_OLD: Final = "/login/flow"
_PREFIX: Final = "/index.php"
_ONLINE: Final = f"{_PREFIX}/204"
"""Clients look here whether they are online."""
_MAKE: Final = ("/ocs/v1.php/core/getapppassword", "/ocs/v2.php/core/getapppassword")
_DROP: Final = ("/ocs/v1.php/core/apppassword", "/ocs/v2.php/core/apppassword")
_FORM_BYTES: Final = 4096
_RETRY_S: Final = "60"


def may_be_sign_in(raw_path: str) -> bool:
    """Whether a path can be one of these. Cost: nothing."""
    return raw_path.startswith((f"{_PREFIX}/", _BEGIN))


class SignIn:
    """Answers what belongs to signing in. Task-safe."""

    def __init__(self, *, accounts: Accounts, doorman: Doorman, public_url: str) -> None:
        """``public_url``: where clients reach the server, if that is configured."""
        self._accounts = accounts
        self._flows = accounts.login_flows
        self._doorman = doorman
        self._public_url = public_url.rstrip("/")

    async def answer(self, request: web.BaseRequest, incoming: Incoming, client: str) -> web.Response | None:
        """The answer to a request that needs no login; ``None``: it is about something else.

        Raises:
            Refused: 400, 404, 413, 429.
            NoisefsError: Whatever the services raise.
        """
        path = request.raw_path.partition("?")[0]
        method = request.method
        if method == "GET" and path == _ONLINE:
            return answers.whole(204, "", b"")
        bare = path.removeprefix(_PREFIX)
        if method == "POST" and bare in (_BEGIN, _POLL):
            return await (self._begin(request, client) if bare == _BEGIN else self._poll(request, incoming))
        if bare == path or method not in ("GET", "POST"):  # pages have the prefix: a bucket may be called login
            return None
        if bare.startswith(_FLOW):
            return await self._page(request, incoming, client, bare[len(_FLOW) :])
        return await self._old_page(request, incoming, client) if bare == _OLD else None

    async def answer_known(self, request: web.BaseRequest, who: Principal) -> web.Response | None:
        """The same for requests with a login: making a device's password of a user's, and giving one back.

        Raises:
            Refused: 403, as for a script of another site.
        """
        path = request.raw_path.partition("?")[0]
        make, drop = request.method == "GET" and path in _MAKE, request.method == "DELETE" and path in _DROP
        if not make and not drop:
            return None
        if request.headers.get("OCS-APIRequest", "").lower() != "true":  # which no other site's page can send
            raise Refused(403, "OCS-APIRequest: true is needed")
        login = parse_basic(request.headers.get("Authorization", ""))
        device = None if login is None else self._accounts.app_passwords.named(who.name, login.password)
        content: dict[str, object] = {}
        if make:
            if device is not None or who.session:
                raise Refused(403, "this is a device's password already")
            made = await self._flows.password_for(who.name, request.headers.get("User-Agent", ""))
            content = {"apppassword": made}
        elif device is None:
            raise Refused(403, "this is no device's password")
        else:
            await self._accounts.app_passwords.revoke(who.name, device)
        code = 100 if path.startswith("/ocs/v1.php") else 200
        document = {"ocs": {"meta": {"status": "ok", "statuscode": code, "message": "OK"}, "data": content}}
        return _as_json(document)

    # ------------------------------------------------------------------ the second flow

    async def _begin(self, request: web.BaseRequest, client: str) -> web.Response:
        try:
            begun = await self._flows.begin(request.headers.get("User-Agent", ""), client)
        except TooMany as exc:
            raise Refused(429, str(exc), headers={"Retry-After": _RETRY_S}) from exc
        base = f"{self._server(request)}{_PREFIX}"
        poll = {"token": begun.token, "endpoint": f"{base}{_POLL}"}
        return _as_json({"poll": poll, "login": f"{base}{_FLOW}{begun.page}"})

    async def _poll(self, request: web.BaseRequest, incoming: Incoming) -> web.Response:
        asked = parse_qs(request.raw_path.partition("?")[2])  # where some put it
        token = (await _form(request, incoming)).get("token") or asked.get("token", [""])[0]
        found = await self._flows.collect(token)
        if found is None:
            return answers.whole(404, "application/json; charset=utf-8", b"[]", _UNKEPT)
        user, password = found
        return _as_json({"server": self._server(request), "loginName": user, "appPassword": password})

    async def _page(self, request: web.BaseRequest, incoming: Incoming, client: str, token: str) -> web.Response:
        found = asset(request.raw_path) if request.method == "GET" else None
        if found is not None:
            return found
        try:
            flow = self._flows.look(token)
        except NotFound as exc:
            return SignInPage().over(str(exc))
        page = SignInPage(device=flow.agent, client=flow.client)
        if request.method == "GET":
            return page.form()
        who = await self._who(request, incoming, client)
        if who is None:
            return page.form(wrong=True)
        await self._flows.confirm(token, who.name)
        return page.over("Signed in. This page can be closed.")

    # ------------------------------------------------------------------ the first one

    async def _old_page(self, request: web.BaseRequest, incoming: Incoming, client: str) -> web.Response:
        agent = request.headers.get("User-Agent", "")
        page = SignInPage(device=device_name(agent), client=client)
        if request.method == "GET":
            return asset(request.raw_path) or page.form()
        who = await self._who(request, incoming, client)
        if who is None:
            return page.form(wrong=True)
        password = await self._flows.password_for(who.name, agent)
        server, user = self._server(request), quote(who.name, safe="")
        url = f"nc://login/server:{server}&user:{user}&password:{quote(password, safe='')}"
        return answers.whole(303, "", b"", {"Location": url, **_UNKEPT})

    async def _who(self, request: web.BaseRequest, incoming: Incoming, client: str) -> Principal | None:
        """Who signs in on a page; ``None``: a name or a secret is wrong."""
        origin = request.headers.get("Origin", "")
        own = host_of(origin) == plain_host(request.headers.get("Host", "")) if origin not in ("", "null") else True
        if not own or request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
            raise Refused(403, "a page of another site may sign nobody in")
        fields = await _form(request, incoming)
        name, secret = fields.get("name", ""), fields.get("secret", "")
        if not name or not secret:
            return None
        who = await self._doorman.signed_in(name, secret, client)
        if who is not None and (who.session or self._accounts.app_passwords.named(who.name, secret) is not None):
            return None  # a device's
        return who

    def _server(self, request: web.BaseRequest) -> str:
        """The server's URL as this client has it."""
        scheme = request.get("scheme") or request.scheme
        return self._public_url or f"{scheme}://{request.headers.get('Host', '')}"


_UNKEPT: Final = {"Cache-Control": "no-store"}


def _as_json(document: object) -> web.Response:
    return answers.whole(200, "application/json; charset=utf-8", json.dumps(document).encode(), _UNKEPT)


async def _form(request: web.BaseRequest, incoming: Incoming) -> dict[str, str]:
    """The fields of a form, or of a JSON object."""
    body = await incoming.whole(_FORM_BYTES)
    try:
        if request.content_type == "application/json":
            found = json.loads(body)
            return {name: value for name, value in found.items() if isinstance(value, str)}
        return {name: values[0] for name, values in parse_qs(body.decode(), max_num_fields=10).items()}
    except (ValueError, AttributeError, RecursionError) as exc:
        raise Refused(400, "the body is no form") from exc
