"""What may change while the site runs: declared options, versions in the database, and processes that follow them."""
