"""What goes wrong with servers is said in one sentence: what was wrong, what was expected, what to do."""


class ServersUnavailable(Exception):
    """A database or broker could not be found, started, reached or adopted."""
