"""Reports over the API: each person those of their accounts, with figures and files."""

import hashlib

from apps.reporting.models import ReportFile, ReportState
from tests.web import worlds
from tests.web.conftest import Caller

URL = "/api/v1/reports"


def test_a_report_is_listed_and_shown_with_its_figures_and_files(ada: Caller) -> None:
    row = worlds.report(ada, figures={"pnl": "12.5"})
    (listed,) = ada.get(f"{URL}?kind=daily&state=made").json()["results"]
    assert (listed["id"], listed["day"], listed["strategy"]) == (row.pk, "2026-01-01", None)
    assert "figures" not in listed
    shown = ada.get(f"{URL}/{row.pk}").json()
    assert shown["figures"] == {"pnl": "12.5"}
    assert shown["files"] == [
        {"format": "html", "size": 18, "sha256": hashlib.sha256(b"<p>A good day.</p>").hexdigest()}
    ]


def test_its_page_is_fetched_as_a_file_that_no_browser_shows_by_itself(ada: Caller) -> None:
    row = worlds.report(ada)
    answer = ada.get(f"{URL}/{row.pk}/files/html", accept="text/html")
    assert (answer.status_code, answer.content) == (200, b"<p>A good day.</p>")
    assert answer.headers["Content-Type"].startswith("text/html")
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="daily-account-')


def test_what_is_not_made_yet_is_not_found(ada: Caller) -> None:
    row = worlds.report(ada, state=ReportState.WANTED)
    ReportFile.objects.all().delete()
    for name in ("html", "pdf", "csv", "exe"):
        answer = ada.get(f"{URL}/{row.pk}/files/{name}")
        assert (answer.status_code, answer.headers["Content-Type"]) == (404, "application/problem+json"), name


def test_others_neither_see_nor_fetch_it(ada: Caller, bob: Caller) -> None:
    row = worlds.report(ada)
    assert bob.get(URL).json()["total"] == 0
    assert bob.get(f"{URL}/{row.pk}").status_code == 404
    assert bob.get(f"{URL}/{row.pk}/files/html").status_code == 404


def test_a_bad_filter_is_refused(ada: Caller) -> None:
    assert ada.get(f"{URL}?kind=yearly").json()["errors"][0]["field"] == "kind"
