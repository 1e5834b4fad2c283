"""Module slipway_system. See DOCUMENTATION."""

from __future__ import annotations

import errno
import os

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.slipway import STAGE_OPTION, Trouble, read, remove, run, stamp, write

DOCUMENTATION = """
module: slipway_system
short_description: Kernel modules and settings, now and after every boot, and names of hosts
description:
  - Loads modules and sets sysctls, and writes both down for the next boot. V(absent) takes the notes away; the running kernel keeps its settings.
  - Keeps lines of its own in C(/etc/hosts), between two marks.
options:
  name: {description: Name of the files below C(/etc/modules-load.d) and C(/etc/sysctl.d)., type: str, required: true}
  modules: {description: Modules to load; one that is built in counts as loaded., type: list, elements: str, default: []}
  sysctls: {description: Settings by name., type: dict, default: {}}
  hosts: {description: Lines between two marks of Slipway in C(/etc/hosts); without any the marks go as well., type: str, default: ""}
  lenient: {description: Skip what this kernel or container does not let us load or set., type: bool, default: false}
  state: {description: Whether the settings are to be there., type: str, choices: [present, absent], default: present}
  stage:
    description: Stage that is finished with this task; its stamp is written when all else is done.
    type: dict
    options:
      name: {description: Name of the stage., type: str, required: true}
      digest: {description: Digest of all that decides the result., type: str, required: true}
author: Slipway
"""

EXAMPLES = """
- name: Set the system up
  slipway_system: {name: 99-slipway, modules: [overlay], sysctls: {net.ipv4.ip_forward: "1"}}
"""

RETURN = """
set: {description: What was loaded, set or written., type: list, returned: always}
refused: {description: What this kernel refused, only with O(lenient=true)., type: list, returned: always}
"""


HOSTS = "/etc/hosts"
BEGIN, END = "# begin slipway", "# end slipway"


def put_block(path: str, block: str, check: bool) -> bool:
    """Makes the marked part of a file be this block; tells whether it was not."""
    before = read(path) or b""
    lines = before.decode().splitlines()
    if BEGIN in lines and END in lines:
        lines[lines.index(BEGIN):lines.index(END) + 1] = []
    wanted = lines + ([BEGIN, *block.strip().splitlines(), END] if block.strip() else [])
    content = ("\n".join(wanted) + "\n").encode() if wanted else b""
    if content == before:
        return False
    if not check:
        try:
            write(path, content, os.stat(path).st_mode & 0o7777 if before else 0o644)
        except OSError as e:
            if e.errno != errno.EBUSY:
                raise
            # Such a file may be a mount of its own; then it cannot be replaced.
            with open(path, "wb") as f:
                f.write(content)
    return True


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


def files(name: str) -> list[str]:
    """Files of the next boot: modules, then settings."""
    return [f"/etc/modules-load.d/{name}.conf", f"/etc/sysctl.d/{name}.conf"]


def take_away(params: dict, check: bool) -> dict:
    """Removes the files and the lines; tells what was there."""
    found = [f for f in files(params["name"]) if read(f) is not None]
    gone = found if check else [f for f in found if remove(f)]
    if put_block(HOSTS, "", check):
        gone.append(HOSTS)
    return {"changed": bool(gone), "set": gone, "refused": []}


def set_up(params: dict, check: bool) -> dict:
    """Does everything; tells what was not so."""
    kernel = Kernel(params["lenient"], check)
    for name in params["modules"]:
        kernel.load(name)
    for name, value in params["sysctls"].items():
        kernel.sysctl(name, str(value))
    modules, settings = files(params["name"])
    kernel.keep(modules, params["modules"])
    kernel.keep(settings, [f"{n} = {v}" for n, v in params["sysctls"].items()])
    if put_block(HOSTS, params["hosts"], check):
        kernel.set.append(HOSTS)
    stamped = stamp(params["stage"], check)
    return {"changed": bool(kernel.set) or stamped, "set": kernel.set, "refused": kernel.refused}


def main() -> None:
    """Runs the module."""
    module = AnsibleModule(
        argument_spec=STAGE_OPTION | {
            "name": {"type": "str", "required": True},
            "modules": {"type": "list", "elements": "str", "default": []},
            "sysctls": {"type": "dict", "default": {}},
            "hosts": {"type": "str", "default": ""},
            "lenient": {"type": "bool", "default": False},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        supports_check_mode=True,
    )
    try:
        result = take_away(module.params, module.check_mode) if module.params["state"] == "absent" else set_up(module.params, module.check_mode)
    except (Trouble, OSError, LookupError) as e:
        module.fail_json(msg=str(e))
    module.exit_json(stage=module.params["stage"], **result)


if __name__ == "__main__":
    main()
