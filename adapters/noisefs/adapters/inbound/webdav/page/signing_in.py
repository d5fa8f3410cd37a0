"""The page on which a person lets a device in: a form, and what came of it. It runs no script."""

import html
import secrets
from typing import Final, NamedTuple

from aiohttp import web

from noisefs.adapters.inbound.webdav import answers
from noisefs.adapters.inbound.webdav.page.assets import url_of

_HTML: Final = "text/html; charset=utf-8"


class SignInPage(NamedTuple):
    """A page about a device, as it calls itself, at an address."""

    device: str = ""
    client: str = ""

    def form(self, *, wrong: bool = False) -> web.Response:
        """Who it is, and fields to sign in; 403 where that was tried and failed."""
        told = '<p class="bad" role="alert">Wrong name or secret.</p>' if wrong else ""
        return _page(
            403 if wrong else 200,
            "Sign a device in",
            f"<p><bdi>{html.escape(self.device)}</bdi> at {html.escape(self.client)} wants to use your files. "
            "Go on only if you have just asked for that, on a device of yours. It gets a password of its own, which "
            f"can be revoked.</p>{told}"
            '<form method="post" autocomplete="on">'
            '<p><label>Name or access key <input name="name" autocomplete="username" required autofocus></label></p>'
            '<p><label>Password or secret key <input name="secret" type="password" autocomplete="current-password" '
            "required></label></p>"
            "<p><button>Let it in</button></p></form>",
        )

    def over(self, told: str) -> web.Response:
        """What became of it; 404 where nothing is known of a device."""
        return _page(200 if self.device else 404, "Sign a device in", f"<p>{html.escape(told)}</p>")


def _page(status: int, title: str, inner: str) -> web.Response:
    nonce = secrets.token_urlsafe(16)
    policy = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; form-action 'self' nc:; base-uri 'none'; "
        "frame-ancestors 'none'"
    )
    headers = {
        "Content-Security-Policy": policy,
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "X-Frame-Options": "DENY",
        "Cache-Control": "no-store",
    }
    text = (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width">'
        f'<link rel="stylesheet" nonce="{nonce}" href="{html.escape(url_of("page.css", ""))}"></head>\n'
        f"<body><h1>{title}</h1>\n{inner}</body></html>\n"
    )
    return answers.whole(status, _HTML, text.encode("utf-8", "replace"), headers)
