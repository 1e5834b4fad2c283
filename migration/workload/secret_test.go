package workload

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOnlyTheAuthorityHoldsItsKey(t *testing.T) {
	o := shop()
	a, s, x := map[string][]byte{"ca.key": nil}, map[string][]byte{"tls.key": nil}, map[string][]byte{"tls.crt": nil}
	got := map[string]map[string][]byte{}
	for _, secret := range Secrets(o.Name, o.Namespace, o.Owner, a, s, x) {
		got[secret.Name] = secret.Data
		if secret.Namespace != o.Namespace || len(secret.OwnerReferences) != 1 || secret.Labels[LabelName] != o.Name {
			t.Errorf("%+v", secret.ObjectMeta)
		}
	}
	if diff := cmp.Diff(map[string]map[string][]byte{"ecs-metrics-authority": a, "ecs-metrics-source": s, "ecs-metrics-target": x}, got); diff != "" {
		t.Error(diff)
	}
	for _, obj := range planned(t, o) {
		template := podOf(obj)
		if template == nil {
			continue
		}
		for _, v := range template.Spec.Volumes {
			if v.Secret != nil && v.Secret.SecretName == AuthoritySecret(o.Name) {
				t.Errorf("%s mounts the key of the authority", obj.GetName())
			}
		}
	}
}
