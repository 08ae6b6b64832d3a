"""Prove the books and every invariant, and say so with the exit status."""

import json
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from apps.ops import invariants


class Command(BaseCommand):
    """`manage.py verify --json`; exit status 0 only when everything holds."""

    help = "Check that no stop was missed or doubled, that the books balance and that every invariant holds."
    requires_system_checks = ()  # they load every page of the site, which takes a second

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the machine-readable form."""
        parser.add_argument("--json", action="store_true", help="one JSON object on standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        """Check everything and report."""
        findings = invariants.check()
        ok = not any(finding.violations for finding in findings)
        if options["json"]:
            self.stdout.write(json.dumps({"ok": ok, "invariants": [asdict(finding) for finding in findings]}))
        else:
            for finding in findings:
                mark = "ok  " if not finding.violations else f"{finding.violations:4d}"
                self.stdout.write(f"{mark}  {finding.id:4}  {finding.name}")
                for row in finding.examples:
                    self.stdout.write(f"            {' | '.join(row)}")
            self.stdout.write("Everything holds." if ok else "NOT everything holds: see the rows above.")
        if not ok:
            raise SystemExit(1)
