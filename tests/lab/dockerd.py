# Copyright: (c) 2026, The meshops.istio authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Docker: installed and started where missing, and kept on this machine."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

from home import HOME, LabError, folder, lock, run, tail
from progress import say

NETWORK = "meshops-lab"
RECIPE = "org.meshops.lab.recipe"  # the label of every image that the lab makes
SYS_RESOURCE = 24  # the number of CAP_SYS_RESOURCE

# Docker asks for this capability in every privileged container; a kernel that can't grant it refuses them all.
RUNTIME = '''#!/usr/bin/python3
"""runc, without the capability that this machine can't grant."""
import json
import os
import sys

words = sys.argv[1:]


def after(*names):
    return next((words[words.index(n) + 1] for n in names if n in words), None)


def rewrite(path, capabilities_of):
    with open(path) as stream:
        document = json.load(stream)
    sets = capabilities_of(document).get("capabilities") or {}
    for name, held in sets.items():
        sets[name] = [one for one in held if one != "CAP_SYS_RESOURCE"]
    with open(path, "w") as stream:
        json.dump(document, stream)


if "create" in words or "run" in words:
    rewrite(os.path.join(after("--bundle", "-b") or ".", "config.json"), lambda d: d["process"])
elif "exec" in words and after("--process", "-p"):
    rewrite(after("--process", "-p"), lambda d: d)
os.execvp("runc", ["runc", *words])
'''


def ensure() -> None:
    """Docker answers, the lab's network exists, and nothing of it gets past this machine."""
    with lock("docker"):
        wanted = {"iptables": "iptables", "ip": "iproute2", "openssl": "openssl", "curl": "curl"}
        if not answers():
            wanted |= {"dockerd": "docker.io", "docker": "docker.io"}
        install_missing(wanted)
        if not answers():
            start()
        raise_inotify_limits()
        confine(network())


def clean() -> None:
    """Remove the lab's images and network, and stop the daemon if the lab started it."""
    if answers():
        found = run("docker", "image", "list", "-q", "--filter", f"label={RECIPE}").split()
        if found:
            run("docker", "image", "rm", "-f", *found)
        subprocess.run(["docker", "network", "rm", NETWORK], capture_output=True, check=False)
    pid_file = HOME / "docker" / "pid"
    if pid_file.exists() and str(HOME).encode() in command_line(int(pid_file.read_text())):
        os.kill(int(pid_file.read_text()), signal.SIGTERM)


def command_line(pid: int) -> bytes:
    """The command line of a process; empty if there is none."""
    try:
        return Path("/proc", str(pid), "cmdline").read_bytes()
    except OSError:
        return b""


def answers() -> bool:
    return (
        shutil.which("docker") is not None
        and not subprocess.run(
            ["docker", "version"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
        ).returncode
    )


def install_missing(packages: dict[str, str]) -> None:
    """Install the Debian packages of the programs that aren't on the PATH."""
    missing = sorted({package for program, package in packages.items() if not shutil.which(program)})
    if not missing:
        return
    if os.geteuid() or not shutil.which("apt-get"):
        raise LabError(f"install these first, then run this again: {', '.join(missing)}")
    log = folder("logs") / "apt.log"
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    say(f"lab: installing {', '.join(missing)} (log: {log})")
    run("apt-get", "update", log=log, env=quiet)
    # Here no init system is asked to start the services: the lab starts what it needs.
    run("apt-get", "install", "-y", "--no-install-recommends", *missing, log=log, env={**quiet, "RUNLEVEL": "1"})


def start() -> None:
    """Start our own Docker daemon in the background."""
    if os.geteuid():
        raise LabError("Docker doesn't answer. Start it (or give your user access to it), then run this again.")
    place = folder("docker")
    settings: dict = {"ip-masq": False, "log-driver": "json-file", "log-opts": {"max-size": "10m"}}
    if not grantable(SYS_RESOURCE):
        wrapper = place / "runc-without-sys-resource"
        wrapper.write_text(RUNTIME)
        wrapper.chmod(0o755)
        settings |= {"runtimes": {"lab": {"path": str(wrapper)}}, "default-runtime": "lab"}
    (place / "daemon.json").write_text(json.dumps(settings, indent=2))
    log = folder("logs") / "dockerd.log"
    with log.open("ab") as stream:
        daemon = subprocess.Popen(
            ["dockerd", f"--config-file={place}/daemon.json"], stdout=stream, stderr=stream,
            stdin=subprocess.DEVNULL, start_new_session=True, cwd="/",
        )  # fmt: skip
    (place / "pid").write_text(str(daemon.pid))
    until = time.monotonic() + 60
    while not answers():
        if daemon.poll() is not None or time.monotonic() > until:
            raise LabError(f"dockerd did not start:\n{tail(log)}")
        time.sleep(0.3)
    say(f"lab: Docker runs (log: {log})")


def grantable(capability: int) -> bool:
    """Whether this kernel lets a process have a capability."""
    bounding = re.search(r"CapBnd:\s*(\w+)", Path("/proc/self/status").read_text())[1]
    return bool(int(bounding, 16) >> capability & 1)


def raise_inotify_limits() -> None:
    """Many nodes on one machine need more watches than a kernel gives by default."""
    for name, least in (("max_user_instances", 1024), ("max_user_watches", 524288)):
        path = Path("/proc/sys/fs/inotify") / name
        if int(path.read_text()) < least and os.access(path, os.W_OK):
            path.write_text(str(least))


def network() -> str:
    """The lab's Docker network; gives its bridge's name."""
    found = subprocess.run(["docker", "network", "inspect", NETWORK], stdout=subprocess.DEVNULL, check=False,
                           stderr=subprocess.DEVNULL)  # fmt: skip
    bridge = "meshops-lab0"
    if found.returncode:
        run(
            "docker", "network", "create", "-d", "bridge", "-o", f"com.docker.network.bridge.name={bridge}",
            "-o", "com.docker.network.bridge.enable_ip_masquerade=false", NETWORK,
        )  # fmt: skip
    return bridge


def confine(bridge: str) -> None:
    """Drop what would leave the lab's network, and what would newly come into it but from this machine itself."""
    for rule in (
        ["-i", bridge, "!", "-o", bridge, "-j", "DROP"],
        ["!", "-i", bridge, "-o", bridge, "-m", "conntrack", "--ctstate", "NEW", "-j", "DROP"],
    ):
        if subprocess.run(["iptables", "-C", "DOCKER-USER", *rule], check=False, capture_output=True).returncode:
            run("iptables", "-I", "DOCKER-USER", *rule)
