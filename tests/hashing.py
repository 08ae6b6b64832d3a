"""How are passwords of tests hashed? As everywhere, but once: a quarter of a second for each user of a test is a lot.

The hash says how often it was repeated, so every other process of the site reads it as any other.
"""

from django.contrib.auth.hashers import PBKDF2PasswordHasher


class OnceHasher(PBKDF2PasswordHasher):
    """The site's own hasher with a single round."""

    iterations = 1
