# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The page that shows a mesh's certificates."""

from __future__ import annotations

import datetime
import re
from xml.etree import ElementTree

import pytest
from ansible_collections.meshops.istio.plugins.module_utils.ca import report
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from fakes.ca_status import NOW, mesh


def test_the_report_is_one_well_formed_page_with_a_bar_for_each_span():
    page = report.page(mesh(), NOW + datetime.timedelta(days=30))
    picture = ElementTree.fromstring(re.search(r"<svg.*</svg>", page).group())
    bars = picture.findall("rect")
    assert len(bars) == 3
    root, intermediate, _leaves = (float(each.get("width")) for each in bars)
    assert root / intermediate == pytest.approx(3650 / 400, rel=0.01)
    for head in ("Issuer", "SHA-256", "From", "Days left"):
        assert page.count(f"<th>{head}</th>") == 3
    assert "&lt;refused&gt;" in page
    assert "http" not in page.replace("http-equiv", "")


def test_a_report_is_not_written_through_a_symbolic_link(tmp_path):
    target = tmp_path / "target"
    target.write_text("mine")
    (tmp_path / "ca.html").symlink_to(target)
    with pytest.raises(MeshopsError, match="symbolic link"):
        report.refuse_unwritable(str(tmp_path / "ca.html"))
    report.write_report(str(tmp_path / "ca.html"), mesh())  # put there after the check
    assert target.read_text() == "mine"
    assert (tmp_path / "ca.html").read_text().startswith("<!DOCTYPE html>")
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["ca.html", "target"]
