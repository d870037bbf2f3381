# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lab's command line, for every test that needs a cluster."""

from __future__ import annotations

import contextlib
import functools
import http.server
import os
import pathlib
import shlex
import subprocess
import threading
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

# A busy machine is no failure.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

ROOT = pathlib.Path(__file__).parents[1]


class Lab:
    """tests/lab/lab, called as a user does."""

    def __call__(self, *words: str) -> str:
        done = subprocess.run([ROOT / "tests/lab/lab", *words], stdout=subprocess.PIPE, text=True, check=False)
        assert done.returncode == 0, f"lab {' '.join(words)} failed; its message is on standard error"
        return done.stdout

    def env(self, *words: str) -> dict[str, str]:
        """What `lab env` exports, as a dict."""
        lines = self(*words).splitlines()
        return dict(word.split("=", 1) for line in lines for word in shlex.split(line)[1:])

    def exists(self, *words: str) -> bool:
        return not subprocess.run([ROOT / "tests/lab/lab", *words], capture_output=True, check=False).returncode

    @contextlib.contextmanager
    def cluster(self, name: str, *options: str) -> Iterator[dict[str, str]]:
        """A kind cluster's environment. One that was there before stays; one made for this goes at the end."""
        there = self.exists("env", "--name", name)
        self("up", "--name", name, *options)
        try:
            yield {**os.environ, **self.env("env", "--name", name)}
        finally:
            if not there:
                self("down", "--name", name)

    @contextlib.contextmanager
    def api_server(self, name: str) -> Iterator[dict[str, str]]:
        """A plain API server's environment; the same rule."""
        there = self.exists("apiserver", "env", "--name", name)
        self("apiserver", "up", "--name", name)
        try:
            yield {**os.environ, **self.env("apiserver", "env", "--name", name)}
        finally:
            if not there:
                self("apiserver", "down", "--name", name)

    @contextlib.contextmanager
    def registry(self, name: str, *options: str) -> Iterator[dict[str, str]]:
        """A container registry's environment; the same rule."""
        there = self.exists("registry", "env", "--name", name)
        self("registry", "up", "--name", name, *options)
        try:
            yield {**os.environ, **self.env("registry", "env", "--name", name)}
        finally:
            if not there:
                self("registry", "down", "--name", name)

    @contextlib.contextmanager
    def helm_repository(self, charts: str) -> Iterator[str]:
        """The URL of a Helm repository that holds the packages and the index of a folder."""
        handler = functools.partial(QuietHandler, directory=charts)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            server.server_close()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serves files and says nothing about it."""

    def log_message(self, *_args: object) -> None:
        pass


@pytest.fixture(scope="session")
def lab() -> Lab:
    return Lab()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where several processes share the work (`make test`), tests that share a cluster go to one of them, in order.

    Those on the mesh that most stories share come one after the other, so that it can go when they have run.
    """
    for item in items:
        if group := _group(item):
            item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=lambda item: _group(item) == "mesh")


def _group(item: pytest.Item) -> str | None:
    """The cluster that a test shares with others, or its file where that has one of its own; None for one without."""
    shared = {"integration": "api_server", "e2e": "mesh"}.get(item.path.relative_to(ROOT / "tests").parts[0])
    if not shared:
        return None
    together = "MESHOPS_CLUSTER" in os.environ or shared in getattr(item, "fixturenames", ())
    return shared if together else item.path.stem
