"""Tasks: thin doors that parse, call one service, and pass on what it answers."""
