"""Prove the books and every invariant, and say so with the exit status."""

import json
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.journal import seals
from apps.ops import invariants
from apps.ops.invariant import Finding


class Command(BaseCommand):
    """`manage.py verify --json`; exit status 0 only when everything holds."""

    help = "Check that no stop was missed or doubled, that the books balance and that every invariant holds."
    requires_system_checks = ()  # they load every page of the site, which takes a second

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the machine-readable form."""
        parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
        parser.add_argument(
            "--seal",
            metavar="PLACE:DIGEST",
            help="a seal of the journal that was kept elsewhere, as in a backup's manifest",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Check everything and report."""
        findings = [*invariants.check(), *_kept_elsewhere(options["seal"])]
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


def _kept_elsewhere(seal: str | None) -> list[Finding]:
    if seal is None:
        return []
    place, _, digest = seal.partition(":")
    if not place.isdecimal() or not digest:
        raise CommandError(f"--seal: {seal!r} is not PLACE:DIGEST; copy it from `seal` in the manifest of a backup.")
    agrees = seals.agrees(seals.Anchor(int(place), digest))
    name = "The seal that was kept elsewhere is the one in the database"
    return [Finding(id="J2", name=name, violations=int(not agrees), examples=[] if agrees else [[seal]])]
