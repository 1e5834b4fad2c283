package machine

import (
	"encoding/binary"
	"hash/fnv"
	"sync"
	"time"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/fleet/controller/view"
	"k8s.io/apimachinery/pkg/types"
)

// visits remembers when each host was visited last. It is no truth: without it, machines are visited once more.
type visits struct {
	mu sync.Mutex
	at map[types.NamespacedName]visit
}

type visit struct {
	at     time.Time
	wait   time.Duration
	failed bool
	// print is that of what the visit depended on.
	print uint64
}

func (v *visits) last(key types.NamespacedName) (visit, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	last, ok := v.at[key]
	return last, ok
}

func (v *visits) note(key types.NamespacedName, last visit) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.at[key] = last
}

func (v *visits) forget(key types.NamespacedName) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.at, key)
}

// fingerprint identifies what a visit depends on: a change of it is worth a visit at once.
func fingerprint(m *v1alpha1.Machine) uint64 {
	h := fnv.New64a()
	add := func(s string) {
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(s))))
		h.Write([]byte(s))
	}
	for _, s := range []string{view.Host(&m.Spec), m.Spec.User, m.Spec.SSHKeySecretName, m.Spec.HostKey, m.Annotations[v1alpha1.InspectAnnotation], m.Annotations[v1alpha1.OverrideAnnotation]} {
		add(s)
	}
	if m.Spec.Bastion != nil {
		add(m.Spec.Bastion.User + " " + m.Spec.Bastion.HostKey)
	}
	if m.Spec.ClaimRef != nil {
		add("claimed")
	}
	if m.Spec.Quarantine != nil {
		add("quarantined")
	}
	return h.Sum64()
}
