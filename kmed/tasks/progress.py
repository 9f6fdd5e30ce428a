"""Progress of long work, a line at a time."""

from __future__ import annotations

from collections.abc import Callable


def tenths(say: Callable[[str], None], what: str) -> Callable[[int, int], None]:
    """Make a progress function that says something at each tenth of the way.

    Args:
        say: told lines such as "prepared 40 of 400".
        what: the lines' first words.

    Returns:
        A function of the number done and the number of all.

    Example:
        >>> progress = tenths(print, "read")
        >>> for done in range(1, 26):
        ...     progress(done, 25) if done > 23 else None
        read 24 of 25
        read 25 of 25
    """

    def progress(done: int, count: int) -> None:
        if done == count or done % max(1, count // 10) == 0:
            say(f"{what} {done} of {count}")

    return progress
