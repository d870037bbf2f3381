# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The one place that runs the helm binary, Helm 3 and Helm 4.

Values, manifests and the way to the cluster are handed over in files of mode 0600 within a folder of mode
0700, which is gone when the work is done; nothing secret is ever on a command line.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import threading
import time
import typing as t
import urllib.parse

from ..errors import MeshopsError
from .chart_files import ASKS_CLUSTER, chart_files, is_stored, metadata
from .releases import Release
from .stored import Stored

try:
    import yaml
except ImportError:
    pass  # ansible-core itself needs it

#: A label on the records of the releases that this collection installs: a pending one is a killed run's.
RELEASE_LABEL = "meshops.istio"

#: Charts that have another folder in Istio's own tree (manifests/charts of a release archive).
_ISTIO_TREE = {"istiod": "istio-control/istio-discovery", "cni": "istio-cni"}

_PREFIX = f"meshops-helm-{os.getuid()}-"
#: Seconds after which a folder that is still there is that of a killed run.
_ABANDONED = 3600

#: What helm says where it expected TLS.
_SPEAKS_HTTP = "server gave HTTP response to HTTPS client"
#: What helm says of a chart that it has fetched from a registry.
_DIGEST = re.compile(r"^Digest: (sha256:[0-9a-f]{64})$", re.MULTILINE)

_POST_RENDERER = "meshops-manifest"
_PLUGIN = f"""\
apiVersion: v1
type: postrenderer/v1
name: {_POST_RENDERER}
version: 1.0.0
runtime: subprocess
runtimeConfig:
  platformCommand:
    - command: "${{HELM_PLUGIN_DIR}}/{_POST_RENDERER}"
"""
#: Takes what helm renders and gives back the manifest that was planned.
_SCRIPT = """\
#!/bin/sh
cat > /dev/null
exec cat "$MESHOPS_MANIFEST"
"""


class HelmError(MeshopsError):
    """helm could not do what it was asked to; the text says what and why."""


class Helm:
    """The helm binary, and the files it needs for one run of a module. Use it as a context manager.

    :param cluster: the cluster whose kubeconfig helm gets; None where only charts are rendered
    :param binary: path of helm; None looks on the PATH
    :raises HelmError: there is no helm
    """

    def __init__(self, cluster: t.Any = None, binary: str | None = None) -> None:
        self._cluster = cluster
        self._binary = shutil.which(binary or "helm")
        self._charts: dict[tuple, str] = {}
        self._files: dict[str, dict[str, bytes]] = {}
        self._manifests: dict[str, str] = {}  # of charts out of a registry: path -> digest of the manifest
        self._lock = threading.Lock()
        self._locks: dict[tuple, threading.Lock] = {}
        if self._binary is None:
            raise HelmError(
                f"there is no helm {'at ' + binary if binary else 'on the PATH'}: install Helm 3.14 or newer, or Helm 4"
                " (https://helm.sh/docs/intro/install/), or say where it is with the option binary_path"
            )
        _sweep()
        self._folder = pathlib.Path(tempfile.mkdtemp(prefix=_PREFIX))  # mode 0700

    def __enter__(self) -> Helm:
        return self

    def __exit__(self, *_exception: object) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    # -- the process ------------------------------------------------------

    def _run(self, args: t.Sequence[str], timeout: float = 600, **environment: str) -> str:
        """Runs helm and gives its standard output.

        :raises HelmError: it ended with another code than 0; the text is its own last words
        """
        return self._process(args, timeout, **environment).stdout

    def _process(
        self, args: t.Sequence[str], timeout: float = 600, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        env = {k: v for k, v in os.environ.items() if not k.startswith("HELM_KUBE")}
        env.pop("HELM_NAMESPACE", None)
        env["HELM_DRIVER"] = "secret"  # where stored.py reads
        env.update(environment)
        if self._cluster is not None:
            env["KUBECONFIG"] = self._kubeconfig()
        try:
            done = subprocess.run(
                [self._binary, *args],
                env=env,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise HelmError(f"helm {args[0]} took longer than {timeout:.0f} s") from error
        except OSError as error:
            raise HelmError(f"{self._binary} can't be run: {error.strerror}") from error
        if done.returncode:
            raise HelmError(_last_words(done.stderr) or f"helm {args[0]} ended with {done.returncode}")
        return done

    def _kubeconfig(self) -> str:
        return self._private("kubeconfig", json.dumps(self._cluster.kubeconfig()))

    def _private(self, name: str, text: str, mode: int = 0o600) -> str:
        """Writes a file that only this user can read; a file of that name is replaced in one step."""
        path = self._folder / name
        handle, temporary = tempfile.mkstemp(dir=self._folder)  # mode 0600
        with os.fdopen(handle, "w") as file:
            file.write(text)
        os.chmod(temporary, mode)
        os.replace(temporary, path)
        return str(path)

    @functools.cached_property
    def version(self) -> tuple[int, int]:
        """Major and minor version of the binary."""
        text = self._run(["version", "--template", "{{.Version}}"])
        try:
            major, minor = text.strip().removeprefix("v").split(".")[:2]
            return int(major), int(minor)
        except ValueError:
            raise HelmError(f"{self._binary} calls itself version {text.strip()!r}, which is none of Helm's") from None

    # -- charts -----------------------------------------------------------

    def chart(self, release: Release) -> str:
        """The path of a release's chart on this machine; one that lies elsewhere is fetched once.

        :raises HelmError: there is no such chart or version, or its digest is another one
        """
        wanted = (release.charts, release.chart, release.version)
        with self._lock:
            lock = self._locks.setdefault(wanted, threading.Lock())
        with lock:
            if wanted not in self._charts:
                self._charts[wanted] = self._find_chart(release)
        path = self._charts[wanted]
        if release.digest:
            _check_digest(release, path, self._manifests.get(path))
        return path

    def _find_chart(self, release: Release) -> str:
        source, name = release.charts or "", release.chart
        if name.startswith(("oci://", "https://", "http://")):
            return self._pull(release, [name])
        if os.path.exists(name) and (not source or os.sep in name):
            return name
        if source.startswith("oci://"):
            return self._pull(release, [f"{source.rstrip('/')}/{name}"])
        if source.startswith(("https://", "http://")):
            return self._pull(release, [name, "--repo", source])
        if not source:
            raise HelmError(f"chart {name} of release {release.name} not found: say with charts where it comes from")
        return str(local_chart(pathlib.Path(os.path.expanduser(source)), name, release.version))

    def _pull(self, release: Release, args: list[str]) -> str:
        folder = pathlib.Path(tempfile.mkdtemp(dir=self._folder))
        words = ["pull", *args, *(["--version", release.version] if release.version else [])]
        words += ["--destination", str(folder)]
        try:
            try:
                done = self._process(words, timeout=120)
            except HelmError as error:
                if not (_SPEAKS_HTTP in str(error) and _is_local(args[0])):
                    raise
                done = self._process([*words, "--plain-http"], timeout=120)
        except HelmError as error:
            what = f"chart {release.chart}{' ' + release.version if release.version else ''} of release {release.name}"
            remedy = "Check the address and the version"
            if _SPEAKS_HTTP in str(error):
                remedy = (
                    "Only a registry on this machine (127.0.0.1, localhost) is used without TLS: give this one a"
                    " certificate, or fetch the charts with helm pull --plain-http and name their directory"
                )
            raise HelmError(
                f"{what} can't be fetched from {release.charts or release.chart}: {error}. {remedy}"
            ) from error
        path = str(next(folder.glob("*.tgz")))
        said = _DIGEST.search(done.stdout + done.stderr)  # Helm 3 and Helm 4 say it in different places
        if said:
            self._manifests[path] = said[1]
        return path

    def app_version(self, release: Release) -> str:
        """The version of what a release's chart installs, as the chart says it; else the chart's own version."""
        said = metadata(self._chart_files(release))
        return str(said.get("appVersion") or said.get("version"))

    def is_stored(self, release: Release, record: Stored) -> bool:
        """Whether rendering a release's chart with its values must give the manifest of a record, whatever the cluster.

        So it is for a manifest that C(upgrade) has installed unpatched, where chart and values are still the same.
        """
        if record.labels.get(RELEASE_LABEL) != fingerprint(record.manifest):
            return False
        given = json.dumps(release.values)
        if record.values != json.loads(given) or ASKS_CLUSTER.decode() in given:
            return False
        return is_stored(self._chart_files(release), record.package)

    def _chart_files(self, release: Release) -> dict[str, bytes]:
        path = self.chart(release)
        if path not in self._files:
            self._files[path] = chart_files(path)
        return self._files[path]

    # -- releases ---------------------------------------------------------

    def template(
        self,
        release: Release,
        kube_version: str | None = None,
        api_versions: t.Sequence[str] = (),
        is_upgrade: bool = False,
        include_crds: bool = False,
    ) -> str:
        """What a release's chart renders to, without hooks and before patches.

        :raises HelmError: the chart can't be found or refuses its values
        """
        chart = self.chart(release)
        args = ["template", release.name, chart, "--namespace", release.namespace, "--no-hooks"]
        args += ["--values", self._values(release)]
        if kube_version:
            args += ["--kube-version", kube_version]
        if api_versions:
            args += ["--api-versions", ",".join(api_versions)]
        if is_upgrade:
            args.append("--is-upgrade")
        if include_crds:
            args.append("--include-crds")
        try:
            return self._run(args, timeout=120)
        except HelmError as error:
            raise HelmError(f"chart {release.chart} of release {release.name} can't be rendered: {error}") from error

    def _values(self, release: Release) -> str:
        return self._private(f"values-{release.namespace}-{release.name}.json", json.dumps(release.values))

    def upgrade(
        self,
        release: Release,
        manifest: str | None = None,
        apply_method: str | None = None,
        timeout: float = 300,
        rendered: str = "",
    ) -> None:
        """Installs or upgrades a release, without waiting for its workloads.

        :param rendered: what the chart renders to, as C(template) gave it
        :param manifest: what is installed instead of what the chart renders (patches, chosen objects)
        :param apply_method: how the stored release was applied: C(ssa), C(csa), or None where there is none
        :raises HelmError: helm failed
        """
        args = ["upgrade", release.name, self.chart(release), "--install", "--reset-values", "--create-namespace"]
        args += ["--namespace", release.namespace, "--values", self._values(release)]
        args += ["--labels", f"{RELEASE_LABEL}={fingerprint(rendered)}", "--timeout", f"{timeout:.0f}s"]
        if self.version >= (4, 0) and apply_method != "csa":
            args.append("--force-conflicts")  # istiod writes into its webhooks: not a reason to fail
        environment = {}
        if manifest is not None:
            renderer, environment = self._post_renderer(release, manifest)
            args += ["--post-renderer", renderer]
        try:
            self._run(args, timeout=timeout + 30, **environment)
        except HelmError as error:
            raise HelmError(f"release {release.name} in namespace {release.namespace}: {error}") from error

    def _post_renderer(self, release: Release, manifest: str) -> tuple[str, dict[str, str]]:
        """What --post-renderer is given and the environment it needs: a program for Helm 3, a plugin for Helm 4."""
        environment = {"MESHOPS_MANIFEST": self._private(f"manifest-{release.namespace}-{release.name}.yaml", manifest)}
        folder = self._folder / "plugins" / _POST_RENDERER
        with self._lock:
            folder.mkdir(parents=True, exist_ok=True)
            self._private(f"plugins/{_POST_RENDERER}/plugin.yaml", _PLUGIN)
            self._private(f"plugins/{_POST_RENDERER}/{_POST_RENDERER}", _SCRIPT, 0o700)
        if self.version >= (4, 0):
            environment["HELM_PLUGINS"] = str(folder.parent)
            return _POST_RENDERER, environment
        return str(folder / _POST_RENDERER), environment

    def rollback(self, name: str, namespace: str, revision: int, apply_method: str | None = None) -> None:
        """Takes a release back to an earlier revision."""
        args = ["rollback", name, str(revision), "--namespace", namespace]
        if self.version >= (4, 0) and apply_method != "csa":
            args.append("--force-conflicts")
        self._run(args)

    def uninstall(self, name: str, namespace: str, timeout: float = 300) -> None:
        """Removes a release and its objects, but for those with the resource policy keep."""
        args = ["uninstall", name, "--namespace", namespace, "--wait", "--timeout", f"{timeout:.0f}s"]
        self._run([*args, "--ignore-not-found"], timeout=timeout + 30)


def fingerprint(manifest: str) -> str:
    """A manifest's fingerprint, as a label can hold it."""
    return hashlib.sha256(manifest.strip().encode()).hexdigest()[:40]


def local_chart(folder: pathlib.Path, name: str, version: str | None) -> pathlib.Path:
    """The path of a chart in a directory: a folder, or a package NAME-VERSION.tgz (the newest, without a version).

    Istio's own tree (manifests/charts of a release archive) is known, too.

    :raises HelmError: there is none; the text says what there is
    """
    for path in (folder / name, folder / _ISTIO_TREE.get(name, name)):
        if (path / "Chart.yaml").is_file() and version in (None, _chart_version(path)):
            return path
    packages = {p.stem.removeprefix(name + "-"): p for p in folder.glob(f"{name}-[0-9v]*.tgz")}
    if version in packages:
        return packages[version]
    if packages and version is None:
        return packages[max(packages, key=_semver)]
    if not folder.is_dir():
        raise HelmError(
            f"chart {name} not found: there is no directory {folder}. Set charts to the URL of a Helm repository"
            " (Istio's is https://istio-release.storage.googleapis.com/charts), an oci:// address, or a directory"
        )
    there = sorted(p.name for p in folder.iterdir() if p.suffix == ".tgz" or (p / "Chart.yaml").is_file())
    raise HelmError(
        f"chart {name}{' ' + version if version else ''} not found in {folder}: it has"
        f" {', '.join(there) or 'no charts'}. {_what_charts_are(name, version)}"
    )


def _what_charts_are(name: str, version: str | None) -> str:
    """What a directory of charts must hold, for one who has named another."""
    where = "charts (control_plane_charts, gateways_charts) must name the folder that holds it"
    if name in ("base", "istiod", "cni", "ztunnel", "gateway"):
        where += ", such as Istio's packaged charts, or manifests/charts of a release archive of Istio"
    return f"It is looked for as {name}-{version or 'VERSION'}.tgz or {name}/Chart.yaml: {where}"


def _chart_version(folder: pathlib.Path) -> str:
    return str(yaml.safe_load((folder / "Chart.yaml").read_text()).get("version"))


def _semver(version: str) -> tuple:
    """A key that sorts versions; a pre-release comes before its release."""
    core, _dash, pre = version.removeprefix("v").partition("-")
    return tuple(int(p) if p.isdigit() else 0 for p in core.split(".")), not pre, pre


def _check_digest(release: Release, path: str, manifest: str | None = None) -> None:
    """The digest that a chart is pinned to is its package's, or in a registry the one of its manifest."""
    if not os.path.isfile(path):
        raise HelmError(
            f"chart {release.chart} of release {release.name} is a folder, which has no digest:"
            " leave the digest out, or give a package (.tgz)"
        )
    with open(path, "rb") as file:
        found = "sha256:" + hashlib.sha256(file.read()).hexdigest()
    wanted = "sha256:" + release.digest.removeprefix("sha256:")
    if wanted not in (found, manifest):
        also = f" (its manifest {manifest})" if manifest else ""
        raise HelmError(
            f"chart {release.chart} of release {release.name} has the digest {found}{also}, not {release.digest}:"
            " it isn't the package that was pinned"
        )


def _is_local(reference: str) -> bool:
    """Whether an OCI reference leads to a registry on this machine."""
    host = urllib.parse.urlsplit(reference).hostname or ""
    return reference.startswith("oci://") and (host in ("localhost", "::1") or host.startswith("127."))


def _sweep() -> None:
    """Removes the folders of runs that were killed; they hold values, and a way into the cluster."""
    for folder in pathlib.Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            if time.time() - folder.stat().st_mtime > _ABANDONED:
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue  # another run was quicker


def _last_words(stderr: str) -> str:
    """helm's own error without its prefix; earlier lines are warnings."""
    text = stderr.strip()
    place = text.rfind("Error: ")
    if place >= 0:
        return text[place + len("Error: ") :].strip()
    return text.splitlines()[-1] if text else ""
