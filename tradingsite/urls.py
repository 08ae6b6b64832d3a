"""Every address of the site, and what is answered where something goes wrong."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path
from django.views import defaults

from apps.web import problems

admin.autodiscover()  # here and not at start-up, so that only the web process loads the admin

urlpatterns: list[URLPattern | URLResolver] = [
    path("admin/", admin.site.urls),
    path("", include("apps.web.urls")),
]

handler400 = problems.api_or(defaults.bad_request, "bad-request", 400, "The request cannot be read.")
handler403 = problems.api_or(defaults.permission_denied, "forbidden", 403, "You may not do that.")
handler404 = problems.api_or(defaults.page_not_found, "not-found", 404, "There is nothing at this address.")
handler500 = problems.api_or(
    defaults.server_error, "internal", 500, "Something went wrong on our side. It has been logged."
)
