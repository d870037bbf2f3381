# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""kind clusters with everything that Istio needs loaded, each with a kubeconfig of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import build
import dockerd
import images
import node_image
import published
import source
import versions
from home import HOME, LabError, folder, free_ports, link, lock, run
from progress import Step, carry_out, say
from source import Source

import charts

# The node ports that are published on 127.0.0.1, for an ingress gateway's Service of type NodePort.
INGRESS_PORTS = {"LAB_INGRESS_HTTP": 30080, "LAB_INGRESS_HTTPS": 30443}

TOOLS = ("kubectl", "istioctl")  # of Kubernetes' and Istio's programs, what a user of a cluster wants

# A cluster that lives for an hour needn't survive a power cut, and has nobody to elect.
KUBEADM_PATCHES = [
    {
        "kind": "ClusterConfiguration",
        "etcd": {"local": {"extraArgs": {"unsafe-no-fsync": "true"}}},
        "controllerManager": {"extraArgs": {"leader-elect": "false"}},
        "scheduler": {"extraArgs": {"leader-elect": "false"}},
    },
]


def prepare(istio: str, of: Source | None = None) -> None:
    """Everything slow: programs, images, charts. What is there already is left alone."""
    dockerd.ensure()
    carry_out(steps(istio, of or source.chosen()))
    tools()


def steps(istio: str, of: Source) -> list[Step]:
    parts = from_registry(istio, of) if of.registry else from_packages(istio)
    return [*parts, *images.probe(), filled_node(istio, of)]


def from_registry(istio: str, of: Source) -> list[Step]:
    """What is published is fetched first: it may not be there."""
    programs = [step for step in [*build.kubernetes(), *build.istio(istio)] if step.name.split()[0] in TOOLS]
    return [
        published.node(of), *published.istio(istio, of), *build.helm(), published.packaged(istio, of), build.kind(),
        *programs, *charts.crds(istio),
    ]  # fmt: skip


def from_packages(istio: str) -> list[Step]:
    return [
        *build.kubernetes(), build.etcd(), build.pause(), build.coredns(), build.kind(), *build.helm(),
        *charts.crds(istio), charts.packaged(istio), *build.istio(istio), images.base(), *images.kubernetes(),
        *images.istio(istio), node_image.bare(), node_image.built(),
    ]  # fmt: skip


def istio_images(istio: str, of: Source) -> list[Step]:
    return published.istio(istio, of) if of.registry else images.istio(istio)


def filled_node(istio: str, of: Source) -> Step:
    """The image of the node that clusters are made of."""
    node = published.node(of) if of.registry else node_image.built()
    return node_image.with_istio(node, istio_images(istio, of), istio)


def up(name: str, previous: bool) -> None:
    """A cluster of that name runs and is ready. With `previous`, the older Istio's images are in it as well."""
    place = HOME / "clusters" / name
    of = source.kept(place) if (place / "kubeconfig").exists() else source.chosen()
    prepare(versions.ISTIO, of)
    if previous:
        carry_out(steps_of_older_istio(of))
    with lock(f"cluster-{name}"):
        if not running(name):
            create(name, of)
    load(name, [step.result.name for step in images.probe() if isinstance(step.result, images.Image)])
    if previous:
        load(name, [step.result.name for step in istio_images(versions.ISTIO_PREVIOUS, of)])
    (place / "env.json").write_text(json.dumps(env(name), indent=2))  # for inventories
    say(f'lab: cluster {name} is ready. To use it: eval "$(tests/lab/lab env --name {name})"')


def steps_of_older_istio(of: Source) -> list[Step]:
    older = versions.ISTIO_PREVIOUS
    if of.registry:
        return [*published.istio(older, of), published.packaged(older, of)]
    return [*charts.crds(older), charts.packaged(older), *build.istio(older), images.base(), *images.istio(older)]


def create(name: str, of: Source) -> None:
    forget(name)
    place = folder("clusters", name)
    source.keep(of, place)
    ports = dict(zip(INGRESS_PORTS, free_ports(len(INGRESS_PORTS)), strict=True))
    mappings = [
        {"containerPort": INGRESS_PORTS[key], "hostPort": port, "listenAddress": "127.0.0.1"}
        for key, port in ports.items()
    ]
    node = {
        "role": "control-plane",
        "kubeadmConfigPatches": [json.dumps(patch) for patch in KUBEADM_PATCHES],
        "extraPortMappings": mappings,
    }
    config = {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "networking": {"podSubnet": "10.244.0.0/24"},
        "nodes": [node],
    }
    (place / "kind.json").write_text(json.dumps(config, indent=2))
    log = folder("logs") / f"kind-cluster-{name}.log"
    log.unlink(missing_ok=True)

    def make(log: Path) -> None:
        kind(
            "create", "cluster", "--name", kind_name(name), "--image", filled_node(versions.ISTIO, of).result.name,
            "--config", place / "kind.json", "--kubeconfig", place / "creating", "--retain", log=log,
        )  # fmt: skip
        kubectl = (build.program("kubectl", versions.KUBERNETES), f"--kubeconfig={place}/creating")
        run(*kubectl, "wait", "--for=condition=Ready", "node", "--all", "--timeout=180s", log=log)
        # What CoreDNS sends before kube-proxy has its rules is lost, and CoreDNS gives it up only after 30 seconds.
        health = ("--silent", "--fail", "--retry", "60", "--retry-delay", "1", "--retry-all-errors")
        run("docker", "exec", node_name(name), "curl", *health, "http://localhost:10256/healthz", log=log)
        system = (*kubectl, "-n", "kube-system")
        run(*system, "delete", "pod", "-l", "k8s-app=kube-dns", "--grace-period=0", "--force", log=log)
        run(*system, "rollout", "status", "deploy/coredns", "--timeout=180s", log=log)
        (place / "ports.json").write_text(json.dumps(ports))
        (place / "creating").replace(place / "kubeconfig")

    carry_out([Step(f"kind cluster {name}", place / "kubeconfig", make)])


def names() -> list[str]:
    return sorted(path.name for path in HOME.glob("clusters/*"))


def down(name: str) -> None:
    """Remove the cluster and all that the lab knows of it."""
    with lock(f"cluster-{name}"):
        forget(name)


def forget(name: str) -> None:
    if build.program("kind", versions.KIND).exists() and dockerd.answers():
        kind("delete", "cluster", "--name", kind_name(name), "--kubeconfig", os.devnull)
    shutil.rmtree(HOME / "clusters" / name, ignore_errors=True)


def load(name: str, names: list[str]) -> None:
    """Bring images from Docker into the cluster's node, those that aren't there yet."""
    node = node_name(name)
    listed = run("docker", "exec", node, "ctr", "-n", "k8s.io", "images", "list", "-q").split()
    missing = [image for image in names if image not in listed]
    if missing:
        take_in(name, missing)


def take_in(name: str, names: list[str]) -> None:
    """Bring images from Docker into the cluster's node, also those that it has by that name."""
    node_image.take_in(node_name(name), names, folder("logs") / f"kind-cluster-{name}.log")
    say(f"lab: loaded {', '.join(names)} into {name}")


def env(name: str) -> dict[str, str]:
    """What a shell needs to work with the cluster."""
    place = HOME / "clusters" / name
    if not (place / "kubeconfig").exists():
        raise LabError(f"there is no cluster {name}. Make it: tests/lab/lab up --name {name}")
    ports = json.loads((place / "ports.json").read_text())
    probe = next((s.result.name for s in images.probe() if isinstance(s.result, images.Image)), "")
    of, older = source.kept(place), versions.ISTIO_PREVIOUS
    previous = {}
    if charts.place(older, of).exists():
        previous = {"LAB_PREVIOUS_CHARTS": str(charts.place(older, of)), "LAB_PREVIOUS_TAG": older}
    return {
        "KUBECONFIG": str(place / "kubeconfig"),
        "PATH": f"{tools()}:{os.environ['PATH']}",
        "LAB_NAME": name,
        "LAB_CHARTS": str(charts.place(versions.ISTIO, of)),
        "LAB_HUB": published.hub(of),
        "LAB_TAG": versions.ISTIO,
        "LAB_CRDS": ":".join(str(step.result) for step in charts.crds(versions.ISTIO)),
        "LAB_PROBE_IMAGE": probe,
        "LAB_PROBE_TAG": probe.rpartition(":")[2],
        "LAB_HELM3": str(build.program("helm", versions.HELM3)),
        "LAB_HELM4": str(build.program("helm", versions.HELM4)),
        "LAB_ISTIO_SOURCE": str(build.istio_source(versions.ISTIO)),
        **{key: f"127.0.0.1:{port}" for key, port in ports.items()},
        **previous,
    }


def status() -> None:
    """Print what is built, and which clusters there are."""
    of = source.chosen()
    all_steps = steps(versions.ISTIO, of)
    built = sum(step.result.exists() for step in all_steps)
    print(f"folder    {HOME}")
    print(f"source    {of}")
    print(f"prepared  {built} of {len(all_steps)} steps")
    for kubeconfig in sorted(HOME.glob("clusters/*/kubeconfig")):
        name = kubeconfig.parent.name
        asked = ["docker", "inspect", "-f", "{{.State.Status}}", node_name(name)]
        found = subprocess.run(asked, capture_output=True, text=True, check=False) if dockerd.answers() else None
        print(f"cluster   {name}: {(found and found.stdout.strip()) or 'stopped'}")
    for kubeconfig in sorted(HOME.glob("apiserver/*/kubeconfig")):
        print(f"apiserver {kubeconfig.parent.name}")
    for config in sorted(HOME.glob("registry/*/config.yml")):
        print(f"registry  {config.parent.name}")


def tools() -> Path:
    """A folder for the PATH with the programs that a user of the cluster wants, by their usual names."""
    place = folder("tools")
    programs = {
        "kubectl": build.program("kubectl", versions.KUBERNETES),
        "kind": build.program("kind", versions.KIND),
        "helm": build.program("helm", versions.HELM4),
        "istioctl": build.program("istioctl", versions.ISTIO),
    }
    for name, program in programs.items():
        if program.exists() and (place / name).resolve() != program.resolve():
            link(program, place / name)
    return place


def running(name: str) -> bool:
    """Whether the cluster is complete and its API answers."""
    kubeconfig = HOME / "clusters" / name / "kubeconfig"
    if not kubeconfig.exists():
        return False
    kubectl = (build.program("kubectl", versions.KUBERNETES), f"--kubeconfig={kubeconfig}")
    node = node_name(name)
    found = subprocess.run(["docker", "start", node], capture_output=True, check=False)
    if found.returncode:
        return False
    asked = [*kubectl, "wait", "--for=condition=Ready", "node", "--all", "--timeout=60s"]
    return subprocess.run(asked, capture_output=True, check=False).returncode == 0


def kind(*words: object, **options) -> None:
    env = {**os.environ, "KIND_EXPERIMENTAL_DOCKER_NETWORK": dockerd.NETWORK}
    run(build.program("kind", versions.KIND), *words, env=env, **options)


def kind_name(name: str) -> str:
    """What kind calls it: never a name that a user would give to a cluster of their own."""
    return f"meshops-lab-{name}"


def node_name(name: str) -> str:
    """The container that is its one node."""
    return f"{kind_name(name)}-control-plane"
