"""The figures of `ops`: backups, drills, and jobs of the timetable."""
