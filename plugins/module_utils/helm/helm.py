# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The one place that runs the helm binary, Helm 3 and Helm 4.

Values, manifests, logins and the way to the cluster are handed over in files of mode 0600 within a folder of mode
0700, which is removed when the work is done; nothing secret is ever on a command line or in an error.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import functools
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import typing as t

from ..errors import MeshopsError
from . import holder, post_renderer
from .chart_files import (
    ASKS_APIS,
    ASKS_CLUSTER,
    ASKS_VERSION,
    chart_files,
    is_stored,
    may_contain,
    may_have_crds,
    metadata,
)
from .chart_sources import Login, is_local, local_chart, registry_config, repositories, split_login
from .releases import Release
from .stored import Stored, record_name

if t.TYPE_CHECKING:
    from ..cluster.client import Cluster

#: A label on the records of the releases that this collection installs, with the fingerprint of what was rendered.
RELEASE_LABEL = "meshops.istio"

#: Seconds after which a folder without a lock belongs to a killed run.
_ABANDONED = 60
_REPOSITORY = "meshops"

#: What helm says of a chart that it has fetched from a registry.
_DIGEST = re.compile(r"^Digest: (sha256:[0-9a-f]{64})$", re.MULTILINE)
#: The drivers of Helm's storage that C(stored) reads.
_DRIVERS = ("", "secret", "secrets")
#: The oldest Helm that has all options used here.
_OLDEST = (3, 14)
#: API versions in one argument: the kernel limits its length.
_CHUNK = 200


class Failure(enum.Enum):
    """Why helm failed, as far as it matters to what is done next; the value is in helm's own output."""

    BUSY = ("is in progress", "release: already exists", "cannot re-use a name", "cannot reuse a name")
    NO_KIND = ("no matches for kind",)  # k8s.io/apimachinery: the cluster does not serve it yet
    PLAIN_HTTP = ("server gave HTTP response to HTTPS client",)  # Go's net/http

    @classmethod
    def of(cls, output: str) -> Failure | None:
        """The failure that helm's output shows; None for any other."""
        return next((failure for failure in cls if any(words in output for words in failure.value)), None)


class HelmError(MeshopsError):
    """helm failed; the text says what failed and why.

    :ivar failure: None for one that nothing depends on
    """

    def __init__(self, message: str, failure: Failure | None = None) -> None:
        super().__init__(message)
        self.failure = failure


class HelmBusy(HelmError):
    """Another Helm operation is in progress on the release."""


@dataclasses.dataclass(frozen=True)
class RenderOptions:
    """What a chart is rendered for.

    :ivar kube_version: version of Kubernetes; None takes the one that helm was built for
    :ivar api_versions: API versions and kinds that the cluster serves, beside those that helm knows
    :ivar is_upgrade: render as for an upgrade
    :ivar include_crds: with the CustomResourceDefinitions in the chart's folder C(crds)
    :ivar include_hooks: with the chart's hooks
    """

    kube_version: str | None = None
    api_versions: t.Sequence[str] = ()
    is_upgrade: bool = False
    include_crds: bool = False
    include_hooks: bool = False


@dataclasses.dataclass(frozen=True)
class UpgradeOptions:
    """How a release is installed or upgraded.

    :ivar rendered: what the chart renders to, as C(template) gave it
    :ivar manifest: what is installed instead of what the chart renders (patches, chosen objects)
    :ivar apply_method: how the stored release was applied: C(ssa), C(csa), or None where there is none
    :ivar timeout: seconds
    :ivar revision: the revision that helm will create
    :ivar create_namespace: whether the release's namespace is missing
    :ivar labels: further labels of the record
    """

    rendered: str = ""
    manifest: str | None = None
    apply_method: str | None = None
    timeout: float = 300
    revision: int = 1
    create_namespace: bool = True
    labels: t.Mapping[str, str] = dataclasses.field(default_factory=dict)


class Helm:
    """The helm binary, and the files it needs for one run of a module. Use it as a context manager.

    :param cluster: the cluster whose kubeconfig helm gets; None where only charts are rendered
    :param binary: path of helm; None searches the PATH
    :param login: of the repositories that charts come from
    :raises HelmError: helm is not installed, or Helm keeps its releases elsewhere than in Secrets
    """

    def __init__(self, cluster: Cluster | None = None, binary: str | None = None, login: Login | None = None) -> None:
        self._cluster = cluster
        self._login = login or Login()
        self._charts: dict[tuple[str | None, ...], str] = {}
        self._files: dict[str, dict[str, bytes]] = {}
        self._manifests: dict[str, str] = {}  # of charts from a registry: path -> digest of the manifest
        self._crds: dict[str, str] = {}
        self._lock = threading.Lock()
        self._locks: dict[tuple[str | None, ...], threading.Lock] = {}
        path = shutil.which(binary or "helm")
        if path is None:
            raise HelmError(
                f"helm not found {'at ' + binary if binary else 'on the PATH'} (NotFound): install Helm 3.14 or newer,"
                " or Helm 4 (https://helm.sh/docs/intro/install/), or set binary_path"
            )
        self._binary = path
        driver = os.environ.get("HELM_DRIVER", "")
        if cluster is not None and driver not in _DRIVERS:
            raise HelmError(
                f"HELM_DRIVER is {driver}, and this collection reads the releases that Helm keeps in Secrets: it would"
                " install them a second time. Move the releases to Secrets, and unset HELM_DRIVER"
            )
        _sweep()
        # mode 0700; a label of the record ends with its name, so that must not end with an underscore
        self._folder = pathlib.Path(tempfile.mkdtemp(prefix=holder.PREFIX, suffix="x"))
        self._run_lock = holder.lock(self._folder)

    def __enter__(self) -> Helm:
        return self

    def __exit__(self, *_exception: object) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            os.close(self._run_lock)

    # -- the process ------------------------------------------------------

    def _run(self, args: t.Sequence[str], timeout: float = 600, **environment: str) -> str:
        """Runs helm and gives its standard output.

        :raises HelmError: it ended with another code than 0; the text is its own error
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
                pass_fds=(self._run_lock,),
            )
        except subprocess.TimeoutExpired as error:
            raise HelmError(f"helm {args[0]} timed out after {timeout:.0f} s") from error
        except OSError as error:
            raise HelmError(f"{self._binary} cannot be run: {error.strerror}") from error
        if done.returncode:
            reason = _last_words(done.stderr) or f"helm {args[0]} ended with {done.returncode}"
            raise HelmError(self._login.hidden(reason), Failure.of(reason))
        return done

    def _kubeconfig(self) -> str:
        if self._cluster is None:
            raise HelmError("no cluster was given to this Helm, so it can only render")
        return self._private("kubeconfig", json.dumps(self._cluster.kubeconfig()))

    def _private(self, name: str, text: str) -> str:
        """Writes a file that only this user can read; a file of that name is replaced in one step."""
        path = self._folder / name
        handle, temporary = tempfile.mkstemp(dir=self._folder)  # mode 0600
        with os.fdopen(handle, "w") as file:
            file.write(text)
        os.replace(temporary, path)
        return str(path)

    @functools.cached_property
    def version(self) -> tuple[int, int]:
        """Major and minor version of the binary.

        :raises HelmError: it is too old
        """
        text = self._run(["version", "--template", "{{.Version}}"])
        try:
            major, minor = text.strip().removeprefix("v").split(".")[:2]
            version = int(major), int(minor)
        except ValueError:
            raise HelmError(f"Unexpected output from `{self._binary} version`: {text.strip()!r}") from None
        if version < _OLDEST:
            raise HelmError(
                f"{self._binary} is Helm {text.strip()}, which is too old (Invalid): install Helm 3.14 or newer, or"
                " Helm 4, or set binary_path"
            )
        return version

    # -- charts -----------------------------------------------------------

    def chart(self, release: Release) -> str:
        """The path of a release's chart on this machine; one from elsewhere is fetched once.

        :raises MeshopsError: the chart or version does not exist, or its digest differs
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
            return self._pull(release, name, "")
        if os.path.exists(name) and (not source or os.sep in name):
            return name
        if source.startswith("oci://"):
            return self._pull(release, f"{source.rstrip('/')}/{name}", "")
        if source.startswith(("https://", "http://")):
            return self._pull(release, name, source)
        if not source:
            raise HelmError(f"chart {name} of release {release.name} not found (NotFound): set charts to its source")
        folder = pathlib.Path(os.path.expanduser(source))
        if not folder.exists() and os.sep not in source and source in self._aliases():
            self._run(["repo", "update", source], timeout=120)
            return self._fetch(release, [f"{source}/{name}"], {})
        return str(local_chart(folder, name, release.version))

    def _aliases(self) -> list[str]:
        """The names of the repositories that C(helm repo add) has added."""
        try:
            return [entry["name"] for entry in json.loads(self._run(["repo", "list", "--output", "json"]))]
        except (HelmError, ValueError, TypeError, KeyError):
            return []  # helm fails where there is none

    def _pull(self, release: Release, reference: str, repository: str) -> str:
        """Fetches a chart by its reference, or by its name in a repository."""
        address, login = split_login(repository or reference, self._login)
        words, environment = [reference, "--repo", address] if repository else [address], {}
        if login.ca_file:
            words += ["--ca-file", os.path.expanduser(login.ca_file)]
        if login.username and address.startswith("oci://"):
            environment["HELM_REGISTRY_CONFIG"] = self._private("registry.json", registry_config(address, login))
        elif login.username and not repository:
            raise HelmError(
                f"chart {release.chart.rpartition('/')[2]} of release {release.name}: a login is not used for the"
                " address of a single chart. Set charts to the URL of its repository, and chart to its name"
            )
        elif login.username:
            words, environment = self._log_in(reference, address, login)
        return self._fetch(release, words, environment)

    def _log_in(self, name: str, url: str, login: Login) -> tuple[list[str], dict[str, str]]:
        """Makes a private repository known to helm; gives what C(helm pull) needs to use it."""
        folder = pathlib.Path(tempfile.mkdtemp(dir=self._folder))
        config = self._private(f"{folder.name}/repositories.yaml", repositories(_REPOSITORY, url, login))
        environment = {"HELM_REPOSITORY_CONFIG": config, "HELM_REPOSITORY_CACHE": str(folder / "cache")}
        strict = [] if self.version >= (4, 0) else ["--fail-on-repo-update-fail"]
        try:
            self._process(["repo", "update", _REPOSITORY, *strict], timeout=120, **environment)
        except HelmError as error:
            raise HelmError(
                f"repository {url} cannot be read: {login.hidden(str(error))}. Check the address, charts_username,"
                " charts_password and charts_ca_file"
            ) from None
        return [f"{_REPOSITORY}/{name}"], environment

    def _fetch(self, release: Release, words: list[str], environment: dict[str, str]) -> str:
        folder = pathlib.Path(tempfile.mkdtemp(dir=self._folder))
        words = ["pull", *words, *(["--version", release.version] if release.version else [])]
        words += ["--destination", str(folder)]
        try:
            try:
                done = self._process(words, timeout=120, **environment)
            except HelmError as error:
                if not (error.failure is Failure.PLAIN_HTTP and is_local(words[1])):
                    raise
                done = self._process([*words, "--plain-http"], timeout=120, **environment)
        except HelmError as error:
            name = split_login(release.chart, self._login)[0]
            origin = split_login(release.charts or release.chart, self._login)[0]
            chart = f"chart {name}{' ' + release.version if release.version else ''} of release {release.name}"
            remedy = "Check the address, the version and the login (charts_username, charts_password)"
            if error.failure is Failure.PLAIN_HTTP:
                remedy = (
                    "Only a registry on this machine (127.0.0.1, localhost) is used without TLS: configure a"
                    " certificate for this one, or fetch the charts with helm pull --plain-http and set charts to"
                    " their directory"
                )
            raise HelmError(f"{chart} cannot be fetched from {origin}: {error}. {remedy}") from error
        path = str(next(folder.glob("*.tgz")))
        digest = _DIGEST.search(done.stdout + done.stderr)  # Helm 3 and Helm 4 print it in different places
        if digest:
            self._manifests[path] = digest[1]
        return path

    def app_version(self, release: Release) -> str:
        """The version of what a release's chart installs, by the chart's metadata; else the chart's own version."""
        chart = metadata(self._chart_files(release))
        return str(chart.get("appVersion") or chart.get("version"))

    def chart_version(self, release: Release) -> str:
        """The version of the chart that was found for a release."""
        return str(metadata(self._chart_files(release)).get("version") or "")

    def asks_apis(self, release: Release) -> bool:
        """Whether a release's chart may ask which APIs the cluster serves."""
        return may_contain(self._chart_files(release), ASKS_APIS) or ASKS_APIS.decode() in json.dumps(release.values)

    def crds(self, release: Release) -> str:
        """The CustomResourceDefinitions in the folder C(crds) of a release's chart and its dependencies."""
        chart = self.chart(release)
        if chart not in self._crds:
            has_some = may_have_crds(self._chart_files(release))
            self._crds[chart] = self._run(["show", "crds", chart], timeout=120) if has_some else ""
        return self._crds[chart]

    def renders_stored_manifest(self, release: Release, record: Stored) -> bool:
        """Whether rendering a release's chart with its values must give a record's manifest, whatever the cluster.

        So it is for a manifest that C(upgrade) has installed unpatched, where chart and values are still the same.
        """
        if record.labels.get(RELEASE_LABEL) != fingerprint(record.manifest):
            return False
        values = json.dumps(release.values)
        if record.values != json.loads(values) or ASKS_CLUSTER.decode() in values:
            return False
        return is_stored(self._chart_files(release), record.package)

    def _chart_files(self, release: Release) -> dict[str, bytes]:
        path = self.chart(release)
        if path not in self._files:
            self._files[path] = chart_files(path)
        return self._files[path]

    # -- releases ---------------------------------------------------------

    def template(self, release: Release, options: RenderOptions | None = None) -> str:
        """What a release's chart renders to, before patches.

        :raises MeshopsError: the chart cannot be found or refuses its values
        """
        options = options or RenderOptions()
        args = ["template", release.name, self.chart(release), "--namespace", release.namespace]
        args += ["--values", self._values(release), *_flags(options)]
        try:
            if self._loses_suffix(release, options.kube_version):
                try:
                    real = ["--validate", "--disable-openapi-validation", "--take-ownership"]
                    return self._run([*args, *real], timeout=120)
                except HelmError as error:
                    if error.failure is not Failure.NO_KIND:
                        raise
            return self._run(args, timeout=120)
        except HelmError as error:
            raise HelmError(f"chart {release.chart} of release {release.name} cannot be rendered: {error}") from error

    def _loses_suffix(self, release: Release, kube_version: str | None) -> bool:
        """Whether helm renders for another version of Kubernetes than it installs on, and the chart may ask for it.

        Helm 3.18 and newer drops what follows the three numbers in C(--kube-version), such as -gke.1080000. Asked to
        validate, it takes the version from the cluster.
        """
        if self._cluster is None or kube_version is None or re.fullmatch(r"v?[\d.]+", kube_version):
            return False
        return (3, 18) <= self.version < (4, 0) and may_contain(self._chart_files(release), ASKS_VERSION)

    def _values(self, release: Release) -> str:
        return self._private(f"values-{release.namespace}-{release.name}.json", json.dumps(release.values))

    def upgrade(self, release: Release, options: UpgradeOptions) -> None:
        """Installs or upgrades a release, without waiting for its workloads.

        :raises HelmError: helm failed
        """
        own = holder.Holder(options.revision, holder.machine(), self._folder.name.removeprefix(holder.PREFIX))
        labels = {**options.labels, RELEASE_LABEL: fingerprint(options.rendered), holder.HOLDER_LABEL: own.label}
        args = ["upgrade", release.name, self.chart(release), "--install", "--reset-values", "--skip-crds"]
        args += ["--create-namespace"] if options.create_namespace else []
        args += ["--namespace", release.namespace, "--values", self._values(release)]
        args += ["--labels", ",".join(f"{name}={value}" for name, value in labels.items())]
        args += ["--timeout", f"{options.timeout:.0f}s"]
        if self.version >= (4, 0) and options.apply_method != "csa":
            args.append("--force-conflicts")  # istiod writes into its webhooks: not a reason to fail
        environment: dict[str, str] = {}
        if options.manifest is not None:
            words, environment = self._post_renderer(release, options.manifest)
            args += words
        try:
            with self._beating(release, options.revision):
                self._run(args, timeout=options.timeout + 30, **environment)
        except HelmError as error:
            kind = HelmBusy if error.failure is Failure.BUSY else HelmError
            raise kind(f"release {release.name} in namespace {release.namespace}: {error}") from error

    @contextlib.contextmanager
    def _beating(self, release: Release, revision: int) -> t.Iterator[None]:
        if self._cluster is None:
            yield
            return
        with holder.Heartbeat(self._cluster, release.namespace, record_name(release.name, revision)):
            yield

    def _post_renderer(self, release: Release, manifest: str) -> tuple[list[str], dict[str, str]]:
        """The arguments and the environment of a post-renderer: a command for Helm 3, a plugin for Helm 4."""
        path = self._private(f"manifest-{release.namespace}-{release.name}.yaml", manifest)
        environment = {post_renderer.MANIFEST_VARIABLE: path}
        folder = self._folder / "plugins" / post_renderer.NAME
        with self._lock:
            folder.mkdir(parents=True, exist_ok=True)
            self._private(f"plugins/{post_renderer.NAME}/plugin.yaml", post_renderer.plugin())
            script = f"plugins/{post_renderer.NAME}/{post_renderer.SCRIPT_FILE}"
            script = self._private(script, post_renderer.SCRIPT)
        if self.version >= (4, 0):
            return ["--post-renderer", post_renderer.NAME], {**environment, "HELM_PLUGINS": str(folder.parent)}
        return ["--post-renderer", sys.executable, "--post-renderer-args", script], environment

    def rollback(self, name: str, namespace: str, revision: int, apply_method: str | None = None) -> None:
        """Rolls a release back to an earlier revision."""
        args = ["rollback", name, str(revision), "--namespace", namespace]
        if self.version >= (4, 0) and apply_method != "csa":
            args.append("--force-conflicts")
        self._run(args)

    def uninstall(self, name: str, namespace: str, timeout: float = 300) -> None:
        """Removes a release and its objects, but for those with the resource policy keep."""
        args = ["uninstall", name, "--namespace", namespace, "--wait", "--timeout", f"{timeout:.0f}s"]
        self._run([*args, "--ignore-not-found"], timeout=timeout + 30)


def _flags(options: RenderOptions) -> list[str]:
    """The flags of C(helm template) for options."""
    flags = ["--skip-tests"] if options.include_hooks else ["--no-hooks"]
    if options.kube_version:
        flags += ["--kube-version", options.kube_version]
    for start in range(0, len(options.api_versions), _CHUNK):
        flags += ["--api-versions", ",".join(options.api_versions[start : start + _CHUNK])]
    if options.is_upgrade:
        flags.append("--is-upgrade")
    if options.include_crds:
        flags.append("--include-crds")
    return flags


def fingerprint(manifest: str) -> str:
    """A manifest's fingerprint, as a label can hold it."""
    return hashlib.sha256(manifest.strip().encode()).hexdigest()[:40]


def _check_digest(release: Release, path: str, manifest: str | None = None) -> None:
    """Checks that the digest that a chart is pinned to is its package's, or in a registry its manifest's."""
    if not os.path.isfile(path):
        raise HelmError(
            f"chart {release.chart} of release {release.name} is a folder, which has no digest:"
            " remove the digest, or use a package (.tgz)"
        )
    with open(path, "rb") as file:
        digest = "sha256:" + hashlib.sha256(file.read()).hexdigest()
    wanted = "sha256:" + (release.digest or "").removeprefix("sha256:")
    if wanted not in (digest, manifest):
        also = f" (its manifest {manifest})" if manifest else ""
        raise HelmError(
            f"chart {release.chart} of release {release.name} has the digest {digest}{also}, not {release.digest}:"
            " it is not the package that was pinned"
        )


def _sweep() -> None:
    """Removes the folders of killed runs; they hold values, and a way into the cluster."""
    for folder in pathlib.Path(tempfile.gettempdir()).glob(f"{holder.PREFIX}*"):
        try:
            if time.time() - folder.stat().st_mtime > _ABANDONED and not holder.is_locked(folder):
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue  # another run was quicker


def _last_words(stderr: str) -> str:
    """helm's own error without its prefix; earlier lines are warnings."""
    text = stderr.strip()
    start = text.rfind("Error: ")
    if start >= 0:
        return text[start + len("Error: ") :].strip()
    return text.splitlines()[-1] if text else ""
