"""Upgrading the site's tables to its code in one go: stop, back up, migrate, try, and back to the backup on failure."""
