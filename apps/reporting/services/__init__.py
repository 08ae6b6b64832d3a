"""Following the journal, delivering what routes ask for, and keeping channels."""
