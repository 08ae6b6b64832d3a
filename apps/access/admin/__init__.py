"""The admin's section Access, and the door of the whole admin, which leads to the page where everybody signs in."""

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialToken
from django.contrib import admin

from apps.access import views
from apps.access.admin import changes, sign_ins, tokens, users

__all__ = ["changes", "sign_ins", "tokens", "users"]

admin.site.login = views.admin_door  # type: ignore[method-assign]  # Django's own knows no second factor
# The library's own pages would let secrets be read and factors be taken away without a word in the journal.
for _model in (EmailAddress, Authenticator, SocialAccount, SocialApp, SocialToken):
    if admin.site.is_registered(_model):
        admin.site.unregister(_model)
