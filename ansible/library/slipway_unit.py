"""Module slipway_unit. See DOCUMENTATION."""

from __future__ import annotations

import os
import subprocess
import time

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.slipway import FILES_OPTIONS, STAGE_OPTION, STATE, Trouble, digest, place, read, run, stamp, succeeds, write

DOCUMENTATION = """
module: slipway_unit
short_description: One systemd unit with all that it depends on
description:
  - Writes its configuration and the unit, enables and starts it, and waits until it does its work.
  - Remembers with which unit file and which configuration it was started. When they differ it restarts the unit, also when the run that
    changed them was cut off before a handler of Ansible could.
options:
  name: {description: Name of the unit with its ending., type: str, required: true}
  content: {description: Content of the unit file., type: str, default: ""}
  files:
    description: Files with their content.
    type: list
    elements: dict
    default: []
    options:
      path: {description: Absolute path., type: path, required: true}
      content: {description: Content., type: str, required: true}
      mode: {description: Mode in octal., type: str, default: "0644"}
  secrets: {description: Files with mode 0600 by path; their content is in no log and no result., type: dict, default: {}}
  directories: {description: Directories with their mode in octal by path., type: dict, default: {}}
  restart_on: {description: Further files whose content the running unit must have been started with., type: list, elements: path, default: []}
  ready: {description: Command that ends with 0 once the unit does its work., type: list, elements: str, default: []}
  wait: {description: Whether to wait until the unit is ready; when not it may still be starting at the end., type: bool, default: true}
  ready_seconds: {description: How long that may take., type: int, default: 90}
  state:
    description: V(enabled) leaves the starting to somebody else.
    type: str
    choices: [started, enabled]
    default: started
  stage:
    description: Stage that is finished with this task; its stamp is written when all else is done.
    type: dict
    options:
      name: {description: Name of the stage., type: str, required: true}
      digest: {description: Digest of all that decides the result., type: str, required: true}
author: Slipway
"""

EXAMPLES = """
- name: Run containerd
  slipway_unit:
    name: containerd.service
    content: "{{ lookup('file', 'containerd.service') }}"
    files: [{path: /etc/containerd/config.toml, content: "{{ lookup('template', 'config.toml.j2') }}"}]
    ready: [ctr, version]
"""

RETURN = """
actions: {description: What was done., type: list, returned: always}
"""


class Unit:
    """One unit and what has been done to it."""

    def __init__(self, params: dict, check: bool):
        self.name, self.params, self.check = params["name"], params, check
        self.path = "/etc/systemd/system/" + self.name
        self.stamp = os.path.join(STATE, "units", self.name)
        self.actions: list[str] = []

    def systemctl(self, verb: str, *words: str) -> None:
        """Runs systemctl and notes it."""
        self.actions.append(verb)
        if not self.check:
            run("systemctl", verb, *words, timeout=240)

    def state(self, verb: str) -> str:
        """Answer of is-active or is-enabled."""
        return subprocess.run(["systemctl", verb, self.name], capture_output=True, text=True, check=False).stdout.strip()

    def present(self) -> None:
        """Writes, enables, and starts or restarts."""
        self.actions += place(self.params["files"], self.params["directories"], self.params["secrets"], self.check)
        if write(self.path, self.params["content"].encode(), 0o644, self.check):
            self.actions.append("write")
        if "write" in self.actions or self.needs_reload():
            self.systemctl("daemon-reload")
        if self.state("is-enabled") != "enabled":
            # systemd has just read the unit; the link matters to the next boot, which reads all anew.
            self.systemctl("enable", "--quiet", "--no-reload", self.name)
        if self.params["state"] == "started":
            self.start()

    def needs_reload(self) -> bool:
        """Tells whether systemd has not read the present file."""
        return run("systemctl", "show", "--property=NeedDaemonReload", "--value", self.name).strip() == "yes"

    def start(self) -> None:
        """Starts, or restarts when it runs with an older configuration."""
        files = [f["path"] for f in self.params["files"]] + list(self.params["secrets"]) + self.params["restart_on"]
        wanted = digest([self.params["content"], [str(read(f)) for f in files]])
        active = self.state("is-active") in ("active", "activating", "reloading")
        if active and (read(self.stamp) or b"").decode() == wanted:
            if self.params["wait"] and not self.check:
                self.wait()
            return
        # Without waiting: what the unit waits for may be another host, and ready says more than systemd.
        self.systemctl("restart" if active else "start", "--no-block", self.name)
        if not self.check:
            if self.params["wait"]:
                self.wait()
            write(self.stamp, wanted.encode(), 0o600)

    def wait(self) -> None:
        """Waits until the unit is up and its own check passes."""
        deadline = time.monotonic() + self.params["ready_seconds"]
        while not (self.state("is-active") == "active" and (not self.params["ready"] or succeeds(*self.params["ready"]))):
            if time.monotonic() > deadline:
                log = run("journalctl", "--unit", self.name, "--lines=4", "--output=cat", "--no-pager")
                raise Trouble(f"{self.name} is {self.state('is-active')} and not ready after {self.params['ready_seconds']} s: " + " | ".join(log.split("\n")))
            time.sleep(0.2)


def main() -> None:
    """Runs the module."""
    module = AnsibleModule(
        argument_spec=FILES_OPTIONS | STAGE_OPTION | {
            "name": {"type": "str", "required": True},
            "content": {"type": "str", "default": ""},
            "restart_on": {"type": "list", "elements": "path", "default": []},
            "ready": {"type": "list", "elements": "str", "default": []},
            "wait": {"type": "bool", "default": True},
            "ready_seconds": {"type": "int", "default": 90},
            "state": {"type": "str", "choices": ["started", "enabled"], "default": "started"},
        },
        supports_check_mode=True,
    )
    unit = Unit(module.params, module.check_mode)
    try:
        unit.present()
        if stamp(module.params["stage"], module.check_mode):
            unit.actions.append("stamp")
    except (Trouble, OSError) as e:
        module.fail_json(msg=str(e), actions=unit.actions)
    module.exit_json(changed=bool(unit.actions), actions=unit.actions, stage=module.params["stage"])


if __name__ == "__main__":
    main()
