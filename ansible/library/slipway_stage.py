"""Module slipway_stage. See DOCUMENTATION."""

from __future__ import annotations

import os

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.slipway import STATE, read, remove

DOCUMENTATION = """
module: slipway_stage
short_description: Stamps of finished stages on a host
description:
  - A stage is one role on one host. Its stamp holds the digest of all that decides the result; a run skips a stage whose stamp matches.
  - Tokens and other values that change between runs do not belong into the digest.
options:
  name: {description: Name of the stage; with O(state=absent) empty means all., type: str, default: ""}
  state:
    description: V(list) reads all stamps, V(absent) forgets them. The last task of a stage writes its stamp.
    type: str
    choices: [list, absent]
    default: list
author: Slipway
"""

EXAMPLES = """
- name: Read the stamps
  slipway_stage: {state: list}
  register: slipway_stages
"""

RETURN = """
stamps: {description: Digests by name of the stage., type: dict, returned: always}
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
            "state": {"type": "str", "choices": ["list", "absent"], "default": "list"},
        },
        supports_check_mode=True,
    )
    changed = module.params["state"] == "absent" and forget(module.params["name"], module.check_mode)
    module.exit_json(changed=changed, stamps=stamps())


if __name__ == "__main__":
    main()
