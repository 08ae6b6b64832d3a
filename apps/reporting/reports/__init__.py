"""Reports of what trading did on an account: counted once, kept as figures, written as HTML, PDF and CSV.

`periods` says which time a report is about, `figures` counts it, `sections` put it into words, tables and charts,
`rendering` writes those, `making` does all of it for the rows that wait. What each figure is: docs/reports.md.
"""
