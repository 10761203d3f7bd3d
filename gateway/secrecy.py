"""Secrets that come in while the process runs, for the log to hide: cookies that were pasted, rotated, or read from the
store. One list for the whole process, as the log is one."""

from __future__ import annotations

# The newest so many: more than a large pool's cookies, and little to look for in each line.
MOST = 1000
SHORTEST = 6  # a shorter one would hide half of every line

_words: tuple[str, ...] = ()
_longest_first: tuple[str, ...] = ()


def hide(*words: str) -> None:
    """Let no log line show `words` from now on. The oldest are forgotten where there are too many."""
    global _words, _longest_first
    fresh = tuple(word for word in dict.fromkeys(words) if len(word) >= SHORTEST)
    if _words[len(_words) - len(fresh) :] != fresh:
        # Another tuple, never a changed one: threads log too.
        _words = (*(word for word in _words if word not in fresh), *fresh)[-MOST:]
        _longest_first = tuple(sorted(_words, key=len, reverse=True))


def hidden() -> tuple[str, ...]:
    """The words; one that begins like another comes before that."""
    return _longest_first
