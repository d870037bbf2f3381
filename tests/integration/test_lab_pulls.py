# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the lab does where a registry can be reached, with a real registry: it pulls images and charts.

That clusters of pulled parts carry a mesh is seen in tests/soak/test_lab_registry.py.
"""

from __future__ import annotations

import pathlib
import shutil
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "lab"))

VERSION = "1.31.0"


def docker(*words: str) -> str:
    return subprocess.run(["docker", *words], check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def mirror(lab):
    """A registry with Istio's charts and the image pilot, under their published names."""
    from source import Source

    lab("prepare")
    with lab.registry("mirror") as env:
        host = env["LAB_REGISTRY"]
        image = f"{host}/istio/pilot:{VERSION}"
        docker("tag", f"localhost/istio/pilot:{VERSION}", image)
        docker("push", image)
        docker("image", "rm", image)
        yield Source(host, env["LAB_REGISTRY_CHARTS"])
        subprocess.run(["docker", "image", "rm", image], check=False, capture_output=True)


def test_an_image_is_pulled_once(mirror, capfd):
    from progress import carry_out
    from published import istio

    pilot = istio(VERSION, mirror)[0]
    assert not pilot.result.exists()
    carry_out([pilot])
    assert docker("image", "inspect", "-f", "{{.Id}}", pilot.result.name) == docker(
        "image", "inspect", "-f", "{{.Id}}", f"localhost/istio/pilot:{VERSION}"
    )
    assert "all 1 steps done" in capfd.readouterr().err
    carry_out([pilot])
    assert capfd.readouterr().err == ""


def test_an_image_that_is_not_there_says_what_else_can_be_done(mirror):
    from home import LabError
    from progress import carry_out
    from published import istio

    missing = istio("1.2.3", mirror)[:1]
    with pytest.raises(LabError, match=r"(?s)istio/pilot:1\.2\.3.*MESHOPS_LAB_SOURCE=packages builds everything"):
        carry_out(missing)


@pytest.mark.parametrize("kind", ["registry", "repository"])
def test_the_charts_are_pulled(lab, mirror, kind):
    import dataclasses

    from progress import carry_out
    from published import packaged

    import charts

    built = charts.place(VERSION)
    with lab.helm_repository(str(built)) as url:
        of = mirror if kind == "registry" else dataclasses.replace(mirror, charts=url)
        try:
            carry_out([packaged(VERSION, of)])
            place = charts.place(VERSION, of)
            assert place != built
            assert (place / "index.yaml").exists()
            for package in built.glob("*.tgz"):
                assert (place / package.name).read_bytes() == package.read_bytes()
        finally:
            shutil.rmtree(charts.place(VERSION, of), ignore_errors=True)
