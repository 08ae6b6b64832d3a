"""How the sign-in library behaves here: nobody signs up, factors are sealed, single sign-on makes no users."""

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string

from apps.access import reauthentication, sealing
from apps.access.desk import pages
from apps.access.models import User


class Accounts(DefaultAccountAdapter):  # type: ignore[misc] # the library has no types
    """Users are made by administrators."""

    error_messages = {
        **DefaultAccountAdapter.error_messages,
        "username_password_mismatch": "The name or the password is wrong.",
        "too_many_login_attempts": "Too many failed attempts. Wait a quarter of an hour, then try again.",
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Say no."""
        return False

    def is_reauthentication_required(self, *, app: str, **kwargs: Any) -> bool:
        """Say whether the person has to prove anew who they are; having signed in just now is proof."""
        return not reauthentication.is_recent(self.request, now=pages.now())


class Factors(DefaultMFAAdapter):  # type: ignore[misc] # the library has no types
    """Second factors: sealed in the database, and the last one stays where one is required."""

    error_messages = {
        **DefaultMFAAdapter.error_messages,
        "cannot_delete_authenticator": "This site requires a second factor: add another one before you remove this.",
        "incorrect_code": "This code is not right. Codes change every 30 seconds; check the clock of your phone.",
    }

    def encrypt(self, text: str) -> str:
        """Seal a secret."""
        return sealing.seal(text)

    def decrypt(self, encrypted_text: str) -> str:
        """Open a secret."""
        return sealing.unseal(encrypted_text)

    def can_delete_authenticator(self, authenticator: Authenticator) -> bool:
        """Keep people from removing their last factor where one is required."""
        if settings.SECOND_FACTOR != "required":
            return True
        others = Authenticator.objects.filter(user_id=authenticator.user_id).exclude(pk=authenticator.pk)
        return bool(others.exclude(type=Authenticator.Type.RECOVERY_CODES).exists())


class SingleSignOn(DefaultSocialAccountAdapter):  # type: ignore[misc] # the library has no types
    """Lets in who the provider vouches for and this site has a user for, matched by a verified e-mail address."""

    def is_open_for_signup(self, request: HttpRequest, sociallogin: Any) -> bool:
        """Say no: a user is made here first."""
        return False

    def pre_social_login(self, request: HttpRequest, sociallogin: Any) -> None:
        """Find the user a person at the provider is; refuse in words when there is none."""
        if sociallogin.is_existing:
            return
        verified = [address.email for address in sociallogin.email_addresses if address.verified is True]
        users = list(User.objects.filter(email__iexact=verified[0])[:2]) if verified else []
        if len(users) != 1:
            context = {"address": verified[0] if verified else "", "several": len(users) > 1}
            page = render_to_string("errors/single_sign_on.html", context)
            raise ImmediateHttpResponse(HttpResponse(page, status=403))
        sociallogin.connect(request, users[0])
