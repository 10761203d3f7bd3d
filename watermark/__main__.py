"""`python -m watermark`: find the star, take it off, show what was done, learn a new one. For files and folders.

Exit codes: 0 all went well (`detect`: a star was found); 1 nothing to do or not all of it done (`detect`: no star;
`remove`: a star was refused; `calibrate`: little confidence); 2 a file was broken or the command was wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from PIL import Image as Pillow

from watermark import calibrate, compare
from watermark.clean import MAX_PIXELS, Options, Reason, Result, clean
from watermark.detect import Mark

SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".webp")
_CONFIDENT: Final = 0.9
_BAR: Final = 30
_MOST_LESSONS: Final = 200
"""Pictures to learn from: they are all held in memory, and more would teach little."""
_FAILED: Final = (Reason.BROKEN, Reason.TOO_LARGE, Reason.UNSUPPORTED)


class Wrong(Exception):
    """The command cannot be carried out; the message says why."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. Returns the exit code."""
    chosen = _parser().parse_args(arguments)
    try:
        code: int = chosen.run(chosen)
    except (Wrong, calibrate.CannotLearn, OSError, ValueError) as exc:
        print(f"watermark: {exc}", file=sys.stderr)  # noqa: T201 - a command prints
        return 2
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="watermark",
        description="The visible star on your own pictures: find it, take it off. The invisible SynthID stays.",
        epilog="Exit codes: 0 done (detect: found), 1 nothing found or not all done, 2 an error.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    detect = _command(commands, "detect", _detect, "say which pictures carry a star")
    detect.add_argument("--json", action="store_true", help="one JSON object a picture")
    remove = _command(commands, "remove", _remove, "write the pictures without it")
    remove.add_argument("--json", action="store_true", help="one JSON object a picture")
    remove.add_argument("-o", "--output", type=Path, help="folder (or, for one picture, file) to write to")
    remove.add_argument("--in-place", action="store_true", help="replace the pictures themselves")
    remove.add_argument("--c2pa", choices=("keep", "drop"), default="keep", help="the C2PA manifest (default: keep)")
    side = _command(commands, "compare", _compare, "write before, after and difference as one PNG")
    side.add_argument("-o", "--output", type=Path, required=True, help="folder (or, for one picture, file) to write to")
    learn = _command(commands, "calibrate", _calibrate, "learn a new star from marked pictures", marks=False)
    learn.add_argument("-o", "--output", type=Path, default=Path("star.json"), help="file to write (star.json)")
    return parser


def _command(commands: Any, name: str, run: Any, text: str, *, marks: bool = True) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="pictures, or folders of them")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    if marks:
        parser.add_argument("--marks", nargs="*", type=Path, default=[], help="stars learned by `calibrate`")
    parser.set_defaults(run=run)
    return parser


# --- the commands -------------------------------------------------------------------------------------------------


def _detect(chosen: argparse.Namespace) -> int:
    results = [(file, result) for file, result in _cleaned(chosen)]
    for file, result in results:
        _say(file, result, chosen.json)
    if any(result.reason in _FAILED for _, result in results):
        return 2
    return 0 if any(_seen(result) for _, result in results) else 1


def _remove(chosen: argparse.Namespace) -> int:
    if chosen.in_place == (chosen.output is not None):
        raise Wrong("say where to write: --output PATH or --in-place")
    worst = 0
    targets = _Targets(chosen)
    for file, result in _cleaned(chosen):
        target = file if chosen.in_place else targets.of(file)
        if not chosen.in_place or result.outcome == "removed":
            _write(target, result.data)
        _say(file, result, chosen.json)
        worst = max(worst, 2 if result.reason in _FAILED else 1 if result.outcome == "kept" else 0)
    return worst


def _compare(chosen: argparse.Namespace) -> int:
    targets, shown = _Targets(chosen), 0
    failed = False
    for file, result in _cleaned(chosen):
        failed |= result.reason in _FAILED
        if not result.marks:
            _say(file, result, False)
            continue
        before, after = compare.opened(file.read_bytes()), compare.opened(result.data)
        sheets = [compare.panels(before, after, mark.box) for mark in result.marks]
        target = targets.of(file).with_suffix(".png")
        target.parent.mkdir(parents=True, exist_ok=True)
        Pillow.fromarray(compare.column(sheets)).save(target)
        shown += 1
    return 2 if failed else 0 if shown else 1


def _calibrate(chosen: argparse.Namespace) -> int:
    files = list(_files(chosen.paths))
    files = files[:: -(-len(files) // _MOST_LESSONS) or 1]
    pictures = [compare.opened(file.read_bytes()) for file in _with_progress(files, chosen.quiet)]
    lesson = calibrate.calibrate(pictures)
    calibrate.save(lesson, chosen.output)
    star = lesson.learned
    print(  # noqa: T201 - a command prints
        f"{chosen.output}: slot {star.slot}, opacity {star.opacity}/255, from {lesson.pictures} pictures; "
        f"removed from {lesson.removed:.0%} of them, halves agree {lesson.agreement:.2f}, "
        f"confidence {lesson.confidence:.2f}" + ("" if lesson.confidence >= _CONFIDENT else " (too little to be used)")
    )
    return 0 if lesson.confidence >= _CONFIDENT else 1


# --- files and words ----------------------------------------------------------------------------------------------


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
        elif path.exists():
            yield path
        else:
            raise Wrong(f"{path} does not exist")


def _cleaned(chosen: argparse.Namespace) -> Iterator[tuple[Path, Result]]:
    files = list(_files(chosen.paths))
    learned = tuple(calibrate.load(file) for file in chosen.marks)
    options = Options(getattr(chosen, "c2pa", "keep"), learned, MAX_PIXELS)
    for file in _with_progress(files, chosen.quiet):
        yield file, clean(file.read_bytes(), options)


class _Targets:
    """Where results go: one file may be named; several go into a folder, below it as they were below theirs."""

    def __init__(self, chosen: argparse.Namespace) -> None:
        self._output: Path = chosen.output
        self._folders = [path for path in chosen.paths if path.is_dir()]
        self._file = len(chosen.paths) == 1 and not self._folders and self._output is not None and (
            self._output.suffix.lower() in SUFFIXES
        )  # fmt: skip
        self._taken: set[Path] = set()

    def of(self, file: Path) -> Path:
        """The place of `file`'s result. Raises Wrong when another result went there already."""
        if self._file:
            return self._output
        below = next((file.relative_to(folder) for folder in self._folders if folder in file.parents), Path(file.name))
        target = self._output / below
        if target in self._taken:
            raise Wrong(f"two pictures would be written to {target}")
        self._taken.add(target)
        return target


def _write(target: Path, data: bytes) -> None:
    """Whole or not at all: a run that is interrupted leaves no half picture."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=".star-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        mode = target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~_umask()
        os.chmod(name, mode)
        os.replace(name, target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _seen(result: Result) -> bool:
    return bool(result.found)


def _say(file: Path, result: Result, as_json: bool) -> None:
    if as_json:
        marks = [_fields(mark) for mark in result.marks]
        value = {"file": str(file), "watermark": result.outcome, "reason": result.reason.value, "exact": result.exact}
        print(json.dumps({**value, "detail": result.detail, "marks": marks}))  # noqa: T201 - a command prints
        return
    found = "; ".join(
        f"{m.slot} opacity {m.opacity}/255 z {m.z:.1f} confidence {m.confidence:.2f} {m.kind}" for m in result.marks
    )
    words = found or result.reason.value
    print(f"{file}: {words}" + (f" ({result.detail})" if result.detail else ""))  # noqa: T201 - a command prints


def _fields(mark: Mark) -> dict[str, Any]:
    return {
        "slot": mark.slot,
        "kind": mark.kind,
        "box": list(mark.box),
        "opacity": mark.opacity,
        "z": round(float(mark.z), 2),
        "confidence": round(float(mark.confidence), 4),
    }


def _with_progress(files: Sequence[Path], quiet: bool) -> Iterator[Path]:
    """`files`, with a bar on a terminal's stderr."""
    shown = not quiet and len(files) > 1 and sys.stderr.isatty()
    for done, file in enumerate(files):
        if shown:
            filled = _BAR * done // len(files)
            bar = "#" * filled + "." * (_BAR - filled)
            print(f"\r[{bar}] {done}/{len(files)} ", end="", file=sys.stderr, flush=True)  # noqa: T201
        yield file
    if shown:
        print(f"\r{' ' * (_BAR + 20)}\r", end="", file=sys.stderr, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
