package cli

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
)

// defaultMachine is what the flags of machine add leave.
func defaultMachine() v1alpha1.Machine {
	return v1alpha1.Machine{ObjectMeta: metav1.ObjectMeta{Namespace: "default"}, Spec: v1alpha1.MachineSpec{Port: 22, User: "root", SSHKeySecretName: "ssh-key"}}
}

func FuzzMachinesFromCSV(f *testing.F) {
	for _, seed := range []string{
		"name,address\nn1,10.1.8.1\n", "\ufeffname,address,port,user,key,bastion,site,failureDomain,label:pool\nn1,10.1.8.1,2222,ops,k,jump@[fd00::1]:22,dc1,r08,general\n",
		"name,address\n# comment\n\"n\n1\",10.1.8.1\n", "name,address,name\n", "address\n", "name,address\nn1\nn1,a,b\n", "name,address\nn1,\x00\n", "name,address\r\nn1,fd00::1\r\n",
		"label:a/b/c,name,address\nx,n1,a\n", "name,address\nn1,\xff\n", "name,address,bastion\nn1,a,@\nn2,a,::\nn3,a,[\n", "\"", ",\n,\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		objects, err := machinesFromCSV(text, defaultMachine())
		if err != nil {
			return
		}
		if len(objects) == 0 {
			t.Error("no machine and no error")
		}
		names := map[string]bool{}
		for _, o := range objects {
			m := o.(*v1alpha1.Machine)
			if names[m.Name] || len(validation.IsDNS1123Subdomain(m.Name)) > 0 || m.Spec.Address == "" || m.Spec.Port < 1 || m.Spec.Port > 65535 || m.Spec.User == "" {
				t.Errorf("kept %+v", m)
			}
			if b := m.Spec.Bastion; b != nil && (b.Address == "" || b.User == "" || b.Port < 1) {
				t.Errorf("kept the bastion %+v", b)
			}
			names[m.Name] = true
		}
		readAgain(t, objects)
	})
}

func FuzzMachinesFromYAML(f *testing.F) {
	const machine = "apiVersion: fleet.slipway.dev/v1alpha1\nkind: Machine\nmetadata: {name: n1}\nspec: {address: 10.1.8.1, sshKeySecretName: k}\n"
	for _, seed := range []string{
		machine, machine + "---\n" + machine, "---\n# nothing\n---\n" + machine, "apiVersion: v1\nkind: Secret\ntype: kubernetes.io/ssh-auth\nmetadata: {name: k}\ndata: {ssh-privatekey: YQ==}\n",
		"apiVersion: v1\nkind: Secret\ntype: Opaque\nmetadata: {name: k}\nstringData: {ssh-privatekey: a}\n", "apiVersion: v1\nkind: Secret\ndata: {ssh-privatekey: \"%\"}\n",
		"kind: [Machine]\n", "kind: 1\n", "null", "- a", "a: &a [*a]\n", "a: &a [1,1]\nb: &b [*a,*a]\nkind: &c [*b,*b]\n", "{\"kind\":\"Machine\",\"kind\":\"Secret\"}", "kind: Machine\nKind: Secret\n", "\x00", "--- --- ---",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		objects, err := machinesFromYAML(text, "default")
		if err != nil {
			return
		}
		var machines []client.Object
		for _, o := range objects {
			if o.GetName() == "" || o.GetNamespace() == "" {
				t.Errorf("kept %+v", o)
			}
			if s, ok := o.(*corev1.Secret); ok {
				if s.Type != corev1.SecretTypeSSHAuth || len(machines) > 0 {
					t.Errorf("kept a Secret of type %q behind %d machines", s.Type, len(machines))
				}
				continue
			}
			machines = append(machines, o)
		}
		readAgain(t, machines)
	})
}

// readAgain wants that what -o yaml prints is read as the same.
func readAgain(t *testing.T, objects []client.Object) {
	t.Helper()
	if len(objects) == 0 {
		return
	}
	var printed bytes.Buffer
	if err := printManifests(&printed, "yaml", objects); err != nil {
		t.Fatal(err)
	}
	again, err := machinesFromYAML(printed.Bytes(), "default")
	if err != nil {
		t.Fatalf("what was printed cannot be read: %v\n%s", err, &printed)
	}
	if diff := cmp.Diff(objects, again, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("what was printed is read as something else: %s", diff)
	}
}

func FuzzParseDeployment(f *testing.F) {
	for _, seed := range []string{
		shopFile, shopFile + "---\n" + shopFile, "kind: ClusterDeployment\napiVersion: fleet.slipway.dev/v1alpha1\nmetadata: {name: a}\nspec: {workers: [{replicas: 99999999999}]}\n",
		"kind: ClusterDeployment\napiVersion: fleet.slipway.dev/v1alpha1\nmetadata: {name: a}\nspec: {kubernetes: {componentConfigs: {kubelet: {a: [{}, 1.0, null, !!binary YQ==]}}}}\n",
		"kind: ClusterDeployment\napiVersion: fleet.slipway.dev/v1alpha1\nmetadata: {name: a}\nspec: {addons: [{values: 1}]}\n", "kind: Pod\napiVersion: v1\n", "", "#", "{", "a: &a [*a]", "\xff",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := parseDeployment(text)
		if err != nil {
			return
		}
		var printed bytes.Buffer
		if err := printObject(&printed, "yaml", cleaned(d)); err != nil {
			t.Fatal(err)
		}
		again, err := parseDeployment(printed.Bytes())
		if err != nil {
			t.Fatalf("what was printed cannot be read: %v\n%s", err, &printed)
		}
		if diff := cmp.Diff(cleaned(d), cleaned(again), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("what was printed is read as something else: %s", diff)
		}
	})
}

func FuzzParseBastion(f *testing.F) {
	for _, seed := range []string{"jump@10.1.7.2:22", "10.1.7.2", "fd00::1", "[fd00::1]", "jump@[fd00::1]:2222", "@", ":", "a@b@c:1", "[::1]:99999", "[a:1", "host:+22"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		b, err := parseBastion(s)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "bastion ") {
				t.Errorf("the error does not name the bastion: %v", err)
			}
			return
		}
		if b.Address == "" || b.User == "" || b.Port < 1 || b.Port > 65535 || strings.ContainsAny(b.Address, "[]") {
			t.Errorf("%q is read as %+v", s, b)
		}
	})
}

func TestParseBastion(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want *v1alpha1.Bastion
	}{
		"takes all three":                     {"jump@10.1.7.2:2222", &v1alpha1.Bastion{User: "jump", Address: "10.1.7.2", Port: 2222}},
		"is root at port 22 else":             {"gate.example", &v1alpha1.Bastion{User: "root", Address: "gate.example", Port: 22}},
		"takes an IPv6 address":               {"jump@fd00::1", &v1alpha1.Bastion{User: "jump", Address: "fd00::1", Port: 22}},
		"takes an IPv6 address in brackets":   {"[fd00::1]", &v1alpha1.Bastion{User: "root", Address: "fd00::1", Port: 22}},
		"takes an IPv6 address with its port": {"jump@[fd00::1]:2222", &v1alpha1.Bastion{User: "jump", Address: "fd00::1", Port: 2222}},
		"refuses a port that is none":         {"gate.example:ssh", nil},
		"refuses a sign before the port":      {"gate.example:+22", nil},
		"refuses half a bracket":              {"[fd00::1", nil},
		"refuses brackets around a name":      {"[gate.example]", nil},
		"refuses nobody":                      {"@gate.example", nil},
		"refuses nowhere":                     {"jump@", nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseBastion(c.text)
			if diff := cmp.Diff(c.want, got); diff != "" || (err == nil) != (c.want != nil) {
				t.Errorf("%v\n%s", err, diff)
			}
		})
	}
}
