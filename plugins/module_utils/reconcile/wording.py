# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The few sentences that every message needs: lists that end in time, and suggestions for mistyped names."""

from __future__ import annotations

import difflib
import typing as t


def listed(items: t.Iterable[object], most: int = 10, separator: str = ", ") -> str:
    """The items as text, and how many more there are than are shown.

    >>> listed(["a", "b", "c"])
    'a, b, c'
    >>> listed("abcde", most=2)
    'a, b and 3 more'
    """
    texts = [str(item) for item in items]
    return separator.join(texts[:most]) + and_more(len(texts) - most)


def and_more(count: int) -> str:
    """The end of a list of which C(count) items are not shown; empty where there are none.

    >>> and_more(3)
    ' and 3 more'
    >>> and_more(0)
    ''
    """
    return f" and {count} more" if count > 0 else ""


def nearest(name: str, known: t.Iterable[str], cutoff: float = 0.6) -> str | None:
    """The known name that is most like a mistyped one, or None. Case, C(_) and C(-) do not count.

    >>> nearest("virtual_servce", ["VirtualService", "Gateway"])
    'VirtualService'
    >>> nearest("Deployment", ["VirtualService", "Gateway"]) is None
    True
    """
    by_plain_name = {_plain(candidate): candidate for candidate in known}
    plain = _plain(name)
    if plain in by_plain_name:
        return by_plain_name[plain]
    close = difflib.get_close_matches(plain, list(by_plain_name), n=1, cutoff=cutoff)
    return by_plain_name[close[0]] if close else None


def did_you_mean(name: str, known: t.Iterable[str], cutoff: float = 0.6) -> str:
    """A suggestion to put behind a mistyped name; empty where no known name is like it.

    >>> f"unknown profile 'ambien'{did_you_mean('ambien', ['default', 'ambient'])}"
    "unknown profile 'ambien' (did you mean ambient?)"
    """
    near = nearest(name, known, cutoff)
    return f" (did you mean {near}?)" if near else ""


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")
