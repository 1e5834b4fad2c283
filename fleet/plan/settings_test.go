package plan

import (
	"testing"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"k8s.io/apimachinery/pkg/runtime"
)

func TestSettingsDigest(t *testing.T) {
	kubelet := func(text string) v1alpha1.ClusterDeploymentSpec {
		return v1alpha1.ClusterDeploymentSpec{Kubernetes: v1alpha1.Kubernetes{ComponentConfigs: &v1alpha1.ComponentConfigs{Kubelet: &runtime.RawExtension{Raw: []byte(text)}}}}
	}
	base := SettingsDigest(kubelet(`{"maxPods": 200, "logging": {"verbosity": 2}}`))
	more := kubelet(`{"maxPods": 200, "logging": {"verbosity": 2}}`)
	more.Workers = []v1alpha1.WorkerSet{{Name: "general"}}
	more.Addons = []v1alpha1.Addon{{Name: "coredns"}}
	sysctls := more
	sysctls.OS = &v1alpha1.OperatingSystem{Sysctls: map[string]string{"vm.swappiness": "1"}}
	for name, c := range map[string]struct {
		spec v1alpha1.ClusterDeploymentSpec
		same bool
	}{
		"does not care for the order of keys":       {kubelet(`{"logging":{"verbosity":2},"maxPods":200}`), true},
		"does not care for machines and addons":     {more, true},
		"sees another value":                        {kubelet(`{"maxPods": 201, "logging": {"verbosity": 2}}`), false},
		"sees a setting that is gone":               {kubelet(`{"maxPods": 200}`), false},
		"sees settings of the operating system":     {sysctls, false},
		"gives a digest to a spec without settings": {v1alpha1.ClusterDeploymentSpec{}, false},
		"gives a digest to what is no JSON at all":  {kubelet(`{`), false},
	} {
		t.Run(name, func(t *testing.T) {
			got := SettingsDigest(c.spec)
			if (got == base) != c.same || len(got) != 71 {
				t.Errorf("%s against %s, want the same: %v", got, base, c.same)
			}
		})
	}
}
