# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The node image for kind: Debian with systemd, containerd and kubelet, and every image the cluster needs in it."""

from __future__ import annotations

import shutil
import subprocess
import uuid
from collections.abc import Sequence
from pathlib import Path

import build
import images
import versions
from home import LabError, run
from progress import Step

FILES = images.HERE / "node"
PACKAGES = """
systemd systemd-sysv dbus containerd runc iptables conntrack ethtool socat kmod iproute2 procps mount
containernetworking-plugins ca-certificates jq hostname ebtables curl
""".split()
BARE = f"localhost/meshops-lab/node-bare:v{versions.KUBERNETES}"
NODE = f"localhost/meshops-lab/node:v{versions.KUBERNETES}"


def recipe() -> str:
    texts = [path.read_text() for path in sorted(FILES.rglob("*")) if path.is_file()]
    return images.digest(PACKAGES, versions.KUBERNETES, *texts)


def bare() -> Step:
    """A node without container images. The files in node/ lie in it at the same paths."""
    image = images.Image(BARE, recipe())

    def make(log: Path) -> None:
        with images.debian(PACKAGES, log) as root:
            for program in ("kubelet", "kubeadm", "kubectl"):
                target = root / "usr/bin" / program
                shutil.copyfile(build.program(program, versions.KUBERNETES), target)
                target.chmod(0o755)
            for path in sorted(FILES.rglob("*")):
                if path.is_file():
                    target = root / path.relative_to(FILES)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(path, target)
                    target.chmod(0o755 if "bin" in target.parent.name else 0o644)
            (root / "kind/version").write_text(f"v{versions.KUBERNETES}")
            (root / "opt/cni").mkdir(parents=True)
            (root / "opt/cni/bin").symlink_to("/usr/lib/cni")
            run("chroot", root, "systemctl", "enable", "containerd", "kubelet", log=log)
            units = [
                "systemd-udevd",
                "systemd-logind",
                "systemd-journald-audit.socket",
                "getty.target",
                "console-getty",
            ]
            run("chroot", root, "systemctl", "mask", *units, log=log)
            changes = ['ENTRYPOINT ["/usr/local/bin/entrypoint"]', "ENV container=docker"]
            images.import_folder(root, image, changes, log)

    return Step("image kind node", image, make)


def built() -> Step:
    """The same as the published kindest/node: a node with the images that kubeadm wants."""
    return filled(
        bare().result, [step.result for step in images.kubernetes()], NODE, f"kind node {versions.KUBERNETES}"
    )


def with_istio(node: Step, istio: Sequence[Step], version: str) -> Step:
    """A node that has Istio's images as well, so that no cluster has to wait for them."""
    name = f"{NODE.rpartition(':')[0]}:{node.result.name.rpartition(':')[2]}-istio-{version}"
    return filled(node.result, [step.result for step in istio], name, f"kind node with Istio {version}")


def filled(node: images.Named, inside: Sequence[images.Named], name: str, title: str) -> Step:
    """A node after its containerd has taken in images."""
    image = images.Image(name, images.digest(node.recipe, *(f"{i.name} {i.recipe}" for i in inside)))

    def make(log: Path) -> None:
        entrypoint = run("docker", "image", "inspect", "-f", "{{json .Config.Entrypoint}}", node.name).strip()
        container = f"meshops-lab-fill-{uuid.uuid4().hex[:8]}"
        run("docker", "run", "-d", "--privileged", "--network=none", f"--name={container}", "--entrypoint=containerd",
            node.name, log=log)  # fmt: skip
        try:
            run("docker", "exec", container, "sh", "-c", "until ctr version >/dev/null 2>&1; do sleep 0.2; done",
                timeout=60, log=log)  # fmt: skip
            take_in(container, [i.name for i in inside], log)
            run("docker", "commit", "--change", f"ENTRYPOINT {entrypoint}", "--change", image.label,
                container, image.name, log=log)  # fmt: skip
        finally:
            run("docker", "rm", "-f", "-v", container, log=log)

    return Step(f"image {title}", image, make)


def take_in(container: str, names: Sequence[str], log: Path) -> None:
    """Import images from Docker into the containerd of a node."""
    with log.open("ab") as stream:
        save = subprocess.Popen(["docker", "save", *names], stdout=subprocess.PIPE, stderr=stream)
        load = subprocess.run(
            ["docker", "exec", "-i", container, "ctr", "-n", "k8s.io", "images", "import", "--no-unpack", "-"],
            stdin=save.stdout, stdout=stream, stderr=stream, check=False,
        )  # fmt: skip
        save.stdout.close()
        if save.wait() or load.returncode:
            raise LabError(f"importing images into {container} failed")
