# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The operator's settings, from environment variables."""

from __future__ import annotations

import pathlib
import re

import pytest
from ansible_collections.meshops.istio.extensions.operator.settings import read

CHART = pathlib.Path(__file__).parents[4] / "charts/operator"
NEEDED = {"POD_NAMESPACE": "op", "POD_NAME": "op-0", "CHARTS": "/charts"}


def test_watched_namespaces_are_managed_too():
    settings = read({**NEEDED, "WATCH_NAMESPACES": "a,b", "MANAGED_NAMESPACES": "b,c"})
    assert settings.watched == ("a", "b")
    assert settings.managed == ("a", "b", "c")


def test_defaults_are_those_of_the_chart():
    settings = read(NEEDED)
    values = (CHART / "values.yaml").read_text()
    for field, value in (("waitTimeoutSeconds", settings.wait_timeout), ("resyncSeconds", settings.resync)):
        assert float(re.search(rf"^{field}: (\d+)", values, re.MULTILINE)[1]) == value


def test_the_chart_sets_every_variable_that_is_read():
    template = (CHART / "templates/deployment.yaml").read_text()
    source = pathlib.Path(read.__code__.co_filename).read_text()
    names = set(re.findall(r'"([A-Z_]{4,})"', source))
    assert {name for name in names if f"name: {name}" not in template} <= {"PORT"}


@pytest.mark.parametrize("name", NEEDED)
def test_a_missing_variable_is_an_error(name):
    with pytest.raises(KeyError, match=name):
        read({key: value for key, value in NEEDED.items() if key != name})
