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


def name(istio: str) -> str:
    """The node image with Istio's images of a version in it."""
    return f"localhost/meshops-lab/node:v{versions.KUBERNETES}-istio-{istio}"


def steps(istio: str) -> list[Step]:
    return [bare(), filled(istio)]


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
            (root / "kind/manifests").mkdir(parents=True)
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


def filled(istio: str) -> Step:
    """The bare node after containerd has taken in the images of Kubernetes and Istio."""
    inside = [step.result for step in [*images.kubernetes(), *images.istio(istio)]]
    image = images.Image(name(istio), images.digest(recipe(), *(f"{i.name} {i.recipe}" for i in inside)))

    def make(log: Path) -> None:
        container = f"meshops-lab-fill-{uuid.uuid4().hex[:8]}"
        run("docker", "run", "-d", "--privileged", "--network=none", f"--name={container}", "--entrypoint=containerd",
            BARE, log=log)  # fmt: skip
        try:
            run("docker", "exec", container, "sh", "-c", "until ctr version >/dev/null 2>&1; do sleep 0.2; done",
                timeout=60, log=log)  # fmt: skip
            take_in(container, [i.name for i in inside], log)
            run("docker", "commit", "--change", 'ENTRYPOINT ["/usr/local/bin/entrypoint"]', "--change", image.label,
                container, image.name, log=log)  # fmt: skip
        finally:
            run("docker", "rm", "-f", "-v", container, log=log)

    return Step(f"image kind node with Istio {istio}", image, make)


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
