"""Which market calendars are known, the time zone each keeps, and which have hours before and after the session.

The names are those of exchange_calendars, mostly ISO 10383 market codes; a test holds the two lists equal.
"""

from dataclasses import dataclass
from datetime import time, timedelta
from difflib import get_close_matches
from typing import Final

ALWAYS: Final = "24/7"

ZONES: Final = {
    "24/5": "UTC",
    "24/7": "UTC",
    "AIXK": "Asia/Almaty",
    "ASEX": "Europe/Athens",
    "BVMF": "America/Sao_Paulo",
    "CMES": "America/Chicago",
    "IEPA": "America/New_York",
    "XAMS": "Europe/Amsterdam",
    "XASX": "Australia/Sydney",
    "XBDA": "Atlantic/Bermuda",
    "XBEL": "Europe/Belgrade",
    "XBKK": "Asia/Bangkok",
    "XBOG": "America/New_York",
    "XBOM": "Asia/Kolkata",
    "XBRA": "Europe/Bratislava",
    "XBRU": "Europe/Brussels",
    "XBSE": "Europe/Bucharest",
    "XBUD": "Europe/Budapest",
    "XBUE": "America/Argentina/Buenos_Aires",
    "XCBF": "America/Chicago",
    "XCSE": "Europe/Copenhagen",
    "XCYS": "Asia/Nicosia",
    "XDUB": "Europe/Dublin",
    "XDUS": "Europe/Brussels",
    "XEEE": "Europe/Berlin",
    "XETR": "Europe/Berlin",
    "XEUR": "Europe/Berlin",
    "XFRA": "Europe/Berlin",
    "XHAM": "Europe/Brussels",
    "XHEL": "Europe/Helsinki",
    "XHKG": "Asia/Hong_Kong",
    "XICE": "Atlantic/Reykjavik",
    "XIDX": "Asia/Jakarta",
    "XIST": "Europe/Istanbul",
    "XJSE": "Africa/Johannesburg",
    "XKAR": "Asia/Karachi",
    "XKLS": "Asia/Kuala_Lumpur",
    "XKRX": "Asia/Seoul",
    "XLIM": "America/Lima",
    "XLIS": "Europe/Lisbon",
    "XLIT": "Europe/Vilnius",
    "XLJU": "Europe/Ljubljana",
    "XLON": "Europe/London",
    "XLUX": "Europe/Luxembourg",
    "XMAD": "Europe/Madrid",
    "XMEX": "America/Mexico_City",
    "XMIL": "Europe/Rome",
    "XMOS": "Europe/Moscow",
    "XNYS": "America/New_York",
    "XNZE": "Pacific/Auckland",
    "XOSL": "Europe/Oslo",
    "XPAR": "Europe/Paris",
    "XPHS": "Asia/Manila",
    "XPRA": "Europe/Prague",
    "XRIS": "Europe/Riga",
    "XSAU": "Asia/Riyadh",
    "XSES": "Asia/Singapore",
    "XSGO": "America/Santiago",
    "XSHG": "Asia/Shanghai",
    "XSTO": "Europe/Stockholm",
    "XSTU": "Europe/Berlin",
    "XSWX": "Europe/Zurich",
    "XTAE": "Asia/Tel_Aviv",
    "XTAI": "Asia/Taipei",
    "XTAL": "Europe/Tallinn",
    "XTKS": "Asia/Tokyo",
    "XTSE": "America/Toronto",
    "XWAR": "Europe/Warsaw",
    "XWBO": "Europe/Vienna",
    "XZAG": "Europe/Zagreb",
    "us_futures": "America/New_York",
}

# What people call them. One venue may stand for several: the exchanges of the United States keep the same hours.
ALIASES: Final = {
    "ARCX": "XNYS",
    "ASX": "XASX",
    "BATS": "XNYS",
    "BMF": "BVMF",
    "BSE": "XBOM",
    "BVB": "XBSE",
    "CBOT": "CMES",
    "CFE": "XCBF",
    "CME": "CMES",
    "COMEX": "CMES",
    "FWB": "XFRA",
    "HKEX": "XHKG",
    "ICE": "IEPA",
    "ICEUS": "IEPA",
    "JKT": "XIDX",
    "JPX": "XTKS",
    "LSE": "XLON",
    "LUXSE": "XLUX",
    "NASDAQ": "XNYS",
    "NYFE": "IEPA",
    "NYMEX": "CMES",
    "NYSE": "XNYS",
    "OOTC": "XNYS",
    "OSE": "XOSL",
    "SIX": "XSWX",
    "SSE": "XSHG",
    "TASE": "XTAE",
    "TSX": "XTSE",
    "XASE": "XNYS",
    "XNAS": "XNYS",
    "XTSX": "XTSE",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtendedHours:
    """Trading outside the session: from a wall time of the exchange, and for so long after the close."""

    pre_opens: time
    post_lasts: timedelta


# After an early close the after-market is as long as ever: 13:00 to 17:00 in New York.
EXTENDED: Final = {"XNYS": ExtendedHours(pre_opens=time(4), post_lasts=timedelta(hours=4))}


class UnknownCalendar(ValueError):
    """No calendar carries this name; the sentence offers the nearest that exist."""


def names() -> list[str]:
    """Return every name a calendar can be asked by, aliases included, sorted."""
    return sorted([*ZONES, *ALIASES])


def canonical(name: str) -> str:
    """Return the calendar's own name: XNYS for NASDAQ. Raises UnknownCalendar."""
    own = ALIASES.get(name, name)
    if own in ZONES:
        return own
    near = get_close_matches(name.upper(), names(), n=3, cutoff=0.4)
    offer = f"did you mean {' or '.join(near)}?" if near else "`manage.py calendars list` names them all"
    raise UnknownCalendar(f"no market calendar is called {name!r}; {offer}")
