"""Every address of the site, and what is answered where something goes wrong."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

from apps.web import errors

admin.autodiscover()  # here and not at start-up, so that only the web process loads the admin

urlpatterns: list[URLPattern | URLResolver] = [
    path("admin/", admin.site.urls),
    path("", include("apps.web.urls")),
]

handler400 = errors.bad_request
handler403 = errors.permission_denied
handler404 = errors.not_found
handler500 = errors.server_error
