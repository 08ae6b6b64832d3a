"""The desk for a terminal: what the site's API and gateway tell, and the few things that must be done in a hurry."""
