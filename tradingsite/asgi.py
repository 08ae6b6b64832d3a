"""The site over ASGI: pages and API by Django, the socket at /ws/v1 by the gateway."""

import os

import django
from channels.routing import ProtocolTypeRouter, URLRouter
from django.urls import path, re_path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tradingsite.settings")
django.setup(set_prefix=False)  # before anything that needs the models

from django.conf import settings  # noqa: E402 - models are ready only now

from apps.trading import bell as port  # noqa: E402 - models are ready only now
from apps.web import serving  # noqa: E402 - models are ready only now
from apps.web.gateway.application import Gateway, refuse  # noqa: E402 - models are ready only now
from workers import bell, observing, stopping  # noqa: E402 - models are ready only now

port.install(ring=bell.ring, announce=bell.announce, ring_orders=bell.ring_orders)
pages = serving.Pages()
gateway = Gateway(settings.REDIS_URL, at_the_end=pages.close)
application = ProtocolTypeRouter(
    {
        "http": pages,
        # Channels routes ASGI applications with Django's own paths, whose types know views only.
        "websocket": URLRouter([path("ws/v1", gateway.websocket), re_path("", refuse)]),  # type: ignore[arg-type]  # see above
        "lifespan": stopping.of_web(gateway.lifespan, observing.of_web),
    }
)
