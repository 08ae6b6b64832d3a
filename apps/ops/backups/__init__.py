"""Backups that are proven: taken whole or not at all, described exactly, restored every week in a drill."""
