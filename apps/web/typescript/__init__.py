"""The TypeScript client: one file, generated from the description of the API."""
