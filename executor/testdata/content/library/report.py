"""Reports an output and a stage, as the content does."""

from ansible.module_utils.basic import AnsibleModule


def main():
    module = AnsibleModule(argument_spec={})
    module.exit_json(changed=True, slipway_outputs={"answer": {"value": 42}}, stage={"name": "s", "digest": "d", "done": True})


if __name__ == "__main__":
    main()
