# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lab's own promises: what is made stays made, two at once share the work, a refused capability isn't asked for."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import threading
import time

import pytest

LAB = pathlib.Path(__file__).parents[2] / "lab"
sys.path.insert(0, str(LAB))


@pytest.fixture
def lab_home(tmp_path, monkeypatch):
    import home

    monkeypatch.setattr(home, "HOME", tmp_path)
    return tmp_path


@pytest.fixture
def made(lab_home):
    return []


@pytest.fixture
def step(lab_home, made):
    """Steps that note their name when they are carried out; the one called broken fails."""
    from home import LabError
    from progress import Step

    def new(name: str, seconds: float = 0) -> Step:
        def make(log: pathlib.Path) -> None:
            made.append(name)
            time.sleep(seconds)
            if name == "broken" and made.count("broken") == 1:
                raise LabError("no such package")
            (lab_home / name).write_text("done")

        return Step(name, lab_home / name, make)

    return new


def test_after_a_failure_the_next_run_goes_on_from_there(step, made):
    from home import LabError
    from progress import carry_out

    steps = [step("first"), step("broken"), step("last")]
    with pytest.raises(LabError, match=r"(?s)broken: no such package.*broken\.log"):
        carry_out(steps)
    assert made == ["first", "broken"]
    carry_out(steps)
    assert made == ["first", "broken", "broken", "last"]
    carry_out(steps)
    assert len(made) == 4


def test_two_at_once_share_the_work(step, made):
    from progress import carry_out

    runs = [threading.Thread(target=carry_out, args=([step("slow", 0.3), step("quick")],)) for _run in range(2)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert sorted(made) == ["quick", "slow"]


def test_ports_are_free_and_different(lab_home):
    from home import free_ports

    ports = free_ports(20)
    assert len(set(ports)) == 20


@pytest.mark.parametrize(
    ("action", "option", "file"), [("create", "--bundle", "config.json"), ("exec", "--process", "")]
)
def test_the_runtime_asks_for_every_capability_but_the_one(tmp_path, lab_home, action, option, file):
    from dockerd import RUNTIME

    wrapper, runc = tmp_path / "wrapper", tmp_path / "runc"
    wrapper.write_text(RUNTIME)
    runc.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/called\n')
    runc.chmod(0o755)
    held = {"bounding": ["CAP_SYS_ADMIN", "CAP_SYS_RESOURCE"], "effective": ["CAP_SYS_RESOURCE", "CAP_NET_ADMIN"]}
    process = {"args": ["sh"], "capabilities": held}
    document = tmp_path / (file or "process.json")
    document.write_text(json.dumps({"process": process} if file else process))
    words = [action, option, str(tmp_path if file else document), "name"]
    subprocess.run(
        [sys.executable, wrapper, *words], check=True, env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    )
    left = json.loads(document.read_text())
    left = left["process"] if file else left
    assert left == {
        "args": ["sh"],
        "capabilities": {"bounding": ["CAP_SYS_ADMIN"], "effective": ["CAP_NET_ADMIN"]},
    }
    assert (tmp_path / "called").read_text().split() == words
