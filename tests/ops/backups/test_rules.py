"""The plain parts: which backups are kept, and a sealed stream in which no damage goes unseen."""

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from apps.ops.backups import cipher, keyfile, servers
from apps.ops.backups.errors import BackupUnusable
from apps.ops.backups.retention import Keep, kept
from apps.ops.backups.servers import Target

KEY, OTHER = bytes(32), bytes([1] * 32)
START = datetime(2026, 1, 1, 2, tzinfo=UTC)
YEAR = {f"{day:03}": START + timedelta(days=day) for day in range(365)}


def test_a_year_of_nights_leaves_seven_days_five_weeks_and_twelve_months() -> None:
    found = kept(YEAR, Keep(days=7, weeks=5, months=12))
    days = sorted(int(name) for name in found)
    assert days[-7:] == list(range(358, 365))
    months = {(START + timedelta(days=day)).month for day in days}
    assert months == set(range(1, 13))
    assert len(found) == 7 + 11 + 3  # the newest week and month are among the days; one Sunday, too


@pytest.mark.parametrize(
    ("keep", "names"),
    [
        pytest.param(Keep(days=0, weeks=0, months=0), {"364"}, id="the newest always stays"),
        pytest.param(Keep(days=2, weeks=0, months=0), {"363", "364"}, id="days"),
        pytest.param(Keep(days=0, weeks=2, months=0), {"360", "364"}, id="the newest of each week, Monday to Sunday"),
        pytest.param(Keep(days=0, weeks=0, months=2), {"333", "364"}, id="the newest of each month"),
    ],
)
def test_each_period_keeps_its_newest(keep: Keep, names: set[str]) -> None:
    assert kept(YEAR, keep) == names


def test_a_gap_of_weeks_without_backups_costs_none_of_those_before_it() -> None:
    taken = {"old": START, "new": START + timedelta(days=90)}
    assert kept(taken, Keep(days=2, weeks=0, months=0)) == {"old", "new"}


def test_several_of_one_day_are_one_by_utc() -> None:
    taken = {"early": START, "late": START + timedelta(hours=3)}
    assert kept(taken, Keep(days=5, weeks=0, months=0)) == {"late"}


@pytest.mark.parametrize("size", [0, 1, cipher.PLAIN - 1, cipher.PLAIN, cipher.PLAIN + 1, 2 * cipher.PLAIN])
def test_what_is_sealed_opens_again(size: int) -> None:
    plain = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    pieces = [plain[at : at + 70_000] for at in range(0, size, 70_000)]
    sealed = b"".join(cipher.seal(pieces, KEY))
    assert b"".join(cipher.unseal(io.BytesIO(sealed), KEY, what="it")) == plain


def test_the_same_bytes_are_never_sealed_alike() -> None:
    assert b"".join(cipher.seal([b"same"], KEY)) != b"".join(cipher.seal([b"same"], KEY))


def damaged() -> list[tuple[str, bytes]]:
    sealed = b"".join(cipher.seal([bytes(2 * cipher.PLAIN + 10)], KEY))
    step = cipher.PLAIN + cipher.TAG
    head = len(sealed) - (2 * step + 10 + cipher.TAG)
    first, second = sealed[head : head + step], sealed[head + step : head + 2 * step]
    flipped = bytearray(sealed)
    flipped[head + step + 5] ^= 1
    salted = bytearray(sealed)
    salted[head - 1] ^= 1
    return [
        ("a flipped bit", bytes(flipped)),
        ("a flipped bit of the head", bytes(salted)),
        ("cut off between chunks", sealed[: head + 2 * step]),
        ("cut off in a chunk", sealed[:-3]),
        ("cut off in the head", sealed[: head - 3]),
        ("chunks exchanged", sealed[:head] + second + first + sealed[head + 2 * step :]),
        ("something added", sealed + b"x"),
        ("empty", b""),
    ]


@pytest.mark.parametrize("sealed", [pytest.param(text, id=name) for name, text in damaged()])
def test_damage_is_noticed(sealed: bytes) -> None:
    with pytest.raises(BackupUnusable, match=r"damaged|no sealed dump"):
        list(cipher.unseal(io.BytesIO(sealed), KEY, what="site.dump"))


def test_another_key_is_named() -> None:
    sealed = b"".join(cipher.seal([b"secret"], KEY))
    with pytest.raises(BackupUnusable, match=f"{keyfile.fingerprint(KEY)}.*{keyfile.fingerprint(OTHER)}"):
        list(cipher.unseal(io.BytesIO(sealed), OTHER, what="site.dump"))


def test_a_key_file_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "backup.key"
    keyfile.create(path)
    key = keyfile.read(path)
    assert len(key) == keyfile.BYTES
    with pytest.raises(BackupUnusable, match="there already"):
        keyfile.create(path)
    assert keyfile.read(path) == key
    path.chmod(0o640)
    with pytest.raises(BackupUnusable, match="chmod 600"):
        keyfile.read(path)


def test_a_missing_or_wrong_key_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(BackupUnusable, match="--new-key"):
        keyfile.read(tmp_path / "none")
    wrong = tmp_path / "wrong"
    wrong.write_text("not a key")
    wrong.chmod(0o600)
    with pytest.raises(BackupUnusable, match="does not hold a key"):
        keyfile.read(wrong)


def test_a_plain_name_is_a_database_beside_the_site() -> None:
    beside = "postgres://app:pass%40word@db.example:6000/site?sslmode=require"
    target = servers.named("restored", beside)
    assert target.shown == "db.example:6000/restored"
    assert target.environment == {"PGPASSWORD": "pass@word"}
    assert "sslmode=require" in target.argument
    assert "pass" not in target.argument
    assert "pass" not in repr(target)
    assert servers.named("postgres://a@b/c", beside) == Target(url="postgres://a@b/c")
    for wrong in ("", "a/b", "a b", "a%20b"):
        with pytest.raises(BackupUnusable, match="neither"):
            servers.named(wrong, beside)


def test_what_is_no_address_is_refused_without_showing_it() -> None:
    with pytest.raises(BackupUnusable, match="postgresql://USER") as caught:
        _ = Target(url="postgres://app:word@[broken/site").parts
    assert "word@" not in str(caught.value)
