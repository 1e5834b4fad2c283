"""Module slipway_stage. See DOCUMENTATION."""

from __future__ import annotations

import os

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.slipway import STATE, digest, read, remove, write

DOCUMENTATION = """
module: slipway_stage
short_description: Stamp of a finished stage on a host
description:
  - A stage is one role on one host. Its stamp holds the digest of all that decides the result; a run skips a stage whose stamp matches.
  - Tokens and other values that change between runs do not belong into the digest.
options:
  name: {description: Name of the stage; with O(state=absent) C(*) means all., type: str, required: true}
  inputs: {description: All that decides the result., type: dict, default: {}}
  state:
    description: V(check) looks, V(done) writes the stamp, V(absent) forgets it.
    type: str
    choices: [check, done, absent]
    default: check
author: Slipway
"""

EXAMPLES = """
- name: Look for the stamp
  slipway_stage: {name: etcd, inputs: "{{ etcd_stage }}"}
  register: etcd_stamp
"""

RETURN = """
done: {description: The stamp is there and matches., type: bool, returned: always}
stage: {description: Name and digest of the stage., type: dict, returned: always}
"""


def forget(name: str, check: bool) -> bool:
    """Removes one stamp or all of them."""
    directory = os.path.join(STATE, "stages")
    names = os.listdir(directory) if name == "*" and os.path.isdir(directory) else [name]
    found = [n for n in names if os.path.exists(os.path.join(directory, n))]
    return bool(found) if check else any([remove(os.path.join(directory, n)) for n in found])


def main() -> None:
    """Runs the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "inputs": {"type": "dict", "default": {}},
            "state": {"type": "str", "choices": ["check", "done", "absent"], "default": "check"},
        },
        supports_check_mode=True,
    )
    name, state = module.params["name"], module.params["state"]
    if state == "absent":
        module.exit_json(changed=forget(name, module.check_mode), done=False, stage={"name": name})
    path, wanted = os.path.join(STATE, "stages", name), digest(module.params["inputs"])
    changed = False
    if state == "done":
        changed = write(path, (wanted + "\n").encode(), 0o600, module.check_mode)
    found = (read(path) or b"").decode().strip()
    module.exit_json(changed=changed, done=found == wanted, stage={"name": name, "digest": wanted})


if __name__ == "__main__":
    main()
