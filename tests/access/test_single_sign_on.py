"""Single sign-on against an OpenID provider of our own on loopback: who is let in, and who is told why not."""

import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
import requests
from django.http import HttpResponse
from django.urls import include, path
from pytest_django import Settings

from apps.access import roles
from tests.access.conftest import Person, text_of

Make = Callable[..., Person]
CLIENT, SECRET = "trading-site", "known-to-both"

urlpatterns = [
    path("account/", include("allauth.socialaccount.providers.openid_connect.urls")),
    path("account/single-sign-on/", include("allauth.socialaccount.urls")),
    path("", include("tradingsite.urls")),
]


class Provider(ThreadingHTTPServer):
    """Vouches for whoever `claims` says, once per code; keeps what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Door)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.claims: dict[str, Any] = {"sub": "42", "email": "ann@example.com", "email_verified": True}
        self.codes: dict[str, dict[str, str]] = {}
        self.refuses = False


class Door(BaseHTTPRequestHandler):
    server: Provider

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path == "/.well-known/openid-configuration":
            names = {"authorization": "authorize", "token": "token", "userinfo": "userinfo"}
            found = {f"{name}_endpoint": f"{self.server.url}/{place}" for name, place in names.items()}
            more = {"issuer": self.server.url, "jwks_uri": f"{self.server.url}/keys"}
            self._say({**found, **more, "token_endpoint_auth_methods_supported": ["client_secret_post"]})
        elif parts.path == "/authorize":
            code = secrets.token_hex(8)
            self.server.codes[code] = asked
            answer = "error=access_denied" if self.server.refuses else f"code={code}"
            self.send_response(302)
            self.send_header("Location", f"{asked['redirect_uri']}?{answer}&state={asked['state']}")
            self.end_headers()
        else:
            self._say(self.server.claims)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        given = {name: values[0] for name, values in parse_qs(body).items()}
        known = self.server.codes.pop(given.get("code", ""), None)
        if known is None or given["client_secret"] != SECRET or "code_verifier" not in given:
            self.send_error(400)
            return
        now = int(time.time())
        claims = {**self.server.claims, "iss": self.server.url, "aud": CLIENT, "iat": now, "exp": now + 60}
        token = jwt.encode(claims, "k" * 32, algorithm="HS256")
        self._say({"access_token": secrets.token_hex(8), "token_type": "Bearer", "id_token": token, "expires_in": 60})

    def log_message(self, *args: Any) -> None:
        """Say nothing."""

    def _say(self, answer: dict[str, Any]) -> None:
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def provider(settings: Settings) -> Iterator[Provider]:
    server = Provider()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    app = {"provider_id": "sso", "name": "Company sign-in", "client_id": CLIENT, "secret": SECRET}
    app["settings"] = {"server_url": server.url}  # type: ignore[assignment]  # one value is a table
    settings.SOCIALACCOUNT_PROVIDERS = {"openid_connect": {"OAUTH_PKCE_ENABLED": True, "APPS": [app]}}
    settings.ROOT_URLCONF = __name__
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def signs_in(person: Person) -> HttpResponse:
    """Follow the button on the sign-in page to the provider and back."""
    assert "Company sign-in" in text_of(person.get("/account/login/"))
    leaving = person.post("/account/oidc/sso/login/?next=/statistics")
    assert leaving.status_code == 302
    back = requests.get(leaving.url, allow_redirects=False, timeout=5).headers["Location"]
    parts = urlsplit(back)
    return person.get(f"{parts.path}?{parts.query}")


def test_who_the_provider_vouches_for_is_let_in_as_the_user_there_is(person: Make, provider: Provider) -> None:
    ann = person("ann", roles.VIEWER, email="Ann@Example.com")
    assert signs_in(ann).url == "/statistics"
    assert ann.get("/admin/").wsgi_request.user == ann.user
    ann.browser.logout()
    provider.claims["email"] = "renamed@example.com"
    assert signs_in(ann).url == "/statistics", "known from now on by the provider's own name for the person"


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"email": "stranger@example.com"}, "no user of this site has that address"),
        ({"email_verified": False}, "no verified e-mail address"),
        ({"email_verified": "false"}, "no verified e-mail address"),
        ({"email": "two@example.com"}, "More than one user"),
    ],
)
def test_others_are_told_why_not_and_no_user_is_made(
    person: Make, provider: Provider, claims: dict[str, Any], words: str
) -> None:
    ann = person("ann", email="ann@example.com")
    for name in ("b", "c"):
        person(name, email="two@example.com")
    provider.claims.update(claims)
    answer = signs_in(ann)
    assert answer.status_code == 403
    assert words in text_of(answer)
    assert ann.get("/admin/").status_code == 302


def test_the_second_factor_is_asked_for_after_single_sign_on_too(person: Make, provider: Provider) -> None:
    ann = person("ann", roles.VIEWER, email="ann@example.com")
    ann.gives_password()
    ann.enrols()
    ann.browser.logout()
    assert signs_in(ann).url.startswith("/account/2fa/authenticate/")
    assert ann.get("/admin/").status_code == 302
    assert ann.gives_code().status_code == 302
    assert ann.get("/admin/").status_code == 200


def test_an_inactive_user_is_not_let_in(person: Make, provider: Provider) -> None:
    ann = person("ann", email="ann@example.com", is_active=False)
    signs_in(ann)
    assert ann.get("/admin/").status_code == 302


def test_a_sign_in_that_was_begun_elsewhere_is_refused(person: Make, provider: Provider) -> None:
    ann, eve = person("ann", email="ann@example.com"), person("eve")
    leaving = eve.post("/account/oidc/sso/login/")
    back = urlsplit(requests.get(leaving.url, allow_redirects=False, timeout=5).headers["Location"])
    answer = ann.get(f"{back.path}?{back.query}")
    assert "Location" not in answer
    assert ann.get("/admin/").status_code == 302


def test_who_changes_their_mind_at_the_provider_is_told(person: Make, provider: Provider) -> None:
    ann = person("ann", email="ann@example.com")
    provider.refuses = True
    assert ann.browser.get(signs_in(ann).url).status_code == 200
    assert ann.get("/admin/").status_code == 302


def test_without_a_provider_there_is_no_such_page(person: Make) -> None:
    assert person("ann").post("/account/oidc/sso/login/").status_code == 404
