"""The site over ASGI: pages and API by Django, the socket at /ws/v1 by the gateway."""

import os

from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application
from django.urls import path, re_path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tradingsite.settings")
pages = get_asgi_application()  # before anything that needs the models

from django.conf import settings  # noqa: E402 - models are ready only now

from apps.trading import bell  # noqa: E402
from apps.web.gateway.application import Gateway, refuse  # noqa: E402
from workers.bell import ring  # noqa: E402

bell.install(ring)
gateway = Gateway(settings.REDIS_URL)
application = ProtocolTypeRouter(
    {
        "http": pages,
        # Channels routes ASGI applications with Django's own paths, whose types know views only.
        "websocket": URLRouter([path("ws/v1", gateway.websocket), re_path("", refuse)]),  # type: ignore[arg-type]
        "lifespan": gateway.lifespan,
    }
)
