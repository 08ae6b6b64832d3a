"""A client of the simulated exchange's Advanced Trade dialect that signs by itself and hides nothing."""

import base64
import json
import time
from typing import Any

import requests
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

from apps.simulator.exchange import SimExchange

BASE = "/api/v3/brokerage"


def packed(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class Client:
    """One key; `claims` and `head` change what its tokens say."""

    def __init__(self, exchange: SimExchange, account: dict[str, Any]) -> None:
        self._url = exchange.rest_url
        self._key = account["key"]
        self._private = serialization.load_pem_private_key(account["pem"].encode(), password=None)
        self.claims: dict[str, Any] = {}
        self.head: dict[str, Any] = {}

    def token(self, method: str, path: str) -> str:
        now = int(time.time())
        head = {"alg": "ES256", "typ": "JWT", "kid": self._key, "nonce": "0123456789abcdef", **self.head}
        claims = {
            "sub": self._key, "iss": "cdp", "nbf": now, "exp": now + 120,
            "uri": f"{method} {self._url.removeprefix('http://')}{path}", **self.claims,
        }  # fmt: skip
        signed = f"{packed(head)}.{packed(claims)}"
        assert isinstance(self._private, ec.EllipticCurvePrivateKey)
        r, s = utils.decode_dss_signature(self._private.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{packed(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"

    def ask(self, method: str, resource: str, **more: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.token(method, BASE + resource)}"}
        return requests.request(method, self._url + BASE + resource, headers=headers, timeout=5, **more)

    def get(self, resource: str, **query: Any) -> Any:
        answer = self.ask("GET", resource, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, resource: str, body: object) -> Any:
        answer = self.ask("POST", resource, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def place(self, client_id: str, configuration: str = "market_market_ioc", side: str = "BUY", **terms: Any) -> Any:
        body = {
            "client_order_id": client_id, "product_id": "BTC-USD", "side": side,
            "order_configuration": {configuration: {"base_size": "1", **terms}},
        }  # fmt: skip
        return self.post("/orders", body)

    def placed(self, *args: Any, **terms: Any) -> str:
        """Place an order that must be taken, and return the venue's id of it."""
        answer = self.place(*args, **terms)
        assert answer["success"], answer
        return str(answer["success_response"]["order_id"])

    def order(self, order_id: str) -> Any:
        return self.get(f"/orders/historical/{order_id}")["order"]
