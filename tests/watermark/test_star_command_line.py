"""`python -m watermark` as a person and a script use it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Pixels, decoded, encoded

from benchmarks import pictures
from watermark import add, clean
from watermark.__main__ import main
from watermark.calibrate import CannotLearn, calibrate, load

Photo = Callable[..., Pixels]


@pytest.fixture
def folder(tmp_path: Path, photo: Photo) -> Path:
    """A folder with a marked and an unmarked picture, one a level down, and something else."""
    made = tmp_path / "in"
    (made / "more").mkdir(parents=True)
    (made / "marked.png").write_bytes(encoded(add(photo())))
    (made / "more" / "plain.jpg").write_bytes(encoded(photo(), "JPEG"))
    (made / "notes.txt").write_text("no picture")
    return made


def test_detect_tells_a_script_by_its_exit_code(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["detect", str(folder / "marked.png")]) == 0
    assert "48@96 opacity 77/255" in capsys.readouterr().out
    assert main(["detect", str(folder / "more")]) == 1
    assert "no star found" in capsys.readouterr().out
    assert main(["detect", "--json", str(folder)]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["watermark"], len(line["marks"])) for line in lines] == [("removed", 1), ("absent", 0)]


def test_remove_writes_a_folder_like_the_one_it_read(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(["remove", "-o", str(out), str(folder)]) == 0
    assert sorted(str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()) == ["marked.png", "more/plain.jpg"]
    assert clean((out / "marked.png").read_bytes()).outcome == "absent"
    assert (out / "more" / "plain.jpg").read_bytes() == (folder / "more" / "plain.jpg").read_bytes()


def test_remove_in_place_leaves_unmarked_files_alone(folder: Path) -> None:
    plain = folder / "more" / "plain.jpg"
    before = plain.stat().st_mtime_ns
    (folder / "marked.png").chmod(0o640)
    assert main(["remove", "--in-place", str(folder)]) == 0
    assert clean((folder / "marked.png").read_bytes()).outcome == "absent"
    assert (folder / "marked.png").stat().st_mode & 0o777 == 0o640
    assert plain.stat().st_mtime_ns == before
    assert not list(folder.rglob(".star-*"))


def test_a_broken_file_is_an_error_and_the_others_are_still_done(folder: Path, tmp_path: Path) -> None:
    (folder / "a.png").write_bytes((folder / "marked.png").read_bytes()[:5000])
    assert main(["remove", "-o", str(tmp_path / "out"), str(folder)]) == 2
    assert clean((tmp_path / "out" / "marked.png").read_bytes()).outcome == "absent"


def test_a_refused_star_is_exit_code_one(tmp_path: Path, photo: Photo) -> None:
    file = tmp_path / "odd.png"
    file.write_bytes(encoded(add(photo(), "48@96", 94)))
    assert main(["remove", "-o", str(tmp_path / "out.png"), str(file)]) == 1
    assert (tmp_path / "out.png").read_bytes() == file.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["remove", "x.png"], "say where"), (["detect", "missing.png"], "does not exist")],
)
def test_a_wrong_command_says_what_is_wrong(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert words in capsys.readouterr().err


def test_two_pictures_never_go_to_one_file(tmp_path: Path, photo: Photo, capsys: pytest.CaptureFixture[str]) -> None:
    files = [tmp_path / name / "a.png" for name in ("one", "two")]
    for file in files:
        file.parent.mkdir()
        file.write_bytes(encoded(photo(size=(256, 224))))
    assert main(["remove", "-o", str(tmp_path / "out"), *map(str, files)]) == 2
    assert "two pictures" in capsys.readouterr().err


def test_compare_shows_before_after_and_difference(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "sheet.png"
    assert main(["compare", "-o", str(target), str(folder / "marked.png")]) == 0
    sheet = decoded(target.read_bytes())
    width = (48 + 64) * 3
    assert sheet.shape[1] == 3 * width + 2 * 6
    difference = sheet[-width:, -width:].astype(int)
    assert (difference[:80] == 128).all()  # outside the box nothing changed
    assert (difference[width // 2, width // 2] < 128).all()  # the star's white went


# --- learning -----------------------------------------------------------------------------------------------------


def lessons(slot: str, opacity: int) -> list[Pixels]:
    """Marked pictures of different sizes."""
    known = [p for name, p in pictures.photographs("held out") if min(p.shape[:2]) >= 330 and "view 3" not in name]
    return [add(p, slot, opacity) for p in known][::2]


def test_a_new_star_is_learned_from_marked_pictures_and_then_removed(tmp_path: Path, photo: Photo) -> None:
    folder = tmp_path / "marked"
    folder.mkdir()
    for number, pixels in enumerate(lessons("48@64", 110)):
        (folder / f"{number}.png").write_bytes(encoded(pixels))
    star = tmp_path / "star.json"
    assert main(["calibrate", "-o", str(star), str(folder)]) == 0
    learned = load(star)
    assert str(learned.slot) == "48@64" and abs(learned.opacity - 110) <= 3
    unseen = pictures.enlarged(pictures.photograph("astronaut.png"), (640, 512))
    (tmp_path / "new.png").write_bytes(encoded(add(unseen, "48@64", 110)))
    assert main(["detect", str(tmp_path / "new.png")]) == 1
    assert main(["remove", "--marks", str(star), "-o", str(tmp_path / "out.png"), str(tmp_path / "new.png")]) == 0
    error = np.abs(decoded((tmp_path / "out.png").read_bytes()).astype(int) - unseen)[-112:-64, -112:-64]
    assert error.mean() < 2.5


def test_unmarked_or_few_pictures_teach_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drawn = [p for _, p in pictures.drawn("held out", 3)]
    with pytest.raises(CannotLearn):
        calibrate(drawn)
    with pytest.raises(CannotLearn, match="too few"):
        calibrate(drawn[:3])
    file = tmp_path / "a.png"
    file.write_bytes(encoded(drawn[0]))
    assert main(["calibrate", "-o", str(tmp_path / "star.json"), str(tmp_path)]) == 2
    assert "too few" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "star/2"}', '{"format": "star/1", "slot": "48"}'])
def test_a_file_that_is_no_learned_star_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "star.json").write_text(text)
    with pytest.raises(ValueError, match="no learned star"):
        load(tmp_path / "star.json")
