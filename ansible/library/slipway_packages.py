"""Module slipway_packages. See DOCUMENTATION."""

from __future__ import annotations

import shutil
import time

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.slipway import ENVIRONMENT, Trouble, run, succeeds
from ansible.module_utils.slipway_content import PACKAGE, Mirrors, delete_files, forget, install, record, recorded

DOCUMENTATION = """
module: slipway_packages
short_description: Distribution packages that a bare host lacks
description:
  - When a command is missing, fetches a content that holds Debian packages and installs those that the host does not have in any version.
  - Installs nothing from elsewhere and upgrades nothing. V(absent) purges what was installed here, as far as nothing else needs it by now.
options:
  name: {description: Name of the content., type: str, required: true}
  commands: {description: Commands that must be there; when all are nothing is done., type: list, elements: str, default: []}
  contents: {description: Digest and size of each content by name., type: dict, default: {}}
  mirrors: {description: Base URLs; tried in this order., type: list, elements: str, default: []}
  authority: {description: Certificate authority of the mirrors in PEM; empty for those that the host trusts., type: str, default: ""}
  state: {description: Whether the packages are to be there., type: str, choices: [present, absent], default: present}
author: Slipway
"""

EXAMPLES = """
- name: Install what a bare host lacks
  slipway_packages: {name: os-packages, commands: [nft], contents: "{{ slipway_bundle.contents }}", mirrors: "{{ slipway_mirrors }}"}
"""

RETURN = """
packages: {description: Names of the packages that were installed or purged., type: list, returned: always}
"""

# Another dpkg (unattended upgrades, for one) may hold the lock for a while.
LOCK_SECONDS = 180


def dpkg(*words: str) -> None:
    """Runs dpkg, waiting for its lock."""
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            run("dpkg", "--force-unsafe-io", *words, env={"DEBIAN_FRONTEND": "noninteractive"})
            return
        except Trouble as e:
            if "lock" not in str(e) or time.monotonic() > deadline:
                raise
        time.sleep(2)


def present_packages() -> set[str]:
    """Names of installed packages."""
    lines = run("dpkg-query", "--show", "--showformat", "${db:Status-Status} ${Package}\\n").splitlines()
    return {line.split(" ", 1)[1] for line in lines if line.startswith("installed ")}


def add(params: dict) -> list[str]:
    """Installs what is missing; names it."""
    if not shutil.which("dpkg"):
        raise Trouble("this host lacks " + ", ".join(lacking(params["commands"])) + " and is no Debian: install them first")
    content = params["contents"].get(params["name"])
    if content is None:
        raise Trouble(f"the bundle has no content {params['name']}")
    # Packages of an attempt that was cut off are ours already.
    ours = {line.removeprefix(PACKAGE) for line in recorded(params["name"])[1] if line.startswith(PACKAGE)}
    files = install(Mirrors(params["mirrors"], params["authority"]), params["name"], content["digest"], int(content["size"]))
    have = present_packages()
    fresh = {}
    for file in files:
        name = run("dpkg-deb", "--field", "/" + file, "Package").strip()
        if name not in have:
            fresh[name] = "/" + file
    record(params["name"], content["digest"], files + [PACKAGE + n for n in sorted(ours | set(fresh))])
    if fresh:
        dpkg("--install", *fresh.values())
    dpkg("--configure", "--pending")
    delete_files(files)
    record(params["name"], content["digest"], [PACKAGE + n for n in sorted(ours | set(fresh))])
    return sorted(fresh)


def take_away(name: str) -> list[str]:
    """Purges what was installed here, each package on its own terms; names it."""
    lines = recorded(name)[1]
    ours = {line.removeprefix(PACKAGE) for line in lines if line.startswith(PACKAGE)}
    left, gone = ours & present_packages() if ours else set(), []
    while left:
        # Those that others need come later, or stay when the others are not ours.
        now = [n for n in sorted(left) if succeeds("dpkg", "--force-unsafe-io", "--purge", n)]
        if not now:
            break
        gone += now
        left -= set(now)
    delete_files([line for line in lines if not line.startswith(PACKAGE)])
    forget(name)
    return gone


def unfinished(name: str) -> bool:
    """Tells whether an earlier attempt was cut off: the record names packages last of all, and until then also their files."""
    return any(not line.startswith(PACKAGE) for line in recorded(name)[1])


def lacking(commands: list[str]) -> list[str]:
    """Commands that are not there."""
    return [c for c in commands if not shutil.which(c, path=ENVIRONMENT["PATH"])]


def main() -> None:
    """Runs the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "commands": {"type": "list", "elements": "str", "default": []},
            "contents": {"type": "dict", "default": {}},
            "mirrors": {"type": "list", "elements": "str", "default": []},
            "authority": {"type": "str", "default": ""},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        supports_check_mode=True,
    )
    params = module.params
    absent = params["state"] == "absent"
    needed = bool(recorded(params["name"])[0]) if absent else bool(lacking(params["commands"])) or unfinished(params["name"])
    names = []
    try:
        if needed and not module.check_mode:
            names = take_away(params["name"]) if absent else add(params)
            # dpkg was told not to; only the file systems that it writes to, not those of all who share this kernel.
            run("sync", "--file-system", "/usr", "/etc", "/var/lib/dpkg")
    except (Trouble, OSError) as e:
        module.fail_json(msg=str(e))
    if not absent and not module.check_mode and lacking(params["commands"]):
        module.fail_json(msg="the packages of the bundle do not bring " + ", ".join(lacking(params["commands"])))
    module.exit_json(changed=needed, packages=names)


if __name__ == "__main__":
    main()
