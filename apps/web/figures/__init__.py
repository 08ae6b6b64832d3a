"""Figures of the site, read from the database and Redis: those of one instant, and those kept for years."""
