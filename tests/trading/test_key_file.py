"""The key file: its owner's alone, made once, changed at once or not at all."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from apps.trading import keyfile
from apps.trading.keyfile import KeyUnusable

MAKE = (
    "import sys; from pathlib import Path; from apps.trading import keyfile; print(keyfile.create(Path(sys.argv[1])))"
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "var" / "broker_keys"


def test_it_is_made_once_for_its_owner_alone(path: Path) -> None:
    assert keyfile.create(path)
    first = path.read_bytes()
    assert not keyfile.create(path)
    assert path.read_bytes() == first
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert os.listdir(path.parent) == [path.name], "no draft stays behind"
    assert len(keyfile.read(path)) == 1


def test_a_generous_umask_changes_nothing(path: Path) -> None:
    before = os.umask(0)
    try:
        keyfile.create(path)
        keyfile.replace(path, keyfile.read(path))
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o620, 0o777])
def test_a_file_that_others_can_open_is_refused(path: Path, mode: int) -> None:
    keyfile.create(path)
    path.chmod(mode)
    with pytest.raises(KeyUnusable, match=f"run 'chmod 600 {path}'"):
        keyfile.read(path)


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_file_of_ones_own_is_read(path: Path, mode: int) -> None:
    keyfile.create(path)
    path.chmod(mode)
    assert keyfile.read(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("", "holds no key", id="empty"),
        pytest.param("# only words\n", "holds no key", id="a comment"),
        pytest.param("# words\nnot a key\n", "Line 2 of the key file", id="no key"),
        pytest.param("A" * 43, "Line 1 of the key file", id="a cut key"),
        pytest.param("\x00\xff", "Line 1 of the key file", id="bytes"),
    ],
)
def test_a_damaged_file_is_refused_in_a_sentence(path: Path, text: str, said: str) -> None:
    path.parent.mkdir()
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(KeyUnusable, match=said) as error:
        keyfile.read(path)
    assert str(path) in str(error.value)
    assert "A" * 20 not in str(error.value)


def test_a_folder_in_its_place_is_refused_in_a_sentence(path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(KeyUnusable, match=r"cannot be read \(Is a directory\)"):
        keyfile.read(path)


def test_a_file_in_the_place_of_its_folder_is_said(path: Path) -> None:
    path.parent.write_text("")
    with pytest.raises(KeyUnusable, match="cannot be written"):
        keyfile.create(path)


def test_replacing_follows_a_link_and_leaves_the_link(path: Path, tmp_path: Path) -> None:
    keyfile.create(path)
    link = tmp_path / "link"
    link.symlink_to(path)
    (key,) = keyfile.read(link)
    keyfile.replace(link, [key, key])
    assert link.is_symlink()
    assert keyfile.read(path) == [key, key]


def test_a_draft_that_a_killed_process_left_is_in_nobodys_way(path: Path) -> None:
    keyfile.create(path)
    (key,) = keyfile.read(path)
    path.with_name(f".{path.name}.new").write_text("half a k")
    keyfile.replace(path, [key])
    assert keyfile.read(path) == [key]
    assert os.listdir(path.parent) == [path.name]


def test_a_draft_is_not_written_through_a_link(path: Path, tmp_path: Path) -> None:
    keyfile.create(path)
    target = tmp_path / "target"
    path.with_name(f".{path.name}.new").symlink_to(target)
    with pytest.raises(KeyUnusable, match="cannot be written"):
        keyfile.replace(path, keyfile.read(path))
    assert not target.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file away")
def test_root_leaves_the_file_to_whom_it_belonged(path: Path) -> None:
    keyfile.create(path)
    os.chown(path, 12345, 12346)
    keyfile.replace(path, keyfile.read(path))
    assert (path.stat().st_uid, path.stat().st_gid) == (12345, 12346)


def test_of_several_processes_one_makes_the_file(path: Path) -> None:
    command = [sys.executable, "-c", MAKE, str(path)]
    root = Path(__file__).parents[2]
    running = [subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    said = [process.communicate(timeout=60)[0].strip() for process in running]
    assert sorted(said) == ["False", "False", "False", "True"]
    assert len(keyfile.read(path)) == 1
    assert os.listdir(path.parent) == [path.name]
