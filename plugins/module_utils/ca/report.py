# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The CA's status as one HTML page, with a picture of how long each certificate is valid."""

from __future__ import annotations

import datetime
import html
import os
import tempfile
import typing as t

from ..errors import MeshopsError
from ..mesh.certificates import short

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #1d2733; }
table { border-collapse: collapse; width: 100%; margin: 0 0 2rem; }
th, td { text-align: left; padding: .35rem .8rem .35rem 0; border-bottom: 1px solid #d9dfe6; vertical-align: top; }
code { font-size: .9em; }
.warning { background: #fff3d6; border-left: 4px solid #d99000; padding: .5rem .8rem; margin: .4rem 0; }
svg text { font: 12px system-ui, sans-serif; fill: #1d2733; }
@media (prefers-color-scheme: dark) {
  body, svg text { background: #14191f; color: #dfe6ee; fill: #dfe6ee; }
  .warning { background: #3a2f12; }
  th, td { border-color: #323c47; }
}
"""
_COLOURS = {"root": "#3566a8", "intermediate": "#3f9b72", "leaf": "#a3679b"}
_LEFT, _WIDTH, _ROW = 330, 640, 26


def refuse_unwritable(path: str) -> None:
    """Fails where C(write_report) would.

    :raises MeshopsError: the file can't be written
    """
    file = os.path.abspath(os.path.expanduser(path))
    folder = os.path.dirname(file)
    if not os.path.isdir(folder):
        raise MeshopsError(f"report: {folder} isn't a directory: make it, or name another file than {path}")
    if os.path.islink(file):
        raise MeshopsError(f"report: {path} is a symbolic link: name the file that it leads to, or remove it")
    if os.path.isdir(file) or not os.access(file if os.path.exists(file) else folder, os.W_OK):
        raise MeshopsError(f"report: {path} can't be written: name a file in a directory that you may write")


def write_report(path: str, found: t.Mapping[str, t.Any]) -> None:
    """Writes the page to a file.

    :param found: what C(status.summary) gives
    :raises MeshopsError: the file can't be written
    """
    file = os.path.abspath(os.path.expanduser(path))
    try:
        # a new file takes the name: a link that somebody puts there meanwhile is replaced, not followed
        descriptor, made = tempfile.mkstemp(prefix=".ca-report.", dir=os.path.dirname(file))
        try:
            with open(descriptor, "w", encoding="utf-8") as stream:
                stream.write(page(found, datetime.datetime.now(datetime.timezone.utc)))
            os.chmod(made, 0o644)  # it holds no key
            os.replace(made, file)
        except OSError:
            os.unlink(made)
            raise
    except OSError as error:
        raise MeshopsError(f"the report can't be written: {error}") from None


def page(found: t.Mapping[str, t.Any], now: datetime.datetime) -> str:
    """The page's HTML; it needs nothing from anywhere else."""
    warnings = "".join(f'<p class="warning">{_text(w)}</p>' for w in found["warnings"]) or "<p>Nothing to warn of.</p>"
    phase = found["rotation"].get("phase")
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>The mesh's CA</title><style>{_STYLE}</style></head><body>
<h1>The mesh's CA</h1>
<p>{now:%Y-%m-%d %H:%M} UTC. The CA is {_text(found["source"])}; {len(found["leaves"])} proxies hold a certificate.
{f"The last rotation is in phase {_text(phase)}." if phase else ""}</p>
<h2>Warnings</h2>{warnings}
<h2>Validity</h2>{picture(found, now)}
<h2>Roots</h2>{_table(found["roots"])}
<h2>Intermediates</h2>{_table(found["intermediates"])}
<h2>Leaves</h2>{_leaves(found["leaves"])}
</body></html>
"""


def picture(found: t.Mapping[str, t.Any], now: datetime.datetime) -> str:
    """Bars from start to end of validity: roots, intermediates, and all leaves in one."""
    bars = [("root", row["subject"], row) for row in found["roots"]]
    bars += [("intermediate", row["subject"], row) for row in found["intermediates"]]
    if found["leaves"]:
        span = {
            "not_before": min(leaf["not_before"] for leaf in found["leaves"]),
            "not_after": max(leaf["not_after"] for leaf in found["leaves"]),
        }
        bars.append(("leaf", f"{len(found['leaves'])} leaves", span))
    if not bars:
        return "<p>No certificate.</p>"
    times = [_time(row[end]) for _kind, _label, row in bars for end in ("not_before", "not_after")] + [now]
    first, last = min(times), max(times)
    scale = _WIDTH / max((last - first).total_seconds(), 1)

    def x(moment: datetime.datetime) -> float:
        return _LEFT + (moment - first).total_seconds() * scale

    height = _ROW * len(bars) + 40
    parts = [f'<svg viewBox="0 0 {_LEFT + _WIDTH + 20} {height}" role="img" aria-label="Validity spans" width="100%">']
    for number, (kind, label, row) in enumerate(bars):
        start, end, y = x(_time(row["not_before"])), x(_time(row["not_after"])), number * _ROW + 8
        about = f"{label}: {row['not_before']} to {row['not_after']}"
        parts.append(
            f'<text x="0" y="{y + 13}">{_text(label[:48])}</text><rect x="{start:.1f}" y="{y}"'
            f' width="{max(end - start, 2):.1f}" height="16" rx="3" fill="{_COLOURS[kind]}">'
            f"<title>{_text(about)}</title></rect>"
        )
    line, bottom = x(now), height - 26
    parts.append(f'<line x1="{line:.1f}" x2="{line:.1f}" y1="0" y2="{bottom}" stroke="#c23b22" stroke-width="2"/>')
    parts.append(f'<text x="{line:.1f}" y="{height - 8}" text-anchor="middle">today</text>')
    if line - _LEFT > 100:
        parts.append(f'<text x="{_LEFT}" y="{height - 8}">{first:%Y-%m-%d}</text>')
    if _LEFT + _WIDTH - line > 100:
        parts.append(f'<text x="{_LEFT + _WIDTH}" y="{height - 8}" text-anchor="end">{last:%Y-%m-%d}</text>')
    return "".join(parts) + "</svg>"


def _table(rows: t.Sequence[t.Mapping[str, t.Any]]) -> str:
    if not rows:
        return "<p>None.</p>"
    body = "".join(
        f"<tr><td>{_text(row['subject'])}{' <b>(signs)</b>' if row['signs'] else ''}</td>"
        f"<td>{_text(row['issuer'])}</td>"
        f"<td><code>{short(row['fingerprint'])}</code></td><td>{_text(row['key_type'])}</td>"
        f"<td>{row['not_before'][:10]}</td><td>{row['not_after'][:10]}</td><td>{row['days_left']:.0f}</td>"
        f'<td title="{_text(", ".join(row["proxies"]))}">{row["held_by"]}</td></tr>'
        for row in rows
    )
    heads = ("Subject", "Issuer", "SHA-256", "Key", "From", "Until", "Days left", "Proxies")
    return f"<table><tr>{''.join(f'<th>{head}</th>' for head in heads)}</tr>{body}</table>"


def _leaves(leaves: t.Sequence[t.Mapping[str, t.Any]]) -> str:
    if not leaves:
        return "<p>None.</p>"
    body = "".join(
        f"<tr><td>{_text(leaf['proxy'])}</td><td>{_text(leaf['identity'])}</td><td>{_text(leaf['issuer'])}</td>"
        f"<td><code>{short(leaf['fingerprint'])}</code></td><td>{leaf['not_before'].replace('T', ' ')}</td>"
        f"<td>{leaf['not_after'].replace('T', ' ')}</td><td>{leaf['days_left']:.2f}</td></tr>"
        for leaf in leaves
    )
    heads = ("Proxy", "Identity", "Issuer", "SHA-256", "From", "Until", "Days left")
    return f"<table><tr>{''.join(f'<th>{head}</th>' for head in heads)}</tr>{body}</table>"


def _time(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


def _text(value: t.Any) -> str:
    return html.escape(str(value), quote=True)
