"""Back to a named instant: the server's log is archived, and played on a copy up to the moment asked."""
