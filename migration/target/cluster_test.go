package target

import (
	"strings"
	"testing"
)

const (
	goodVolume = `{apiVersion: v1, kind: PersistentVolume, metadata: {name: pv-7}, spec: {storageClassName: fast-ssd, capacity: {storage: 1Ti}, accessModes: [ReadWriteOnce],
 persistentVolumeReclaimPolicy: Retain, claimRef: {namespace: monitoring, name: prometheus-ecs-data}%s}}`
	goodClass = "{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: fast-ssd}, reclaimPolicy: Retain}\n---\n"
	goodClaim = `{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: prometheus-ecs-data, namespace: monitoring%s}, spec: {storageClassName: fast-ssd, accessModes: [ReadWriteOnce],
 volumeName: pv-7, resources: {requests: {storage: 1Ti}}}, status: {phase: Bound, capacity: {storage: 1Ti}}}`
	twoNodes = `{apiVersion: v1, kind: NodeList, items: [{apiVersion: v1, kind: Node, metadata: {name: n1, labels: {kubernetes.io/hostname: n1, disk: ssd}}},
 {apiVersion: v1, kind: Node, metadata: {name: n2, labels: {kubernetes.io/hostname: n2}}, spec: {taints: [{key: dedicated, value: db, effect: NoSchedule}]}}]}`
)

// local makes a volume that one node has.
func local(node string) string {
	return strings.Replace(goodVolume, "%s", ", nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: ["+node+"]}]}]}}", 1)
}

func TestCheckCluster(t *testing.T) {
	volume, claim := strings.Replace(goodVolume, "%s", "", 1), strings.Replace(goodClaim, "%s", "", 1)
	cases := []struct {
		name, cluster string
		named         bool // the spec says volumeName: pv-7
		pod           [2]string
		rules, says   string
	}{
		{name: "a class that keeps its volumes is fine", cluster: goodClass},
		{name: "a class that is not there is refused", cluster: strings.ReplaceAll(goodClass, "fast-ssd", "slow"), rules: "Refused storage-class", says: "there is no StorageClass fast-ssd"},
		{name: "a class that deletes is to be looked at", cluster: strings.ReplaceAll(goodClass, "Retain", "Delete"), rules: "Look storage-class", says: "it deletes a volume with its claim"},
		{name: "a volume that was reserved is fine", cluster: volume, named: true},
		{name: "a volume that is not there is refused", cluster: strings.ReplaceAll(volume, "pv-7", "pv-8"), named: true, rules: "Refused volume", says: "it is not there"},
		{name: "a volume that many read and none writes is refused", cluster: strings.Replace(volume, "ReadWriteOnce", "ReadOnlyMany", 1), named: true, rules: "Refused volume", says: "its access modes are [ReadOnlyMany]"},
		{name: "a raw device is refused", cluster: strings.Replace(goodVolume, "%s", ", volumeMode: Block", 1), named: true, rules: "Refused volume", says: "raw device"},
		{name: "the volume of an earlier claim of the name is told", cluster: goodClass + strings.Replace(strings.TrimSuffix(volume, "}"), "pv-7", "pv-old", 1) + ", status: {phase: Released}}",
			rules: "Look volume-released", says: "the new one of that name gets another, empty volume"},
		{name: "a claim that is bound already is fine", cluster: claim + "\n---\n" + volume + "\n---\n" + goodClass, named: true},
		{name: "a claim that is bound to another volume is refused", cluster: strings.Replace(claim, "pv-7", "pv-1", 1), named: true, rules: "Refused claim", says: "it is bound to pv-1, not to pv-7"},
		{name: "a claim that lost its volume is refused", cluster: strings.Replace(claim, "Bound", "Lost", 1), named: true, rules: "Refused claim", says: "it is Lost"},
		{name: "a claim that is too small says how it grows", cluster: strings.ReplaceAll(claim, "1Ti", "1Gi"), named: true, rules: "Refused claim", says: "it has 1Gi, 1Ti is wanted"},
		{name: "a claim that is being deleted is refused", cluster: strings.Replace(goodClaim, "%s", ", deletionTimestamp: 2026-01-01T00:00:00Z", 1), named: true, rules: "Refused claim", says: "being deleted"},
		{name: "a restricted namespace takes the own template", cluster: "{apiVersion: v1, kind: Namespace, metadata: {name: monitoring, labels: {pod-security.kubernetes.io/enforce: restricted}}}"},
		{name: "a restricted namespace refuses a pod that may become root", cluster: "{apiVersion: v1, kind: Namespace, metadata: {name: monitoring, labels: {pod-security.kubernetes.io/enforce: restricted}}}",
			pod: [2]string{"securityContext: {{ json .ContainerSecurity }}", "securityContext: {allowPrivilegeEscalation: true}"}, rules: "Refused pod-security", says: "allowPrivilegeEscalation"},
		{name: "a namespace without a standard takes it", cluster: "{apiVersion: v1, kind: Namespace, metadata: {name: monitoring}}",
			pod: [2]string{"securityContext: {{ json .ContainerSecurity }}", "securityContext: {allowPrivilegeEscalation: true}"}},
		{name: "uids of OpenShift refuse others", cluster: `{apiVersion: v1, kind: Namespace, metadata: {name: monitoring, annotations: {openshift.io/sa.scc.uid-range: 1000650000/10000, openshift.io/sa.scc.supplemental-groups: 1000650000/10000}}}`,
			rules: "Refused uid-range, Refused uid-range", says: "OpenShift gives its pods 1000650000/10000, and runAsUser is 1000"},
		{name: "uids of OpenShift that match are fine", cluster: `{apiVersion: v1, kind: Namespace, metadata: {name: monitoring, annotations: {openshift.io/sa.scc.uid-range: 1-5000}}}`},
		{name: "a user without a group for the volume is refused", cluster: goodClass, pod: [2]string{"securityContext: {{ json .PodSecurity }}", "securityContext: {runAsUser: 1000}"},
			rules: "Refused volume-ownership", says: `"mkdir data/: permission denied"`},
		{name: "a folder of a node says whose it has to be", cluster: strings.Replace(goodVolume, "%s", ", hostPath: {path: /data/p}", 1), named: true, rules: "Look volume-ownership", says: "hostPath /data/p"},
		{name: "a local volume whose node takes the pod is fine", cluster: local("n1") + "\n---\n" + twoNodes, named: true},
		{name: "a local volume of a tainted node is refused", cluster: local("n2") + "\n---\n" + twoNodes, named: true, rules: "Refused volume-node", says: "it can be reached from n2 alone, and the server may stand on n1"},
		{name: "a local volume of a node that is gone is refused", cluster: local("n9") + "\n---\n" + twoNodes, named: true, rules: "Refused volume-node", says: "matches none of 2 nodes"},
		{name: "a selector that no node has is refused", cluster: twoNodes, pod: [2]string{"automountServiceAccountToken: false", "nodeSelector: {disk: nvme}"}, rules: "Refused volume-node", says: "none of 2 nodes takes it"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			o := shop(t)
			if c.named {
				o.Migration.Spec.Target.StatefulSet.Storage.VolumeName = "pv-7"
			}
			m, err := plan(t, o).Manifests(strings.Replace(Template(), c.pod[0], c.pod[1], 1))
			if err != nil {
				t.Fatal(err)
			}
			w, err := WantedOf(m.Objects)
			if err != nil {
				t.Fatal(err)
			}
			cluster, err := ReadCluster([]byte(c.cluster), w)
			if err != nil {
				t.Fatal(err)
			}
			got := CheckCluster(w, cluster)
			if rules(got) != c.rules || len(got) > 0 && (!strings.Contains(got[0].Says, c.says) || got[0].Fix == "") {
				t.Errorf("%s: %+v", rules(got), got)
			}
		})
	}
}

func TestReadClusterRefusesWhatSaysNothing(t *testing.T) {
	for text, want := range map[string]string{"{kind: Pod}": "there is no Namespace", "kind: [": "document 1", "{kind: NodeList, items: [{kind: Node, spec: 3}]}": "item 1"} {
		if _, err := ReadCluster([]byte(text), Wanted{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func TestIDRange(t *testing.T) {
	for text, want := range map[string][2]int64{"1000650000/10000": {1000650000, 1000659999}, "5-7": {5, 7}, "1/1,9/2": {1, 1}} {
		if first, last, err := idRange(text); err != nil || first != want[0] || last != want[1] {
			t.Errorf("%s: %d to %d, %v", text, first, last, err)
		}
	}
	for _, text := range []string{"", "a/1", "1", "1/b"} {
		if _, _, err := idRange(text); err == nil {
			t.Errorf("%q was read", text)
		}
	}
}
