"""What the admin pages of every app share: cells, fields, rows nobody edits, pages that ask before they act."""
