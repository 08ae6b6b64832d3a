"""Writing: accounts and their books, positions, and the exits that leave them."""
