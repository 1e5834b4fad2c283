"""Module slipway_check. See DOCUMENTATION."""

from __future__ import annotations

import os
import shutil
import subprocess

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.slipway import STATE, read
from ansible.module_utils.slipway_content import INSTALLED, recorded

DOCUMENTATION = """
module: slipway_check
short_description: Looks at a host
description:
  - Reports stages, installed contents, units, space, memory and ports, and fails when something is not as a host in its state should be. Changes nothing.
options:
  machine: {description: Name of the machine; the report is the output C(check-<machine>)., type: str, required: true}
  units: {description: Unit that must run once a stage is done., type: dict, required: true}
  ports: {description: TCP ports that a host without any stage must have free., type: list, elements: int, default: []}
  disk_bytes: {description: Free space that the host should have., type: int, default: 0}
author: Slipway
"""

EXAMPLES = """
- name: Look
  slipway_check: {machine: r07-u12, units: {containerd: containerd.service}, ports: [6443, 10250], disk_bytes: 2147483648}
"""

RETURN = """
slipway_outputs: {description: The report, as C(check-<machine>)., type: dict, returned: always}
"""

LISTEN = "0A"


def entries(directory: str) -> list[str]:
    """Names in a directory; none when it is not there."""
    return sorted(os.listdir(directory)) if os.path.isdir(directory) else []


def listening() -> list[int]:
    """TCP ports on which something listens."""
    ports = set()
    for path in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in (read(path) or b"").decode().splitlines()[1:]:
            words = line.split()
            if words[3] == LISTEN:
                ports.add(int(words[1].rpartition(":")[2], 16))
    return sorted(ports)


def memory() -> dict[str, int]:
    """Total and available memory in bytes."""
    lines = dict(line.split(":", 1) for line in (read("/proc/meminfo") or b"").decode().splitlines())
    return {key: int(lines[name].split()[0]) * 1024 for key, name in (("total", "MemTotal"), ("available", "MemAvailable"))}


def state_of(unit: str) -> str:
    """Active state of a unit."""
    return subprocess.run(["systemctl", "is-active", unit], capture_output=True, text=True, check=False).stdout.strip()


def report(params: dict) -> dict:
    """All that is seen."""
    stages = {s: (read(os.path.join(STATE, "stages", s)) or b"").decode().strip() for s in entries(os.path.join(STATE, "stages"))}
    disk = shutil.disk_usage("/var/lib")
    return {
        "stages": stages,
        "contents": {name.removesuffix(".list"): recorded(name.removesuffix(".list"))[0] for name in entries(INSTALLED)},
        "units": {unit: state_of(unit) for stage, unit in sorted(params["units"].items()) if stage in stages},
        "disk": {"total": disk.total, "free": disk.free},
        "memory": memory(),
        "ports": [p for p in params["ports"] if p in listening()],
    }


def problems(seen: dict, params: dict) -> list[str]:
    """What is not as it should be."""
    found = [f"{unit} is {state}" for unit, state in seen["units"].items() if state != "active"]
    if seen["disk"]["free"] < params["disk_bytes"]:
        found.append(f"{seen['disk']['free'] >> 20} MiB are free below /var/lib, {params['disk_bytes'] >> 20} MiB are needed")
    if not seen["stages"]:
        found += [f"port {p} is in use on a host without any stage" for p in seen["ports"]]
        found += [f"content {name} is installed on a host without any stage" for name in seen["contents"]]
    found += [f"content {name} is incomplete" for name, digest in seen["contents"].items() if seen["stages"] and digest == "incomplete"]
    return found


def main() -> None:
    """Runs the module."""
    module = AnsibleModule(
        argument_spec={
            "machine": {"type": "str", "required": True},
            "units": {"type": "dict", "required": True},
            "ports": {"type": "list", "elements": "int", "default": []},
            "disk_bytes": {"type": "int", "default": 0},
        },
        supports_check_mode=True,
    )
    seen = report(module.params)
    seen["problems"] = problems(seen, module.params)
    outputs = {"check-" + module.params["machine"]: seen}
    if seen["problems"]:
        module.fail_json(msg="; ".join(seen["problems"]), slipway_outputs=outputs)
    module.exit_json(changed=False, slipway_outputs=outputs)


if __name__ == "__main__":
    main()
