"""Module slipway_kubeadm. See DOCUMENTATION."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import time

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.slipway import ENVIRONMENT, STAGE_OPTION, STATE, Trouble, place, remove, run, stamp, succeeds, write

DOCUMENTATION = """
module: slipway_kubeadm
short_description: kubeadm init or join, from where an earlier attempt ended
description:
  - Waits until the named addresses take connections, then runs kubeadm with a configuration that is never kept on the disk of the host.
  - An attempt that was cut off is gone through again; kubeadm keeps what is there. A node that has its own credentials has joined.
options:
  phase: {description: What to do., type: str, choices: [init, join], required: true}
  configuration: {description: The kubeadm configuration in YAML., type: str, required: true}
  wait_for: {description: Addresses with ports that must take connections first., type: list, elements: str, default: []}
  wait_seconds: {description: How long that may take., type: int, default: 120}
  units: {description: Units that must be active at the end; those that the host does not have do not count., type: list, elements: str, default: []}
  wait_blocked: {description: Whether another host is to blame when they do not; the message then begins with C(blocked)., type: bool, default: false}
  timeout_seconds: {description: How long kubeadm may take., type: int, default: 420}
  secrets: {description: Files with mode 0600 by path that kubeadm finds; their content is in no log and no result., type: dict, default: {}}
  stage:
    description: Stage that is finished with this task; its stamp is written when all else is done.
    type: dict
    options:
      name: {description: Name of the stage., type: str, required: true}
      digest: {description: Digest of all that decides the result., type: str, required: true}
author: Slipway
"""

EXAMPLES = """
- name: Join
  slipway_kubeadm: {phase: join, configuration: "{{ kubernetes_join_configuration[slipway_machine] }}", wait_for: ["api.shop.example:6443"]}
"""

RETURN = """
seconds: {description: How long kubeadm took., type: float, returned: always}
"""

CONFIGURATION = "/run/slipway/kubeadm.yaml"
# What an attempt of ours that was cut off leaves; on a host without such an attempt it is a leftover of somebody else.
OWN_TRACES = ["Port-6443", "Port-10250", "Port-10257", "Port-10259", "DirAvailable--etc-kubernetes-manifests"]
OWN_TRACES += ["FileAvailable--etc-kubernetes-" + f for f in (
    "manifests-kube-apiserver.yaml", "manifests-kube-controller-manager.yaml", "manifests-kube-scheduler.yaml",
    "kubelet.conf", "bootstrap-kubelet.conf", "pki-ca.crt")]
KUBELET_CONF = "/etc/kubernetes/kubelet.conf"
CLIENT_CERTIFICATE = "/var/lib/kubelet/pki/kubelet-client-current.pem"
KLOG = re.compile(r"^[EF]\d{4} [0-9:.]+ +\d+ [\w.-]+:\d+\] ")
SECRET = re.compile(r"[a-z0-9]{6}\.[a-z0-9]{16}|(?<=sha256:)[0-9a-f]{64}")


def wait_for(addresses: list[str], seconds: int, prefix: str) -> None:
    """Waits until all addresses take connections."""
    deadline = time.monotonic() + seconds
    for address in addresses:
        host, _, port = address.rpartition(":")
        while True:
            try:
                socket.create_connection((host.strip("[]"), int(port)), timeout=3).close()
                break
            except OSError as e:
                if time.monotonic() > deadline:
                    raise Trouble(f"{prefix}{address} does not answer after {seconds} s: {e}") from e
            time.sleep(0.2)


def wait_for_units(units: list[str], seconds: int) -> None:
    """Waits until all units that the host has are active."""
    deadline = time.monotonic() + seconds
    for unit in [u for u in units if os.path.exists("/etc/systemd/system/" + u)]:
        while not succeeds("systemctl", "is-active", "--quiet", unit):
            if time.monotonic() > deadline:
                log = run("journalctl", "--unit", unit, "--lines=3", "--output=cat", "--no-pager")
                raise Trouble(f"{unit} does not start: " + " | ".join(log.splitlines()))
            time.sleep(0.2)


def complaint(output: str) -> str:
    """What kubeadm says is wrong, without tokens."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if "[ERROR" in line or line.startswith(("error", "couldn't"))]
    return SECRET.sub("…", " | ".join((errors or lines)[-6:]))


def kubelet_says(output: str) -> str:
    """What the kubelet complained of last, when kubeadm waited for it in vain: kubeadm itself does not know."""
    if "kubelet" not in output:
        return ""
    log = run("journalctl", "--unit", "kubelet.service", "--lines=100", "--output=cat", "--no-pager").splitlines()
    found = [KLOG.sub("", line) for line in log if KLOG.match(line)]
    return SECRET.sub("…", " | the kubelet says: " + found[-1][:600]) if found else ""


def kubeadm(params: dict) -> float:
    """Runs kubeadm; tells how many seconds it took."""
    write(CONFIGURATION, params["configuration"].encode(), 0o600)
    words = ["kubeadm", params["phase"], "--config", CONFIGURATION]
    if not write(os.path.join(STATE, "units", "kubeadm-" + params["phase"]), b"begun\n", 0o600):
        words.append("--ignore-preflight-errors=" + ",".join(OWN_TRACES))
    started = time.monotonic()
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=params["timeout_seconds"], check=False,
                              env={**os.environ, **ENVIRONMENT, "KUBECONFIG": ""})
    except subprocess.TimeoutExpired as e:
        raise Trouble(f"kubeadm {params['phase']} did not end within {params['timeout_seconds']} s: "
                      + complaint(e.stdout.decode(errors="replace") if isinstance(e.stdout, bytes) else e.stdout or "")) from e
    finally:
        remove(CONFIGURATION)
    if done.returncode != 0:
        raise Trouble(f"kubeadm {params['phase']} ended with {done.returncode}: " + complaint(done.stdout) + kubelet_says(done.stdout))
    return round(time.monotonic() - started, 1)


def joined() -> bool:
    """Tells whether an earlier attempt got as far as credentials of the node's own; then only its tail may be missing."""
    if not (os.path.exists(KUBELET_CONF) and os.path.exists(CLIENT_CERTIFICATE)):
        return False
    remove("/etc/kubernetes/bootstrap-kubelet.conf")
    return succeeds("systemctl", "enable", "--now", "kubelet.service")


def main() -> None:
    """Runs the module."""
    module = AnsibleModule(
        argument_spec=STAGE_OPTION | {
            "phase": {"type": "str", "choices": ["init", "join"], "required": True},
            "configuration": {"type": "str", "required": True, "no_log": True},
            "secrets": {"type": "dict", "default": {}, "no_log": True},
            "wait_for": {"type": "list", "elements": "str", "default": []},
            "wait_seconds": {"type": "int", "default": 120},
            "units": {"type": "list", "elements": "str", "default": []},
            "wait_blocked": {"type": "bool", "default": False},
            "timeout_seconds": {"type": "int", "default": 420},
        },
    )
    params = module.params
    try:
        wait_for(params["wait_for"], params["wait_seconds"], "blocked: " if params["wait_blocked"] else "")
        place([], {}, params["secrets"])
        seconds = 0.0 if params["phase"] == "join" and joined() else kubeadm(params)
        wait_for_units(params["units"], params["wait_seconds"])
        stamp(params["stage"])
    except (Trouble, OSError) as e:
        module.fail_json(msg=str(e))
    module.exit_json(changed=True, seconds=seconds, stage=params["stage"])


if __name__ == "__main__":
    main()
