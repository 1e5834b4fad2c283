"""Module slipway_apply. See DOCUMENTATION."""

from __future__ import annotations

import json
import time

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.slipway import STAGE_OPTION, Trouble, digest, run, stamp

DOCUMENTATION = """
module: slipway_apply
short_description: Server-side apply of manifests
description:
  - Applies a YAML stream with kubectl and says whether an object became another one by that, judged by resource versions.
options:
  manifest: {description: YAML stream of objects., type: str, required: true}
  kubeconfig: {description: Path of a kubeconfig on the host., type: path, default: /etc/kubernetes/admin.conf}
  retries: {description: How often a refusal is tried again one second later., type: int, default: 10}
  stage:
    description: Stage that is finished with this task; its stamp is written when all else is done.
    type: dict
    options:
      name: {description: Name of the stage., type: str, required: true}
      digest: {description: Digest of all that decides the result., type: str, required: true}
author: Slipway
"""

EXAMPLES = """
- name: Apply the addon
  slipway_apply: {manifest: "{{ addon.yaml }}"}
"""

RETURN = """
objects: {description: Objects that were made or became others., type: list, returned: always}
"""


def kubectl(kubeconfig: str, manifest: str, *words: str) -> dict[str, str]:
    """Digest of every object of a manifest by kind and name, without what others write while we look: its status and its version."""
    output = run("kubectl", "--kubeconfig", kubeconfig, *words, "--filename=-", "--output=json", data=manifest.encode())
    found, decoder = {}, json.JSONDecoder()
    # kubectl prints one object after the other, or a list.
    while output := output.strip():
        value, end = decoder.raw_decode(output)
        for item in value.get("items", [value]) if value.get("kind") == "List" else [value]:
            meta = item["metadata"]
            name = "/".join(filter(None, [item["kind"], meta.get("namespace"), meta["name"]]))
            item.pop("status", None)
            for field in ("resourceVersion", "managedFields"):
                meta.pop(field, None)
            found[name] = digest(item)
        output = output[end:]
    return found


def apply(params: dict, check: bool) -> list[str]:
    """Applies; names what became another."""
    try:
        before = kubectl(params["kubeconfig"], params["manifest"], "get", "--ignore-not-found")
    except Trouble:
        before = {}  # a kind or a namespace that the manifest itself brings
    words = ["apply", "--server-side", "--force-conflicts", "--field-manager=slipway", *(["--dry-run=server"] if check else [])]
    after = kubectl(params["kubeconfig"], params["manifest"], *words)
    return sorted(n for n, one in after.items() if before.get(n) != one)


def main() -> None:
    """Runs the module."""
    module = AnsibleModule(
        argument_spec=STAGE_OPTION | {
            "manifest": {"type": "str", "required": True},
            "kubeconfig": {"type": "path", "default": "/etc/kubernetes/admin.conf"},
            "retries": {"type": "int", "default": 10},
        },
        supports_check_mode=True,
    )
    for left in range(module.params["retries"], -1, -1):
        try:
            objects = apply(module.params, module.check_mode)
            break
        except Trouble as e:
            if left == 0:
                module.fail_json(msg=str(e))
        time.sleep(1)
    stamped = stamp(module.params["stage"], module.check_mode)
    module.exit_json(changed=bool(objects) or stamped, objects=objects, stage=module.params["stage"])


if __name__ == "__main__":
    main()
