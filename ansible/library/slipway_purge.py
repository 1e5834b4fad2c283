"""Module slipway_purge. See DOCUMENTATION."""

from __future__ import annotations

import fnmatch
import glob
import json
import os
import shutil
import signal
import time

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.slipway import STATE, Trouble, read, remove, run, succeeds
from ansible.module_utils.slipway_content import IMAGE, delete_files, forget, recorded

DOCUMENTATION = """
module: slipway_purge
short_description: Takes away what a component leaves in the running system
description:
  - Stops and removes units, ends processes, unmounts, removes network devices, routes, packet filter tables and paths, each named by patterns. In check mode it only tells what is there.
options:
  units: {description: Units to stop, disable and remove., type: list, elements: str, default: []}
  programs: {description: Paths of programs whose processes are killed., type: list, elements: path, default: []}
  cgroups: {description: Names of top-level cgroups whose processes are killed and that are removed in every hierarchy., type: list, elements: str, default: []}
  namespaces: {description: Patterns of named network namespaces., type: list, elements: str, default: []}
  mounts: {description: Directories below which everything is unmounted., type: list, elements: path, default: []}
  links: {description: Patterns of network devices., type: list, elements: str, default: []}
  network: {description: Range of addresses to which no route is to lead., type: str, default: ""}
  nft_tables: {description: Patterns of names of nftables tables., type: list, elements: str, default: []}
  chains: {description: Prefixes of chains in the tables of iptables; nothing to do where there is no iptables., type: list, elements: str, default: []}
  paths: {description: Patterns of files and directory trees., type: list, elements: path, default: []}
  contents: {description: Names of contents of the bundle whose files are removed., type: list, elements: str, default: []}
author: Slipway
"""

EXAMPLES = """
- name: Take away what kube-proxy left
  slipway_purge: {nft_tables: [kube-proxy], paths: [/var/lib/kube-proxy]}
"""

RETURN = """
remains: {description: What was found, as kind and name., type: list, returned: always}
"""

CGROUPS = "/sys/fs/cgroup"
NAMESPACES = "/run/netns"


class Purge:
    """What is found and, unless only checking, taken away."""

    def __init__(self, check: bool):
        self.check = check
        self.remains: list[str] = []

    def found(self, kind: str, name: str) -> bool:
        """Notes a find; tells whether to act."""
        self.remains.append(f"{kind} {name}")
        return not self.check

    def units(self, names: list[str]) -> None:
        """Stops, disables and removes units."""
        for name in names:
            unit, mark = f"/etc/systemd/system/{name}", os.path.join(STATE, "units", name)
            if not os.path.lexists(unit) and not os.path.exists(mark):
                continue
            if self.found("unit", name):
                succeeds("systemctl", "disable", "--quiet", "--now", name)
                remove(unit)
                remove(mark)
                run("systemctl", "daemon-reload")
                succeeds("systemctl", "reset-failed", name)

    def contents(self, names: list[str]) -> None:
        """Removes what was unpacked from a bundle."""
        for name in [n for n in names if recorded(n)[0]]:
            if self.found("content", name):
                delete_files([line for line in recorded(name)[1] if not line.startswith(IMAGE)])
                forget(name)

    def programs(self, paths: list[str]) -> None:
        """Kills all processes of programs."""
        self.kill([int(p) for p in os.listdir("/proc") if p.isdigit() and program(p) in paths])

    def kill(self, pids: list[int]) -> None:
        """Kills processes and waits until they are gone."""
        for pid in pids:
            if self.found("process", f"{pid} {program(str(pid))}"):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        deadline = time.monotonic() + 20
        while not self.check and (left := [p for p in pids if alive(p)]):
            if time.monotonic() > deadline:
                raise Trouble(f"processes {left} do not end")
            time.sleep(0.05)

    def cgroups(self, names: list[str]) -> None:
        """Kills what is in cgroups and removes them."""
        tops = [d for n in names for d in glob.glob(f"{CGROUPS}/{n}") + glob.glob(f"{CGROUPS}/*/{n}") if not os.path.islink(os.path.dirname(d))]
        trees = [directory for top in tops for directory, _, _ in os.walk(top, topdown=False)]
        self.kill(sorted({int(p) for d in trees for p in (read(d + "/cgroup.procs") or b"").split()}))
        for directory in trees:
            if self.found("cgroup", directory):
                remove_cgroup(directory)

    def namespaces(self, patterns: list[str]) -> None:
        """Removes named network namespaces, and with them their devices."""
        for name in matching(os.listdir(NAMESPACES) if os.path.isdir(NAMESPACES) else [], patterns):
            if self.found("namespace", name):
                delete_unless_gone(lambda: os.path.lexists(os.path.join(NAMESPACES, name)), "ip", "netns", "delete", name)
        if patterns and os.path.isdir(NAMESPACES) and not os.path.ismount(NAMESPACES) and not os.listdir(NAMESPACES):
            if self.found("directory", NAMESPACES):
                os.rmdir(NAMESPACES)

    def mounts(self, directories: list[str]) -> None:
        """Unmounts all below directories, the last mounted first."""
        with open("/proc/self/mounts", encoding="utf-8") as f:
            points = [line.split()[1].encode().decode("unicode_escape") for line in f]
        for point in reversed(points):
            if any(point == d or point.startswith(d.rstrip("/") + "/") for d in directories) and self.found("mount", point):
                delete_unless_gone(lambda: os.path.ismount(point), "umount", "--lazy", point)

    def links(self, patterns: list[str]) -> None:
        """Removes network devices."""
        for name in matching(os.listdir("/sys/class/net"), patterns) if patterns else []:
            # The other end of a pair may have gone with the first.
            if self.found("link", name) and os.path.exists("/sys/class/net/" + name):
                delete_unless_gone(lambda: os.path.exists("/sys/class/net/" + name), "ip", "link", "delete", name)

    def routes(self, network: str) -> None:
        """Removes routes into a range of addresses."""
        if not network:
            return
        for line in run("ip", "route", "show", "root", network).splitlines():
            if self.found("route", line.split(" ", 1)[0]):
                run("ip", "route", "delete", line.split(" ", 1)[0])

    def tables(self, patterns: list[str]) -> None:
        """Removes nftables tables."""
        if not patterns or not shutil.which("nft"):
            return
        for item in json.loads(run("nft", "--json", "list", "tables"))["nftables"]:
            table = item.get("table")
            if table and matching([table["name"]], patterns) and self.found("table", f"{table['family']} {table['name']}"):
                run("nft", "delete", "table", table["family"], table["name"])

    def chains(self, prefixes: list[str]) -> None:
        """Removes chains and all rules that name them, where iptables is in use."""
        for tool in ("iptables", "ip6tables") if prefixes else []:
            if not shutil.which(tool + "-save"):
                continue
            before = run(tool + "-save").splitlines()
            after = [line for line in before if not any(f":{p}" in line or f" {p}" in line for p in prefixes)]
            if before and len(after) < len(before) and self.found("chains", tool):
                run(tool + "-restore", data=("\n".join(after) + "\n").encode())

    def paths(self, patterns: list[str]) -> None:
        """Removes files and trees."""
        for path in [p for pattern in patterns for p in glob.glob(pattern)]:
            if self.found("path", path):
                if os.path.isdir(path) and not os.path.islink(path):
                    shutil.rmtree(path)
                else:
                    os.unlink(path)


def program(pid: str) -> str:
    """Path of the program of a process; empty for those of the kernel and for those that are gone."""
    try:
        return os.readlink(f"/proc/{pid}/exe").removesuffix(" (deleted)")
    except OSError:
        return ""


def delete_unless_gone(there, *command: str) -> None:
    """Runs a command that deletes something; that the runtime was faster is no trouble."""
    try:
        run(*command)
    except Trouble:
        if there():
            raise


def alive(pid: int) -> bool:
    """Tells whether a process runs; one that only waits for its parent does not."""
    stat = read(f"/proc/{pid}/stat")
    return stat is not None and stat.rpartition(b")")[2].split()[0] not in (b"Z", b"X")


def remove_cgroup(directory: str) -> None:
    """Removes an empty cgroup; the kernel may need a moment after the last process."""
    deadline = time.monotonic() + 10
    while os.path.isdir(directory):
        try:
            os.rmdir(directory)
        except OSError as e:
            if time.monotonic() > deadline:
                raise Trouble(f"removing cgroup {directory}: {e}") from e
            time.sleep(0.05)


def matching(names: list[str], patterns: list[str]) -> list[str]:
    """Names that match a pattern."""
    return sorted(n for n in names if any(fnmatch.fnmatchcase(n, p) for p in patterns))


def main() -> None:
    """Runs the module."""
    lists = ("units", "programs", "cgroups", "namespaces", "mounts", "links", "nft_tables", "chains", "paths", "contents")
    spec = {name: {"type": "list", "elements": "path" if name in ("programs", "mounts", "paths") else "str", "default": []} for name in lists}
    module = AnsibleModule(argument_spec=spec | {"network": {"type": "str", "default": ""}}, supports_check_mode=True)
    params, purge = module.params, Purge(module.check_mode)
    try:
        purge.units(params["units"])
        purge.programs(params["programs"])
        purge.cgroups(params["cgroups"])
        purge.namespaces(params["namespaces"])
        purge.mounts(params["mounts"])
        purge.links(params["links"])
        purge.routes(params["network"])
        purge.tables(params["nft_tables"])
        purge.chains(params["chains"])
        purge.paths(params["paths"])
        purge.contents(params["contents"])
    except (Trouble, OSError) as e:
        module.fail_json(msg=f"taking away: {e}", remains=purge.remains)
    module.exit_json(changed=bool(purge.remains), remains=purge.remains)


if __name__ == "__main__":
    main()
