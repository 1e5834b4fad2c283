package view

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Names of the field indexes.
const (
	// MachineCluster finds the machines that a cluster holds, by its name.
	MachineCluster = "machine.cluster"
	// MachineSet finds the machines that a set holds, by its name.
	MachineSet = "machine.set"
	// MachineFree finds the machines that may be claimed, under "true".
	MachineFree = "machine.free"
	// MachineHost finds machines by HostKey.
	MachineHost = "machine.host"
	// MachineID finds machines by the machine-id of their host.
	MachineID = "machine.id"
	// MachineSecret finds machines by the Secret with their SSH key.
	MachineSecret = "machine.secret"
	// OperationCluster finds the operations of a cluster, by Key.
	OperationCluster = "operation.cluster"
	// OperationMachine finds the operations of a machine, by Key.
	OperationMachine = "operation.machine"
	// OperationActive finds the operations of a machine that have not ended, by Key.
	OperationActive = "operation.active"
	// OperationUID finds an operation by its uid.
	OperationUID = "operation.uid"
)

// Key names an object of a namespace in an index over operations.
func Key(namespace, name string) string { return namespace + "/" + name }

// Home is the namespace of the cluster and the machines that an operation is about. It differs from that of the
// operation when it was made while the namespace was being deleted: nothing can be made in such a namespace.
func Home(op *v1alpha1.Operation) string {
	if home := op.Labels[v1alpha1.HomeNamespaceLabel]; home != "" {
		return home
	}
	return op.Namespace
}

// Host identifies where a machine is reached; two machines with one Host are one host twice.
func Host(spec *v1alpha1.MachineSpec) string {
	host := net.JoinHostPort(spec.Address, strconv.Itoa(int(spec.Port)))
	if spec.Bastion != nil {
		host += " via " + net.JoinHostPort(spec.Bastion.Address, strconv.Itoa(int(spec.Bastion.Port)))
	}
	return host
}

// Free says that a machine may be claimed.
func Free(m *v1alpha1.Machine) bool {
	return m.Spec.ClaimRef == nil && m.Spec.Quarantine == nil && m.DeletionTimestamp.IsZero() &&
		m.Status.Phase == v1alpha1.MachineIdle &&
		meta.IsStatusConditionTrue(m.Status.Conditions, v1alpha1.ConditionInspected) &&
		!meta.IsStatusConditionFalse(m.Status.Conditions, v1alpha1.ConditionReachable)
}

// Finished says that an operation came to its end.
func Finished(op *v1alpha1.Operation) bool {
	switch op.Status.Phase {
	case v1alpha1.OperationSucceeded, v1alpha1.OperationFailed, v1alpha1.OperationCancelled:
		return true
	}
	return false
}

// Index adds the field indexes to a cache.
func Index(ctx context.Context, indexer client.FieldIndexer) error {
	machines := map[string]func(m *v1alpha1.Machine) []string{
		MachineCluster: func(m *v1alpha1.Machine) []string {
			return claim(m, func(c *v1alpha1.ClaimRef) string { return c.Name })
		},
		MachineSet: func(m *v1alpha1.Machine) []string {
			return claim(m, func(c *v1alpha1.ClaimRef) string { return c.MachineSet })
		},
		MachineFree: func(m *v1alpha1.Machine) []string {
			if Free(m) {
				return []string{"true"}
			}
			return nil
		},
		MachineHost:   func(m *v1alpha1.Machine) []string { return []string{Host(&m.Spec)} },
		MachineSecret: func(m *v1alpha1.Machine) []string { return []string{m.Spec.SSHKeySecretName} },
		MachineID: func(m *v1alpha1.Machine) []string {
			if m.Status.Facts == nil || m.Status.Facts.MachineID == "" {
				return nil
			}
			return []string{m.Status.Facts.MachineID}
		},
	}
	for name, keys := range machines {
		if err := indexer.IndexField(ctx, &v1alpha1.Machine{}, name, func(o client.Object) []string { return keys(o.(*v1alpha1.Machine)) }); err != nil {
			return fmt.Errorf("indexing machines by %s: %w", name, err)
		}
	}
	for name, keys := range operationIndexes() {
		if err := indexer.IndexField(ctx, &v1alpha1.Operation{}, name, func(o client.Object) []string { return keys(o.(*v1alpha1.Operation)) }); err != nil {
			return fmt.Errorf("indexing operations by %s: %w", name, err)
		}
	}
	return nil
}

func operationIndexes() map[string]func(op *v1alpha1.Operation) []string {
	machines := func(op *v1alpha1.Operation) []string {
		keys := make([]string, len(op.Spec.Machines))
		for i, m := range op.Spec.Machines {
			keys[i] = Key(Home(op), m)
		}
		return keys
	}
	return map[string]func(op *v1alpha1.Operation) []string{
		OperationMachine: machines,
		OperationActive: func(op *v1alpha1.Operation) []string {
			if Finished(op) {
				return nil
			}
			return machines(op)
		},
		OperationCluster: func(op *v1alpha1.Operation) []string { return []string{Key(Home(op), op.Spec.ClusterName)} },
		OperationUID:     func(op *v1alpha1.Operation) []string { return []string{string(op.UID)} },
	}
}

func claim(m *v1alpha1.Machine, field func(*v1alpha1.ClaimRef) string) []string {
	if m.Spec.ClaimRef == nil {
		return nil
	}
	return []string{field(m.Spec.ClaimRef)}
}

// Run names the run of an attempt of an operation.
func Run(op *v1alpha1.Operation, attempt int32) string {
	return fmt.Sprintf("%s-%d", op.UID, attempt)
}

// OperationOfRun is the uid of the operation that a run belongs to.
func OperationOfRun(run string) string {
	if i := strings.LastIndexByte(run, '-'); i > 0 {
		return run[:i]
	}
	return run
}
