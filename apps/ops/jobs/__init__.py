"""Jobs that follow a calendar: when each is due, each of its slots as a row that runs once, and what came of it."""
