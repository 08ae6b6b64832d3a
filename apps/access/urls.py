"""The addresses of one's own account: second factor, sessions, proof of who one is, single sign-on."""

from allauth.account import views as account
from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.urls import URLPattern, URLResolver, include, path
from django.views.generic import RedirectView

from apps.access import views

urlpatterns: list[URLPattern | URLResolver] = [
    path("", RedirectView.as_view(pattern_name="account-sessions"), name="account"),
    path("login/", views.sign_in, name="account_login"),
    path("logout/", account.logout, name="account_logout"),
    path("password/", login_required(views.change_password), name="account_change_password"),
    path("inactive/", account.account_inactive, name="account_inactive"),
    path("reauthenticate/", account.reauthenticate, name="account_reauthenticate"),
    path("again/", views.sign_in_again, name="sign-in-again"),
    path("sessions/", login_required(views.show_sessions), name="account-sessions"),
    path("sessions/<int:pk>/end/", login_required(views.end_session), name="account-session-end"),
    path("sessions/end-others/", login_required(views.end_other_sessions), name="account-sessions-end"),
    path("2fa/", include("allauth.mfa.urls")),
]
if settings.OIDC_URL:
    urlpatterns += [
        path("", include("allauth.socialaccount.providers.openid_connect.urls")),
        path("single-sign-on/", include("allauth.socialaccount.urls")),
    ]
