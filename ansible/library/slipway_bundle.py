"""Module slipway_bundle. See DOCUMENTATION."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.slipway import Trouble
from ansible.module_utils.slipway_content import Mirrors, check_room, install, is_there

DOCUMENTATION = """
module: slipway_bundle
short_description: Files of a bundle on a host
description:
  - Fetches contents of a bundle by digest from mirrors, several at once, goes on where an earlier attempt was cut off, checks and unpacks them.
  - Every file is recorded, so that M(slipway_purge) removes exactly what was placed.
options:
  names: {description: Names of contents., type: list, elements: str, required: true}
  contents: {description: Digest and size of each content by name., type: dict, default: {}}
  transient:
    description: Those of the names whose files another task reads once and deletes; they are not synced.
    type: list
    elements: str
    default: []
  mirrors: {description: Base URLs; tried in this order., type: list, elements: str, default: []}
  authority: {description: Certificate authority of the mirrors in PEM; empty for those that the host trusts., type: str, default: ""}
author: Slipway
"""

EXAMPLES = """
- name: Place the programs
  slipway_bundle: {names: [etcd], contents: "{{ slipway_bundle.contents }}", mirrors: "{{ slipway_mirrors }}"}
"""

RETURN = """
fetched: {description: Names of contents that were placed., type: list, returned: always}
"""


AT_ONCE = 3


def place(params: dict, check: bool) -> list[str]:
    """Places what is missing; names it."""
    contents = params["contents"]
    unknown = [n for n in params["names"] if n not in contents]
    if unknown:
        raise Trouble(f"the bundle has no content {', '.join(unknown)}; it has {', '.join(sorted(contents))}")
    missing = [n for n in params["names"] if not is_there(n, contents[n]["digest"])]
    if missing and not check:
        check_room(sum(int(contents[n]["size"]) for n in missing))
        mirrors = Mirrors(params["mirrors"], params["authority"])
        with ThreadPoolExecutor(AT_ONCE) as pool:
            # The largest first: it decides how long all of them take.
            largest = sorted(missing, key=lambda n: -int(contents[n]["size"]))
            list(pool.map(lambda n: install(mirrors, n, contents[n]["digest"], int(contents[n]["size"]), n in params["transient"]), largest))
    return missing


def main() -> None:
    """Runs the module."""
    module = AnsibleModule(
        argument_spec={
            "names": {"type": "list", "elements": "str", "required": True},
            "contents": {"type": "dict", "default": {}},
            "transient": {"type": "list", "elements": "str", "default": []},
            "mirrors": {"type": "list", "elements": "str", "default": []},
            "authority": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    try:
        names = place(module.params, module.check_mode)
    except (Trouble, OSError) as e:
        module.fail_json(msg=str(e))
    module.exit_json(changed=bool(names), fetched=names)


if __name__ == "__main__":
    main()
