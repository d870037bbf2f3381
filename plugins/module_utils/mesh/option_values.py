# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads the values of options that Ansible's argument spec can't check, such as what is given to a filter."""

from __future__ import annotations

import typing as t

from ansible.module_utils.parsing.convert_bool import boolean

from ..errors import MeshopsError


def require_mapping(value: t.Any, known: t.Iterable[str], option: str) -> t.Mapping[str, t.Any]:
    """The value, which must be a dictionary with no other than the known keys.

    :param option: its name, for the message
    :raises MeshopsError: it is something else, or has an unknown key
    """
    if not isinstance(value, t.Mapping):
        raise MeshopsError(f"{option}: must be a dictionary, got {value!r}")
    unknown = sorted(str(key) for key in set(value) - set(known))
    if unknown:
        raise MeshopsError(f"{option}: unknown {', '.join(unknown)}. Known keys: {', '.join(sorted(known))}")
    return value


def read_boolean(value: t.Any, option: str) -> bool:
    """A boolean, also from text such as C(yes), which is what C(-e) gives.

    :raises MeshopsError: it is neither true nor false
    """
    try:
        return bool(boolean(value))
    except TypeError:
        raise MeshopsError(f"{option}: must be true or false, got {value!r}") from None


def read_list(value: t.Any, option: str) -> list[t.Any]:
    """A list, also from text with commas, which is what C(-e) gives.

    :raises MeshopsError: it is neither
    """
    if isinstance(value, str):
        return [word.strip() for word in value.split(",") if word.strip()]
    if not isinstance(value, t.Sequence):
        raise MeshopsError(f"{option}: must be a list, got {value!r}")
    return list(value)


def read_number(value: t.Any) -> float | None:
    """A number, also from text; None where it is not one."""
    if isinstance(value, bool):
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def read_port(value: t.Any, option: str) -> int:
    """A port number, also from text.

    :raises MeshopsError: it is not an integer between 1 and 65535
    """
    number = read_number(value)
    if number is None or not number.is_integer() or not 1 <= number <= 65535:
        raise MeshopsError(f"{option}: must be a port number, got {value!r}")
    return int(number)
