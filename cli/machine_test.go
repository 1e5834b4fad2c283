package cli

import (
	"errors"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
)

func TestMachineAdd(t *testing.T) {
	invalid := apierrors.NewInvalid(schema.GroupKind{Group: v1alpha1.GroupVersion.Group, Kind: "Machine"}, "n1",
		field.ErrorList{field.Invalid(field.NewPath("spec", "user"), "-x", "must match '^[a-z_][a-z0-9_-]*$'")})
	const machineFile = "apiVersion: fleet.slipway.dev/v1alpha1\nkind: Machine\nmetadata: {name: n1, labels: {pool: general}}\nspec: {address: 10.1.8.1, user: ops, sshKeySecretName: rack-key}\n"
	transcript{
		golden: "machine_add", objects: smallFleet,
		files: map[string]string{
			"key": testKey(t, ""), "locked": testKey(t, "secret"), "key.pub": "ssh-ed25519 AAAA test\n",
			"rack.csv":      "\ufeffname,address,port,user,key,bastion,site,failureDomain,label:pool\n# row 8\nn1,10.1.8.1,,,,,,r08,general\nn2,10.1.8.2,2222,ops,other-key,jump@10.1.7.2:2200,dc2,r08,\nidle1,10.1.7.21,,,,,,,\n",
			"bad.csv":       "name,address,port,bastion,label:pool\nn1,10.1.8.1,99999,,\nn1x,,,,\nn2,10.1.8.2\nN_3,10.1.8.3,,,\nn4,10.1.8.4,,jump@:0,\nn5,10.1.8.5,,,two words\n# a comment\nn6,10.1.8.6,,,\nn6,10.1.8.7,,,\n",
			"columns.csv":   "name,addr,port,port,label:\nn1,10.1.8.1,22,22,x\n",
			"semicolon.csv": "name;address\nn1;10.1.8.1\n", "empty.csv": "", "head.csv": "name,address\n", "quote.csv": "name,address\n\"n1,10.1.8.1\n",
			"machines.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: new-key}\ntype: kubernetes.io/ssh-auth\nstringData: {ssh-privatekey: " + testKeyBody(t) + "}\n---\n# only a comment\n---\n" + machineFile,
			"typo.yaml":     machineFile + "---\napiVersion: fleet.slipway.dev/v1alpha1\nkind: Machine\nmetadata: {name: n2}\nspec: {addr: 10.1.8.2}\n---\n" + machineFile,
			"secret.yaml":   "apiVersion: v1\nkind: Secret\nmetadata: {name: new-key}\nstringData: {ssh-privatekey: " + testKeyBody(t) + "}\n",
			"nokey.yaml":    "apiVersion: v1\nkind: Secret\ntype: kubernetes.io/ssh-auth\nmetadata: {name: new-key}\ndata: {id_rsa: " + testKeyBody(t)[:8] + "}\n",
			"base64.yaml":   "apiVersion: v1\nkind: Secret\ntype: kubernetes.io/ssh-auth\nmetadata: {name: new-key}\ndata: {ssh-privatekey: \"" + testKeyBody(t) + "%\"}\n",
			"pod.yaml":      "apiVersion: v1\nkind: Pod\n", "empty.yaml": "---\n", "list.txt": "name,address\nn1,10.1.8.1\n", "kindless.yaml": "metadata: {name: n1}\n",
		},
		steps: []step{
			{name: "adds one machine", line: "machine add n1 --address 10.1.8.1 --user ops --key rack-key -l pool=general,disk=nvme"},
			{name: "makes the Secret and shows no key", line: "machine add n1 --address 10.1.8.1 --key new-key --key-file key"},
			{name: "says that the Secret is missing", line: "machine add n1 --address 10.1.8.1"},
			{name: "shows what would be made, and no key", line: "machine add n1 --address 10.1.8.1 --key new-key --key-file key --bastion jump@[fd00::1]:22 --dry-run -o yaml"},
			{name: "adds a file of CSV; what a line leaves open comes from the flags", line: "machine add -f rack.csv --key rack-key --user ops -l disk=nvme --dry-run -o yaml"},
			{name: "leaves alone what is there, and names the keys that are missing", line: "machine add -f rack.csv --key rack-key"},
			{name: "adds a file of YAML, Secrets first", line: "machine add -f machines.yaml -n harbor"},
			{name: "shows a file of YAML as JSON without its Secrets", line: "machine add -f machines.yaml --dry-run -o json"},
			{name: "names every line that is wrong", line: "machine add -f bad.csv"},
			{name: "names every column that is wrong, once", line: "machine add -f columns.csv"},
			{name: "refuses another separator", line: "machine add -f semicolon.csv"},
			{name: "refuses an empty file", line: "machine add -f empty.csv"},
			{name: "refuses a file without machines", line: "machine add -f head.csv"},
			{name: "refuses a quote without end", line: "machine add -f quote.csv"},
			{name: "names every document that is wrong", line: "machine add -f typo.yaml"},
			{name: "refuses a Secret that is not for SSH", line: "machine add -f secret.yaml"},
			{name: "refuses a Secret without a key", line: "machine add -f nokey.yaml"},
			{name: "refuses a key that is not base64 and shows none of it", line: "machine add -f base64.yaml"},
			{name: "refuses another kind", line: "machine add -f pod.yaml"},
			{name: "refuses YAML without anything", line: "machine add -f empty.yaml"},
			{name: "refuses an object without a kind", line: "machine add -f kindless.yaml"},
			{name: "refuses CSV in a file of another name", line: "machine add -f list.txt"},
			{name: "refuses a file that is not there", line: "machine add -f missing.csv"},
			{name: "refuses a key that is not there", line: "machine add n1 --address 10.1.8.1 --key-file missing"},
			{name: "refuses a public key", line: "machine add n1 --address 10.1.8.1 --key-file key.pub"},
			{name: "refuses a key with a passphrase", line: "machine add n1 --address 10.1.8.1 --key-file locked"},
			{name: "refuses a bastion that is none", line: "machine add n1 --address 10.1.8.1 --bastion jump@"},
			{name: "refuses a bastion whose port is none", line: "machine add n1 --address 10.1.8.1 --bastion jump@10.1.7.2:ssh"},
			{name: "refuses flags that a YAML file decides", line: "machine add -f machines.yaml --user ops"},
			{name: "refuses an address beside CSV", line: "machine add -f rack.csv --address 10.1.8.1"},
			{name: "refuses a name beside a file", line: "machine add n1 -f rack.csv"},
			{name: "needs an address", line: "machine add n1"},
			{name: "passes on what the API server refuses, and adds the rest", line: "machine add -f rack.csv --key rack-key", next: invalid},
		},
	}.test(t)
}

func TestMachineCommands(t *testing.T) {
	transcript{
		golden: "machine", objects: smallFleet,
		steps: []step{
			{name: "lists the pool", line: "machine list"},
			{name: "lists more of it", line: "machine list -o wide"},
			{name: "says that there is nothing", line: "machine list -n harbor"},
			{name: "prints an empty list for programs", line: "machine list -n harbor -o json"},
			{name: "inspects a machine at work", line: "machine inspect w1"},
			{name: "inspects one that is ill", line: "machine inspect w3"},
			{name: "asks for another look at the host", line: "machine inspect idle1 --again"},
			{name: "inspects one behind a bastion, in quarantine", line: "machine inspect noisy"},
			{name: "prints it whole", line: "machine inspect noisy -o yaml"},
			{name: "refuses a machine that there is not", line: "machine inspect w9"},
			{name: "refuses a format that there is not", line: "machine list -o xml"},
			{name: "keeps a machine out of the pool", line: "machine quarantine idle1 --reason", more: []string{"fan is loud"}},
			{name: "takes it back", line: "machine release noisy"},
			{name: "takes back a host that was reinstalled", line: "machine release noisy --accept-new-host-key"},
			{name: "refuses to keep out what there is not", line: "machine quarantine w9"},
			{name: "refuses to take back what there is not", line: "machine release w9 -n harbor"},
			{name: "needs a name", line: "machine inspect"},
			{name: "passes on that the API server is ill", line: "machine list", next: errors.New("etcdserver: request timed out")},
		},
	}.test(t)
}

func TestMachineListForPrograms(t *testing.T) {
	transcript{
		golden: "machine_list_json", steps: []step{{name: "has the kind on the list and on every item, and no managedFields", line: "machine list -o json"}},
		objects: func() []client.Object {
			m := machine("idle1", "10.1.7.21", v1alpha1.MachineIdle)
			m.Status.Facts = nil
			return []client.Object{m}
		},
	}.test(t)
}
