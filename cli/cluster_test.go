package cli

import (
	"errors"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
)

const shopFile = `# a comment before
---
apiVersion: fleet.slipway.dev/v1alpha1
kind: ClusterDeployment
metadata: {name: books}
spec:
  kubernetes: {version: v1.36.3}
  etcd: {topology: Colocated}
  network: {plugin: flannel, podCIDRs: [10.244.0.0/16], serviceCIDRs: [10.96.0.0/16]}
  apiEndpoint: {type: Direct, name: api.books.example, port: 6443}
  controlPlane: {replicas: 1}
  workers: [{name: general, replicas: 1}]
`

func TestClusterCreate(t *testing.T) {
	transcript{
		golden:  "cluster_create",
		objects: smallFleet,
		files: map[string]string{
			"books.yaml": shopFile,
			"typo.yaml":  "apiVersion: fleet.slipway.dev/v1alpha1\nkind: ClusterDeployment\nmetadata: {name: books}\nspec:\n  workers: [{name: general, replica: 1}]\n  kubernets: {version: v1.36.3}\n",
			"two.yaml":   shopFile + "---\n" + shopFile, "empty.yaml": "# nothing\n", "other.yaml": "kind: Pod\napiVersion: v1\n", "text.yaml": "shop",
			"broken.yaml": "kind: [\n", "twice.yaml": shopFile + "  workers: []\n", "nameless.yaml": "apiVersion: fleet.slipway.dev/v1alpha1\nkind: ClusterDeployment\n",
		},
		steps: []step{
			{name: "says where to look", line: "cluster create books --workers 3"},
			{name: "shows what the defaults become and changes nothing", line: "cluster create books --etcd External --etcd-machines 3 --etcd-selector disk=nvme --dry-run -o yaml"},
			{name: "shows the same as JSON", line: "cluster create books --workers 0 --addons= --workers-selector pool=general --dry-run -o json"},
			{name: "says that a dry run changed nothing", line: "cluster create books --dry-run"},
			{name: "takes a file", line: "cluster create -f books.yaml"},
			{name: "takes standard input", line: "cluster create -f - -n harbor", stdin: shopFile},
			{name: "refuses a name that is not that of the file", line: "cluster create shop -f books.yaml"},
			{name: "names unknown fields with their paths", line: "cluster create -f typo.yaml"},
			{name: "refuses a field that is there twice", line: "cluster create -f twice.yaml"},
			{name: "refuses two clusters in a file", line: "cluster create -f two.yaml"},
			{name: "refuses a file without content", line: "cluster create -f empty.yaml"},
			{name: "refuses another kind", line: "cluster create -f other.yaml"},
			{name: "refuses what is no object", line: "cluster create -f text.yaml"},
			{name: "refuses what is no YAML", line: "cluster create -f broken.yaml"},
			{name: "refuses a cluster without a name", line: "cluster create -f nameless.yaml"},
			{name: "refuses a file that is not there", line: "cluster create -f missing.yaml"},
			{name: "refuses a directory", line: "cluster create -f ."},
			{name: "refuses a flag that the file decides", line: "cluster create -f books.yaml --workers 3"},
			{name: "refuses a cluster that is there", line: "cluster create shop"},
			{name: "refuses less than no workers", line: "cluster create books --workers -1"},
			{name: "refuses an etcd of two", line: "cluster create books --etcd External --etcd-machines 2"},
			{name: "refuses machines for a colocated etcd", line: "cluster create books --etcd-machines 3"},
			{name: "refuses a topology that there is not", line: "cluster create books --etcd external"},
			{name: "refuses a create without a name", line: "cluster create"},
		},
	}.test(t)
}

func TestClusterScale(t *testing.T) {
	two := shopDeployment()
	two.Name, two.Spec.Workers = "two", []v1alpha1.WorkerSet{{Name: "general", Replicas: ptr.To(int32(1))}, {Name: "disks"}}
	none := shopDeployment()
	none.Name, none.Spec.Workers = "none", nil
	transcript{
		golden:  "cluster_scale",
		objects: func() []client.Object { return append(smallFleet(), two.DeepCopy(), none.DeepCopy()) },
		steps: []step{
			{name: "says from what to what", line: "cluster scale shop --replicas 5"},
			{name: "changes nothing in a dry run", line: "cluster scale shop --replicas 5 --dry-run"},
			{name: "takes 0", line: "cluster scale shop --replicas 0"},
			{name: "scales one of two sets", line: "cluster scale two --workers disks --replicas 2"},
			{name: "asks which of two sets", line: "cluster scale two --replicas 2"},
			{name: "names the sets that there are", line: "cluster scale two --workers disk --replicas 2"},
			{name: "tells how to get a set where there is none", line: "cluster scale none --replicas 2"},
			{name: "refuses less than 0", line: "cluster scale shop --replicas -1"},
			{name: "refuses what is no number", line: "cluster scale shop --replicas five"},
			{name: "needs a number", line: "cluster scale shop"},
			{name: "refuses a cluster that there is not", line: "cluster scale shpo --replicas 5"},
			{name: "writes again when somebody else wrote meanwhile", line: "cluster scale shop --replicas 7", next: apierrors.NewConflict(
				schema.GroupResource{Group: v1alpha1.GroupVersion.Group, Resource: "clusterdeployments"}, "shop", errors.New("the object has been modified"))},
			{name: "passes on what the API server refuses", line: "cluster scale shop --replicas 5", next: apierrors.NewForbidden(
				schema.GroupResource{Group: v1alpha1.GroupVersion.Group, Resource: "clusterdeployments"}, "shop", errors.New("User \"guest\" cannot get resource"))},
		},
	}.test(t)
}

func TestClusterDelete(t *testing.T) {
	transcript{
		golden: "cluster_delete", objects: smallFleet,
		steps: []step{
			{name: "wants to be sure", line: "cluster delete shop"},
			{name: "deletes", line: "cluster delete shop --yes"},
			{name: "waits until the machines are back", line: "cluster delete shop --yes --wait --timeout 5s"},
			{name: "refuses a cluster that there is not", line: "cluster delete shpo --yes"},
		},
	}.test(t)
}

func TestClusterPlan(t *testing.T) {
	invalid := func() []client.Object {
		objects := smallFleet()
		d := objects[0].(*v1alpha1.ClusterDeployment)
		d.Status.Conditions[0] = condition(v1alpha1.ConditionSpecValid, "False", v1alpha1.ReasonInvalidSpec, "spec.network.podCIDRs[0]: overlaps with spec.network.serviceCIDRs[0]")
		return objects
	}
	steps := []step{
		{name: "shows what would be done", line: "cluster plan shop"},
		{name: "shows the plan of a file for a cluster that there is not", line: "cluster plan -f books.yaml"},
		{name: "shows the deployment and its plan", line: "cluster plan shop -o yaml"},
		{name: "refuses a cluster that there is not", line: "cluster plan shpo"},
		{name: "needs a name or a file", line: "cluster plan"},
	}
	t.Run("valid", func(t *testing.T) {
		transcript{golden: "cluster_plan", objects: smallFleet, files: map[string]string{"books.yaml": shopFile}, steps: steps}.test(t)
	})
	t.Run("invalid", func(t *testing.T) {
		transcript{golden: "cluster_plan_invalid", objects: invalid, steps: []step{{name: "says what holds it", line: "cluster plan shop"}}}.test(t)
	})
}

func kubeconfigSecret(data map[string][]byte) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "shop-kubeconfig"}, Data: data}
}

func TestClusterKubeconfig(t *testing.T) {
	kubeconfig := func(server string) []byte {
		return fmt.Appendf(nil, "apiVersion: v1\nkind: Config\ncurrent-context: shop\nclusters: [{name: shop, cluster: {server: %q}}]\ncontexts: [{name: shop, context: {cluster: shop}}]\n", server)
	}
	for name, c := range map[string]struct {
		secret *corev1.Secret
		steps  []step
	}{
		"unresolved": {kubeconfigSecret(map[string][]byte{"value": kubeconfig("https://api.shop.invalid:6443")}), []step{
			{name: "leads to a machine where the name does not resolve", line: "cluster kubeconfig shop"},
			{name: "writes a file", line: "cluster kubeconfig shop --output-file shop.kubeconfig"},
			{name: "refuses a place that there is not", line: "cluster kubeconfig shop --output-file missing/shop.kubeconfig"},
			{name: "refuses a cluster that there is not", line: "cluster kubeconfig shpo"},
		}},
		"resolved":   {kubeconfigSecret(map[string][]byte{"value": kubeconfig("https://localhost:6443")}), []step{{name: "keeps a name that resolves", line: "cluster kubeconfig shop"}}},
		"empty":      {kubeconfigSecret(nil), []step{{name: "refuses an empty Secret", line: "cluster kubeconfig shop"}}},
		"unreadable": {kubeconfigSecret(map[string][]byte{"value": []byte("[")}), []step{{name: "refuses a Secret that holds something else", line: "cluster kubeconfig shop"}}},
		"early":      {nil, []step{{name: "says when there will be one", line: "cluster kubeconfig shop"}}},
	} {
		t.Run(name, func(t *testing.T) {
			transcript{golden: "cluster_kubeconfig_" + name, steps: c.steps, objects: func() []client.Object {
				if c.secret == nil {
					return smallFleet()
				}
				return append(smallFleet(), c.secret.DeepCopy())
			}}.test(t)
		})
	}
}
