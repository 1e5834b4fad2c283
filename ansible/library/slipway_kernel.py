"""Module slipway_kernel. See DOCUMENTATION."""

from __future__ import annotations

import os

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.slipway import Trouble, read, remove, run, write

DOCUMENTATION = """
module: slipway_kernel
short_description: Kernel modules and settings, now and after every boot
description:
  - Loads modules and sets sysctls, and writes both down for the next boot. V(absent) takes the notes away; the running kernel keeps its settings.
options:
  name: {description: Name of the files below C(/etc/modules-load.d) and C(/etc/sysctl.d)., type: str, required: true}
  modules: {description: Modules to load; one that is built in counts as loaded., type: list, elements: str, default: []}
  sysctls: {description: Settings by name., type: dict, default: {}}
  lenient: {description: Skip what this kernel or container does not let us load or set., type: bool, default: false}
  state: {description: Whether the settings are to be there., type: str, choices: [present, absent], default: present}
author: Slipway
"""

EXAMPLES = """
- name: Set the kernel up
  slipway_kernel: {name: 99-slipway, modules: [overlay], sysctls: {net.ipv4.ip_forward: "1"}}
"""

RETURN = """
set: {description: What was loaded, set or written., type: list, returned: always}
refused: {description: What this kernel refused, only with O(lenient=true)., type: list, returned: always}
"""


class Kernel:
    """Settings of the running kernel, and what was done to them."""

    def __init__(self, lenient: bool, check: bool):
        self.lenient, self.check = lenient, check
        self.set: list[str] = []
        self.refused: list[str] = []

    def load(self, module: str) -> None:
        """Loads a module unless it is there."""
        if os.path.isdir("/sys/module/" + module):
            return
        try:
            if not self.check:
                run("modprobe", module)
            self.set.append(module)
        except Trouble as e:
            self.refuse(module, e)

    def sysctl(self, name: str, value: str) -> None:
        """Sets one value unless it is so."""
        path = "/proc/sys/" + name.replace(".", "/")
        try:
            with open(path, encoding="ascii") as f:
                if f.read().split() == value.split():
                    return
            if not self.check:
                with open(path, "w", encoding="ascii") as f:
                    f.write(value)
            self.set.append(name)
        except OSError as e:
            self.refuse(name, e)

    def refuse(self, what: str, error: Exception) -> None:
        """Notes a refusal, or gives up."""
        if not self.lenient:
            raise Trouble(f"setting {what}: {error}")
        self.refused.append(what)

    def keep(self, path: str, lines: list[str]) -> None:
        """Writes a file for the next boot."""
        if write(path, ("\n".join(["# Slipway", *lines]) + "\n").encode(), 0o644, self.check):
            self.set.append(path)


def main() -> None:
    """Runs the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "modules": {"type": "list", "elements": "str", "default": []},
            "sysctls": {"type": "dict", "default": {}},
            "lenient": {"type": "bool", "default": False},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        supports_check_mode=True,
    )
    params = module.params
    files = [f"/etc/modules-load.d/{params['name']}.conf", f"/etc/sysctl.d/{params['name']}.conf"]
    if params["state"] == "absent":
        found = [f for f in files if read(f) is not None]
        gone = found if module.check_mode else [f for f in found if remove(f)]
        module.exit_json(changed=bool(gone), set=gone, refused=[])
    kernel = Kernel(params["lenient"], module.check_mode)
    try:
        for name in params["modules"]:
            kernel.load(name)
        for name, value in params["sysctls"].items():
            kernel.sysctl(name, str(value))
        kernel.keep(files[0], params["modules"])
        kernel.keep(files[1], [f"{n} = {v}" for n, v in params["sysctls"].items()])
    except (Trouble, OSError) as e:
        module.fail_json(msg=str(e))
    module.exit_json(changed=bool(kernel.set), set=kernel.set, refused=kernel.refused)


if __name__ == "__main__":
    main()
