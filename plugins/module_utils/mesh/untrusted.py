# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Makes text from the cluster safe to show: whoever wrote it may want it to be read as something else."""

from __future__ import annotations

import re

_TEMPLATE = re.compile(r"\{(?=[{%#])")


def printable(text: object, longest: int = 1000) -> str:
    """The text on one line, without control characters, terminal escapes or anything that Jinja would expand.

    What is written to HTML or YAML is escaped there as well; this keeps a comment a comment and a log line one line.
    """
    line = "".join(character if character.isprintable() else "?" for character in str(text))
    line = _TEMPLATE.sub("{ ", line)
    return line if len(line) <= longest else line[: longest - 3] + "..."
