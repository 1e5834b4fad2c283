"""Module slipway_images. See DOCUMENTATION."""

from __future__ import annotations

import json
import tarfile
from concurrent.futures import ThreadPoolExecutor

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.slipway import Trouble, run
from ansible.module_utils.slipway_content import IMAGE, ROOT, Mirrors, delete_files, install, record, recorded

DOCUMENTATION = """
module: slipway_images
short_description: Container images of a bundle in containerd
description:
  - Fetches contents that hold image archives, imports all images at once, pins them against the kubelet's garbage collection, and deletes the archives.
options:
  names: {description: Names of contents., type: list, elements: str, required: true}
  contents: {description: Digest and size of each content by name., type: dict, default: {}}
  mirrors: {description: Base URLs; tried in this order., type: list, elements: str, default: []}
  authority: {description: Certificate authority of the mirrors in PEM; empty for those that the host trusts., type: str, default: ""}
author: Slipway
"""

EXAMPLES = """
- name: Import the images
  slipway_images: {names: [images-node], contents: "{{ slipway_bundle.contents }}", mirrors: "{{ slipway_mirrors }}"}
"""

RETURN = """
imported: {description: References of the images that were imported., type: list, returned: always}
"""

CTR = ("ctr", "--namespace", "k8s.io")


def references(archive: str) -> list[str]:
    """References that a docker archive holds."""
    with tarfile.open(archive) as f:
        manifest = json.load(f.extractfile("manifest.json"))
    return [tag for image in manifest for tag in image["RepoTags"]]


def import_one(archive: str) -> list[str]:
    """Imports one archive and pins its images."""
    # The archive is on this host: streaming it through the transfer service takes twice as long.
    run(*CTR, "images", "import", "--local", "--label", "io.cri-containerd.pinned=pinned", archive)
    return references(archive)


def missing(names: list[str], contents: dict) -> list[str]:
    """Names of contents whose images are not all in containerd."""
    unknown = [n for n in names if n not in contents]
    if unknown:
        raise Trouble(f"the bundle has no content {', '.join(unknown)}; it has {', '.join(sorted(contents))}")
    present = set(run(*CTR, "images", "list", "--quiet").split())
    return [n for n in names if not holds(recorded(n), contents[n]["digest"], present)]


def holds(known: tuple[str, list[str]], digest: str, present: set[str]) -> bool:
    """Tells whether a record is of this digest and all its images are present."""
    return known[0] == digest and all(line.removeprefix(IMAGE) in present for line in known[1])


def bring(name: str, content: dict, mirrors: Mirrors) -> list[str]:
    """Fetches and imports the images of one content; the record keeps their names instead of files."""
    for last in (False, True):
        files = install(mirrors, name, content["digest"], int(content["size"]), transient=True)
        try:
            with ThreadPoolExecutor(4) as pool:
                found = sum(pool.map(import_one, [ROOT + f for f in files]), [])
            break
        except (Trouble, OSError, tarfile.TarError, KeyError, ValueError):
            # A power cut may have left less of the archives than their record says: they are fetched anew, once.
            record(name, "incomplete", files)
            if last:
                raise
    # Unpacked layers are not synced by containerd, and the record must not outlive them.
    run("sync", "--file-system", "/var/lib/containerd")
    record(name, content["digest"], [IMAGE + reference for reference in found])
    delete_files(files)
    return found


def main() -> None:
    """Runs the module."""
    module = AnsibleModule(
        argument_spec={
            "names": {"type": "list", "elements": "str", "required": True},
            "contents": {"type": "dict", "default": {}},
            "mirrors": {"type": "list", "elements": "str", "default": []},
            "authority": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    params, imported = module.params, []
    try:
        wanted = missing(params["names"], params["contents"])
        if wanted and not module.check_mode:
            mirrors = Mirrors(params["mirrors"], params["authority"])
            for name in wanted:
                imported += bring(name, params["contents"][name], mirrors)
    except (Trouble, OSError, tarfile.TarError, KeyError, ValueError) as e:
        module.fail_json(msg=str(e))
    module.exit_json(changed=bool(wanted), imported=imported)


if __name__ == "__main__":
    main()
