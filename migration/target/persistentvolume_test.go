package target

import (
	"strings"
	"testing"
)

func TestCheckVolume(t *testing.T) {
	const head, good = "apiVersion: v1\nkind: PersistentVolume\nmetadata: {name: pv-7}\n", "storageClassName: fast-ssd, capacity: {storage: 1Ti}, persistentVolumeReclaimPolicy: Retain"
	cases := []struct{ name, rest, rules, says string }{
		{"a free one is to be reserved", "spec: {" + good + "}\nstatus: {phase: Available}\n", "Look volume", "any claim may take it"},
		{"a reserved one is fine", "spec: {" + good + ", claimRef: {namespace: monitoring, name: prometheus-ecs-data}}\n", "", ""},
		{"a released one says how it becomes free", "spec: {" + good + ", claimRef: {namespace: monitoring, name: prometheus-ecs-data, uid: 1-2}}\nstatus: {phase: Released}\n",
			"Refused volume-released", "it still belongs to the claim monitoring/prometheus-ecs-data (uid 1-2) that was deleted"},
		{"another's is refused", "spec: {" + good + ", claimRef: {namespace: a, name: b}}\n", "Refused volume", "it belongs to the claim a/b"},
		{"another class is refused", "spec: {storageClassName: slow, capacity: {storage: 1Ti}, persistentVolumeReclaimPolicy: Retain, claimRef: {namespace: monitoring, name: prometheus-ecs-data}}\n",
			"Refused volume", "would wait for ever"},
		{"a small NFS one that would be deleted is refused", "spec: {storageClassName: fast-ssd, capacity: {storage: 1Gi}, persistentVolumeReclaimPolicy: Delete, nfs: {server: a, path: /}, claimRef: {namespace: monitoring, name: prometheus-ecs-data}}\n",
			"Refused capacity, Look volume, Refused volume, Look volume-ownership", "it has 1Gi, the claim asks for 1Ti"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			v, err := ReadVolume([]byte(head + c.rest))
			if err != nil {
				t.Fatal(err)
			}
			p := plan(t, shop(t))
			before := len(p.Findings)
			p.CheckVolume(v)
			got := p.Findings[before:]
			if rules(got) != c.rules || len(got) > 0 && !strings.Contains(got[0].Says, c.says) {
				t.Errorf("%+v", got)
			}
		})
	}
	if _, err := ReadVolume([]byte("kind: List\n")); err == nil || !strings.Contains(err.Error(), "it is List") {
		t.Error(err)
	}
}
