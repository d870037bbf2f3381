# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A small mesh under load, for the stories about its CA: every request is counted, every failure has its time."""

from __future__ import annotations

import base64
import contextlib
import datetime
import functools
import json
import os
import pathlib
import subprocess
import threading
import time

import yaml
from ansible_collections.meshops.istio.plugins.module_utils.ca.rotation import PHASES
from ansible_collections.meshops.istio.plugins.module_utils.cluster.client import Cluster
from ansible_collections.meshops.istio.plugins.module_utils.cluster.kinds import KNOWN
from ansible_collections.meshops.istio.plugins.module_utils.errors import MeshopsError
from killing import kill

ROOT = pathlib.Path(__file__).parents[2]
BIN = ROOT / ".venv" / "bin"
#: What a mesh of upstream Envoys needs, and what a rotation needs. On a machine that is overloaded, pods are late with
#: their answers to probes, and endpoints with leaving: neither shall look like a failure of the CA.
ISTIOD = {
    "global": {
        "imagePullPolicy": "IfNotPresent",
        "proxy": {"readinessFailureThreshold": 40, "resources": {"requests": {"cpu": "5m", "memory": "40Mi"}}},
    },
    "telemetry": {"enabled": False},
    "env": {
        "PILOT_ENABLE_METADATA_EXCHANGE": "false",
        "PILOT_ENABLE_ALPN_FILTER": "false",
        "ISTIO_MULTIROOT_MESH": "true",
    },
    "resources": {"requests": {"cpu": "10m", "memory": "100Mi"}},
    "autoscaleEnabled": False,
    "meshConfig": {"defaultConfig": {"proxyMetadata": {"PROXY_CONFIG_XDS_AGENT": "true"}}},
}
PATIENT = {
    "spec": {"template": {"spec": {
        "terminationGracePeriodSeconds": 60,
        "containers": [{
            "name": "echo",
            "lifecycle": {"preStop": {"sleep": {"seconds": 15}}},
            "readinessProbe": {"timeoutSeconds": 10, "failureThreshold": 20},
        }],
    }}}
}  # fmt: skip
OBJECTS = """
apiVersion: v1
kind: Service
metadata: {name: echo-new, namespace: app}
spec: {selector: {app: echo}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: echo-new, namespace: app}
spec: # a TLS handshake for each request
  host: echo-new.app.svc.cluster.local
  trafficPolicy: {connectionPool: {http: {maxRequestsPerConnection: 1}}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gateway, namespace: app}
spec:
  selector: {istio: ingress}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: gateway, namespace: app}
spec:
  hosts: ["*"]
  gateways: [gateway]
  http:
  - match: [{uri: {prefix: /new}}]
    route: [{destination: {host: echo-new}}]
  - route: [{destination: {host: echo}}]
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: app}
spec: {mtls: {mode: STRICT}}
"""


def run(*command: str, stdin: str | None = None, timeout: float = 300) -> str:
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def kubectl(*arguments: str, stdin: str | None = None, timeout: float = 300) -> str:
    return run("kubectl", *arguments, stdin=stdin, timeout=timeout)


def get(*arguments: str) -> dict:
    return json.loads(kubectl("get", *arguments, "-o", "json"))


def private_keys() -> list[str]:
    """Every line of every private key in the mesh's secrets: what no output may ever hold."""
    found = []
    for secret in get("secrets", "-n", "istio-system")["items"]:
        for name, value in (secret.get("data") or {}).items():
            text = base64.b64decode(value).decode(errors="replace")
            if "key" in name and "PRIVATE KEY" in text:
                found += [value] + [line for line in text.splitlines() if len(line) > 40]
    return found


@functools.cache
def cluster(kubeconfig: str) -> Cluster:
    return Cluster({"kubeconfig": kubeconfig})


def record() -> dict:
    """What the annotation on cacerts says of the rotation."""
    found = cluster(os.environ["KUBECONFIG"]).get(KNOWN["", "Secret"], "cacerts", "istio-system") or {"metadata": {}}
    return json.loads((found["metadata"].get("annotations") or {}).get("meshops.istio/ca-rotation", "{}"))


class Mesh:
    """A mesh in the cluster that KUBECONFIG names."""

    def __init__(self, folder: pathlib.Path, istiod: dict | None = None) -> None:
        self.folder = folder
        self.istiod = {**ISTIOD, **(istiod or {})}
        self.releases = {"probe": "app", "ingress": "istio-ingress", "istiod": "istio-system", "base": "istio-system"}
        self.namespaces = ["late"]

    def install(self) -> None:
        """Istiod with a CA that it makes for itself, an ingress gateway, and an app with sidecars under mTLS."""
        charts, hub, tag = (os.environ[name] for name in ("LAB_CHARTS", "LAB_HUB", "LAB_TAG"))
        self.istiod["global"] = {**self.istiod["global"], "hub": hub, "tag": tag}
        self._helm("base", f"{charts}/base-{tag}.tgz", "istio-system", {})
        self._helm("istiod", f"{charts}/istiod-{tag}.tgz", "istio-system", self.istiod)
        gateway = {
            "service": {"type": "NodePort"},
            "imagePullPolicy": "IfNotPresent",
            "autoscaling": {"enabled": False},
            "resources": {"requests": {"cpu": "10m", "memory": "40Mi"}},
        }
        self._helm("ingress", f"{charts}/gateway-{tag}.tgz", "istio-ingress", gateway)
        self.namespace("app", "istio-injection=enabled")
        self._helm("probe", str(ROOT / "charts" / "probe"), "app", {"image": os.environ["LAB_PROBE_IMAGE"]})
        kubectl("apply", "-f", "-", stdin=OBJECTS)
        for name in ("echo-v1", "echo-v2"):
            kubectl("patch", "deployment", name, "-n", "app", "-p", json.dumps(PATIENT))
            kubectl("rollout", "status", f"deployment/{name}", "-n", "app", "--timeout=300s")

    def push(self, wanted: bool) -> None:
        """Whether pods that start from now on take new roots while they run."""
        metadata = self.istiod["meshConfig"]["defaultConfig"]["proxyMetadata"] if wanted else {}
        values = {**self.istiod, "meshConfig": {"defaultConfig": {"proxyMetadata": metadata}}}
        charts, tag = os.environ["LAB_CHARTS"], os.environ["LAB_TAG"]
        self._helm("istiod", f"{charts}/istiod-{tag}.tgz", "istio-system", values)
        trial = ("run", "trial", "-n", "app", "--image=none", "--dry-run=server", "-o", "yaml")
        wait_for(lambda: ("PROXY_CONFIG_XDS_AGENT" in kubectl(*trial)) == wanted)

    def namespace(self, name: str, label: str) -> None:
        key, _equals, value = label.partition("=")
        meta = {"name": name, "labels": {key: value}}
        kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": meta}))

    def install_revision(self, revision: str, namespace: str) -> None:
        """Another istiod beside the first, and a pod in a namespace of its own that belongs to it."""
        charts, tag = os.environ["LAB_CHARTS"], os.environ["LAB_TAG"]
        values = {**self.istiod, "revision": revision}
        self._helm(f"istiod-{revision}", f"{charts}/istiod-{tag}.tgz", "istio-system", values)
        self.namespace(namespace, f"istio.io/rev={revision}")
        image = os.environ["LAB_PROBE_IMAGE"]
        kubectl("create", "deployment", revision, "-n", namespace, f"--image={image}", "--", "probe", "echo")
        kubectl("rollout", "status", f"deployment/{revision}", "-n", namespace, "--timeout=120s")
        self.releases = {f"istiod-{revision}": "istio-system", **self.releases}
        self.namespaces.append(namespace)

    def _helm(self, name: str, chart: str, namespace: str, values: dict) -> None:
        file = self.folder / f"{name}.yaml"
        file.write_text(yaml.safe_dump(values))
        command = ["helm", "upgrade", "--install", name, chart, "-n", namespace, "--create-namespace", "--wait"]
        run(*command, "-f", str(file))

    def remove(self) -> None:
        """Takes everything away, so that the next mesh starts with a CA of its own."""
        for name, namespace in self.releases.items():
            subprocess.run(["helm", "uninstall", name, "-n", namespace, "--wait"], capture_output=True, check=False)
        namespaces = (*self.namespaces, *dict.fromkeys(self.releases.values()))
        kubectl("delete", "namespace", *namespaces, "--ignore-not-found", "--timeout=120s")
        kubectl("delete", "configmap", "istio-ca-root-cert", "-n", "default", "--ignore-not-found")

    # -- the playbook -----------------------------------------------------------

    def command(self, entry: str, *options: str, **variables: object) -> list[str]:
        """The command line of the role's entry point; for rotate, of the playbook."""
        book = ROOT / "playbooks" / f"{entry}_ca.yml"
        if not book.exists():
            book = self.folder / f"{entry}.yml"
            task = {"ansible.builtin.include_role": {"name": "meshops.istio.ca", "tasks_from": f"{entry}.yml"}}
            show = {"ansible.builtin.debug": {"var": "ca_status.status"}, "when": "ca_status is defined"}
            book.write_text(yaml.safe_dump([{"hosts": "all", "gather_facts": False, "tasks": [task, show]}]))
        (self.folder / "vars.json").write_text(json.dumps(variables))
        return [
            str(BIN / "ansible-playbook"), "-i", "localhost,", "-c", "local", "-e",
            f"ansible_python_interpreter={BIN / 'python'}", "-e", f"@{self.folder / 'vars.json'}", *options, str(book),
        ]  # fmt: skip

    def start(self, entry: str, *options: str, **variables: object) -> subprocess.Popen:
        """Starts an entry point of the role; what it prints goes to run.log."""
        kept = {
            "ANSIBLE_LOCAL_TEMP": "local",
            "ANSIBLE_REMOTE_TEMP": "remote",
            "ANSIBLE_LOG_PATH": "kept/log",
            "ANSIBLE_CACHE_PLUGIN_CONNECTION": "kept/facts",
        }
        (self.folder / "kept").mkdir(exist_ok=True)
        env = {**os.environ, "ANSIBLE_CACHE_PLUGIN": "ansible.builtin.jsonfile"}
        env |= {name: str(self.folder / place) for name, place in kept.items()}
        with (self.folder / "run.log").open("w") as log:
            command = self.command(entry, *options, **variables)
            return subprocess.Popen(command, stdout=log, stderr=log, env=env)

    def open_to_others(self) -> str:
        """What others can read of a run's temporary files, and what it leaves in its log and facts."""
        found = []
        for folder, _folders, files in os.walk(self.folder / "kept"):
            for file in files:
                with contextlib.suppress(FileNotFoundError):  # gone meanwhile
                    found.append(pathlib.Path(folder, file).read_text())
        for place in (self.folder / "local", self.folder / "remote"):
            for folder, folders, files in os.walk(place):
                folders[:] = [each for each in folders if _mode(folder, each) & 0o055]
                for file in files:
                    with contextlib.suppress(FileNotFoundError):  # gone meanwhile
                        if _mode(folder, file) & 0o044:
                            found.append(pathlib.Path(folder, file).read_text(errors="replace"))
        return "".join(found)

    def wait_for_phase(self, phase: str, process: subprocess.Popen) -> None:
        """Waits until a run has written a phase; where this machine was late, it may be at a later one."""
        reached = PHASES[PHASES.index(phase) :]
        wait_for(lambda: record().get("phase") in reached or process.poll() is not None, timeout=600, pause=0.05)
        assert process.poll() is None, (self.folder / "run.log").read_text()

    def run_until(self, phase: str, entry: str, **variables: object) -> None:
        """Runs an entry point, and kills it as soon as it has written a phase."""
        process = self.start(entry, **variables)
        self.wait_for_phase(phase, process)
        kill(process)
        assert record()["phase"] in PHASES[PHASES.index(phase) :], "it is not over"

    def status(self) -> dict:
        """What the entry point status gives."""
        return json.loads(self.role("status").partition('"ca_status.status": ')[2].partition("\n}")[0])

    def proxies(self, *namespaces: str) -> list[dict]:
        """What the module proxies gives."""
        book = self.folder / "proxies.yml"
        task = {"meshops.istio.proxies_info": {"namespaces": list(namespaces)}, "register": "mesh"}
        show = {"ansible.builtin.copy": {"content": "{{ mesh.proxies | to_json }}", "dest": f"{book}.json"}}
        book.write_text(yaml.safe_dump([{"hosts": "all", "gather_facts": False, "tasks": [task, show]}]))
        command = self.command("status")
        run(*command[:-1], str(book))
        return json.loads(pathlib.Path(f"{book}.json").read_text())

    def role(self, entry: str, *options: str, fails: bool = False, **variables: object) -> str:
        """Runs an entry point of the role, and gives what ansible printed."""
        done = subprocess.run(
            self.command(entry, *options, **variables), capture_output=True, text=True, timeout=500, check=False
        )
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done.stdout + done.stderr


def _mode(*path: str) -> int:
    try:
        return os.stat(os.path.join(*path)).st_mode
    except FileNotFoundError:
        return 0


class Load:
    """Requests at a fixed rate from pods in the mesh and through the gateway, while a Deployment goes up and down.

    Over kept-alive and new connections alike, half of each; on two of the ways every request also has a TLS
    handshake of its own between the proxies.
    """

    SOURCES = {
        "sidecar": ("app", "http://echo.app/"),
        "sidecar, a handshake each": ("app", "http://echo-new.app/"),
        "gateway": ("default", "http://ingress.istio-ingress/"),
        "gateway, a handshake each": ("default", "http://ingress.istio-ingress/new"),
    }

    def __init__(self, mesh: Mesh, rate: float = 25, sources: dict[str, tuple[str, str]] | None = None) -> None:
        self.mesh, self.rate, self.sources = mesh, rate, sources or self.SOURCES
        self.phases: list[dict] = []
        self.counts: list[dict] = []
        self._stop = threading.Event()

    def __enter__(self) -> Load:
        for number, (namespace, url) in enumerate(self.sources.values()):
            host = url.split("/")[2]
            service, home = host.split(".")
            address = kubectl("get", "service", service, "-n", home, "-o", "jsonpath={.spec.clusterIP}")
            # without DNS and with time to spare: an overloaded machine isn't a failure of the mesh
            options = ["-rate", f"{self.rate:g}", "-connect-to", f"{address}:80", "-timeout", "30s"]
            pod = {
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": f"load-{number}", "namespace": namespace, "labels": {"app": f"load-{number}"}},
                "spec": {"terminationGracePeriodSeconds": 20, "containers": [{
                    "name": "load", "image": os.environ["LAB_PROBE_IMAGE"], "imagePullPolicy": "IfNotPresent",
                    "args": ["load", *options, url]}]},
            }  # fmt: skip
            kubectl("apply", "-f", "-", stdin=json.dumps(pod))
        self._logs = []
        for number, (namespace, _url) in enumerate(self.sources.values()):
            kubectl("wait", "--for=condition=Ready", f"pod/load-{number}", "-n", namespace, "--timeout=180s")
            file = self._file(number).open("w")
            command = ["kubectl", "logs", "-f", f"load-{number}", "-c", "load", "-n", namespace]
            self._logs.append((file, subprocess.Popen(command, stdout=file)))
        self._threads = [threading.Thread(target=work) for work in (self._scale, self._watch)]
        for thread in self._threads:
            thread.start()
        return self

    def _file(self, number: int) -> pathlib.Path:
        return self.mesh.folder / f"load-{number}.jsonl"

    def _scale(self) -> None:
        """Up and down: pods come and go in every phase."""
        replicas = 2
        while not self._stop.wait(6):
            subprocess.run(
                ["kubectl", "scale", "deployment/echo-v2", "-n", "app", f"--replicas={replicas}"],
                capture_output=True, check=False,
            )  # fmt: skip
            replicas = 3 - replicas

    def _watch(self) -> None:
        while not self._stop.wait(0.5):
            with contextlib.suppress(MeshopsError):
                for entry in record().get("history", []):
                    if entry not in self.phases:
                        self.phases.append(entry)

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        for number, (namespace, _url) in enumerate(self.sources.values()):
            kubectl("delete", "pod", f"load-{number}", "-n", namespace, "--wait=false")
        for number, (file, logs) in enumerate(self._logs):
            logs.wait(120)
            file.close()
            self.counts.append(json.loads(self._file(number).read_text().splitlines()[-1]))
        for number, (namespace, _url) in enumerate(self.sources.values()):
            kubectl("wait", "--for=delete", f"pod/load-{number}", "-n", namespace, "--timeout=120s")

    def failures(self) -> list[dict]:
        """Each request that has failed so far, with its time and the phase of the rotation at that time."""
        found = []
        for number, source in enumerate(self.sources):
            for line in self._file(number).read_text().splitlines():
                if "time" in (failure := json.loads(line)):
                    found.append({"source": source, "phase": self._phase_at(failure["time"]), **failure})
        return found

    def _phase_at(self, text: str) -> str:
        moment = datetime.datetime.fromisoformat(text)
        reached = [e for e in self.phases if datetime.datetime.fromisoformat(e["at"]) <= moment]
        return max(reached, key=lambda e: e["at"])["phase"] if reached else "before"

    def assert_nothing_failed(self) -> None:
        failures = self.failures()
        shown = "\n".join(json.dumps(failure) for failure in failures[:20])
        assert not failures, f"{len(failures)} requests failed:\n{shown}"

    def total(self) -> tuple[int, float]:
        """After the end: how many requests were sent, and in how many seconds."""
        assert all(count.get("requests", 0) > 100 for count in self.counts), self.counts
        return sum(count["requests"] for count in self.counts), max(count["seconds"] for count in self.counts)

    def assert_enough(self) -> None:
        """After the end: at least 50 requests a second, over all sources, from the first to the last."""
        requests, seconds = self.total()
        assert requests / seconds >= 50, self.counts

    def report(self) -> str:
        """After the end, in words."""
        requests, seconds = self.total()
        return f"{requests} requests in {seconds:.0f} s ({requests / seconds:.0f}/s), {len(self.failures())} failed"


def wait_for(what, timeout: float = 120, pause: float = 0.3):
    """Waits until what() gives something true, and gives it."""
    end = time.monotonic() + timeout
    while not (found := what()):
        assert time.monotonic() < end, f"not within {timeout} s: {what}"
        time.sleep(pause)
    return found
