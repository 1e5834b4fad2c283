"""Module slipway_stage. See DOCUMENTATION."""

from __future__ import annotations

import os

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.slipway import STATE, read, remove, write

DOCUMENTATION = """
module: slipway_stage
short_description: Stamps of finished stages on a host
description:
  - A stage is one role on one host. Its stamp holds the digest of all that decides the result; a run skips a stage whose stamp matches.
  - Tokens and other values that change between runs do not belong into the digest.
options:
  name: {description: Name of the stage; with O(state=absent) empty means all., type: str, default: ""}
  digest: {description: Digest of all that decides the result., type: str, default: ""}
  state:
    description: V(list) reads all stamps, V(done) writes one, V(absent) forgets it.
    type: str
    choices: [list, done, absent]
    default: list
author: Slipway
"""

EXAMPLES = """
- name: Read the stamps
  slipway_stage: {state: list}
  register: slipway_stages

- name: Stamp the stage
  slipway_stage: {name: etcd, digest: "{{ etcd_digest }}", state: done}
"""

RETURN = """
stamps: {description: Digests by name of the stage., type: dict, returned: always}
stage: {description: Name and digest of the stage that was stamped., type: dict, returned: with state done}
"""

STAGES = os.path.join(STATE, "stages")


def stamps() -> dict[str, str]:
    """Digests by name."""
    names = sorted(os.listdir(STAGES)) if os.path.isdir(STAGES) else []
    return {name: (read(os.path.join(STAGES, name)) or b"").decode().strip() for name in names if not name.startswith(".")}


def forget(name: str, check: bool) -> bool:
    """Removes one stamp or all of them; tells whether there was one."""
    found = [n for n in stamps() if name in ("", n)]
    return bool(found) if check else any([remove(os.path.join(STAGES, n)) for n in found])


def main() -> None:
    """Runs the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "default": ""},
            "digest": {"type": "str", "default": ""},
            "state": {"type": "str", "choices": ["list", "done", "absent"], "default": "list"},
        },
        required_if=[("state", "done", ("name", "digest"))],
        supports_check_mode=True,
    )
    name, digest, state = (module.params[key] for key in ("name", "digest", "state"))
    result = {"changed": False}
    if state == "absent":
        result["changed"] = forget(name, module.check_mode)
    elif state == "done":
        result["changed"] = write(os.path.join(STAGES, name), (digest + "\n").encode(), 0o600, module.check_mode)
        result["stage"] = {"name": name, "digest": digest}
    module.exit_json(stamps=stamps(), **result)


if __name__ == "__main__":
    main()
