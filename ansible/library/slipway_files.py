"""Module slipway_files. See DOCUMENTATION."""

from __future__ import annotations

import os
import shutil

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.slipway import FILES_OPTIONS, STAGE_OPTION, Trouble, place, remove, stamp

DOCUMENTATION = """
module: slipway_files
short_description: All configuration files of a role in one task
description:
  - Writes files in one step each and makes directories, removes files and directory trees. One task where twenty would be.
options:
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
  stage:
    description: Stage that is finished with this task; its stamp is written when all else is done.
    type: dict
    options:
      name: {description: Name of the stage., type: str, required: true}
      digest: {description: Digest of all that decides the result., type: str, required: true}
  absent: {description: Files and directory trees that are not to be there., type: list, elements: path, default: []}
author: Slipway
"""

EXAMPLES = """
- name: Configure
  slipway_files:
    directories: {/etc/etcd/pki: "0700"}
    files: [{path: /etc/etcd/etcd.yaml, content: "{{ lookup('template', 'etcd.yaml.j2') }}"}]
    secrets: "{{ etcd_files }}"
"""

RETURN = """
paths: {description: What was written or removed., type: list, returned: always}
"""


def delete(path: str, check: bool) -> bool:
    """Deletes a file or a tree; tells whether it was there."""
    if not os.path.lexists(path):
        return False
    if not check:
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            remove(path)
    return True


def apply(params: dict, check: bool) -> list[str]:
    """Does everything; names what was not so."""
    paths = place(params["files"], params["directories"], params["secrets"], check)
    return paths + [p for p in params["absent"] if delete(p, check)]


def main() -> None:
    """Runs the module."""
    module = AnsibleModule(
        argument_spec=FILES_OPTIONS | STAGE_OPTION | {"absent": {"type": "list", "elements": "path", "default": []}},
        supports_check_mode=True,
    )
    try:
        paths = apply(module.params, module.check_mode)
        stamped = stamp(module.params["stage"], module.check_mode)
    except (Trouble, OSError, LookupError) as e:
        module.fail_json(msg=f"writing files: {e}")
    module.exit_json(changed=bool(paths) or stamped, paths=paths, stage=module.params["stage"])


if __name__ == "__main__":
    main()
