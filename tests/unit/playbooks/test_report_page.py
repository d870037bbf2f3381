# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The page that the playbook report writes."""

from __future__ import annotations

import datetime
import pathlib

import jinja2
import pytest

TEMPLATES = pathlib.Path(__file__).parents[3] / "playbooks" / "templates"
ROOT = {"subject": "O=x", "fingerprint": "ab" * 32, "key_type": "EC", "not_before": "a", "not_after": "b"}


@pytest.fixture
def page():
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES))
    mesh = {
        "findings": [{"severity": "error", "about": "namespace <script>", "text": "{{ 1/0 }} <b>"}],
        "control_planes": [],
        "gateways": [],
        "namespaces": [],
        "ca": {"roots": [{**ROOT, "days_left": 3649.98}]},
        "proxy_versions": {"<i>": 1},
        "proxies": [
            {
                "namespace": "n", "pod": "<u>", "type": "sidecar", "revision": "r", "version": None, "ready": True,
                "outdated": False,
            }
        ],
    }  # fmt: skip
    return environment.get_template("report.html.j2").render(
        inventory_hostname="east<s>", report_mesh=mesh, now=lambda utc: datetime.datetime(2026, 1, 1)
    )


def test_report_page_escapes_everything_from_the_cluster(page):
    assert "{{ 1/0 }} &lt;b&gt;" in page
    assert not any(tag in page for tag in ("<script>", "<b>", "<i>", "<u>", "<s>"))


def test_report_page_fits_a_phone(page):
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in page
    assert '<td data-label="pod">' in page


def test_report_page_shows_values_as_people_read_them(page):
    assert '<td data-label="days left">3650</td>' in page
    assert '<td data-label="ready">yes</td><td data-label="outdated">no</td>' in page
    assert '<td data-label="version">unknown</td>' in page
