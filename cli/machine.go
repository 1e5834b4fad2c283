package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
)

// NewMachineCommand builds slipway machine: add, list, inspect, quarantine, release.
func NewMachineCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "machine", Aliases: []string{"machines", "mc"}, Args: cobra.NoArgs,
		Short: "Approve machines, look at them, take them out of the pool and back",
	}
	cmd.AddCommand(newMachineAddCommand(), newMachineListCommand(), newMachineInspectCommand(),
		newMachineQuarantineCommand(), newMachineReleaseCommand())
	return cmd
}

func machineNames() client.ObjectList { return &v1alpha1.MachineList{} }

func newMachineListCommand() *cobra.Command {
	var (
		conn connection
		out  string
	)
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the machines of the pool", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cl, err := conn.client()
			if err != nil {
				return err
			}
			var list v1alpha1.MachineList
			if err := cl.List(cmd.Context(), &list, client.InNamespace(conn.namespace)); err != nil {
				return fmt.Errorf("listing the machines of %s: %w", conn.namespace, err)
			}
			if out == "json" || out == "yaml" {
				return printKind(cmd.OutOrStdout(), out, &list)
			}
			if len(list.Items) == 0 {
				fmt.Fprintf(cmd.ErrOrStderr(), "there are no machines in namespace %s: `slipway machine add` approves some\n", conn.namespace)
				return nil
			}
			return printMachines(cmd.OutOrStdout(), list.Items, out == "wide", time.Now())
		},
	}
	conn.flags(cmd.Flags())
	outputFlag(cmd, &out, "json", "yaml", "wide")
	return cmd
}

func printMachines(w io.Writer, machines []v1alpha1.Machine, wide bool, now time.Time) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	head := "NAME\tPHASE\tREADY\tCLUSTER\tADDRESS\tAGE"
	if wide {
		head += "\tOS\tCPUS\tMEMORY\tSITE\tDOMAIN"
	}
	fmt.Fprintln(t, head+"\tMESSAGE")
	for i := range machines {
		m := &machines[i]
		cluster, message := "-", conditionMessage(m.Status.Conditions, v1alpha1.ConditionReady)
		if m.Spec.ClaimRef != nil {
			cluster = m.Spec.ClaimRef.Name
		}
		if conditionMark(m.Status.Conditions, v1alpha1.ConditionReady) == markYes {
			message = ""
		}
		row := []string{m.Name, string(m.Status.Phase), string(conditionMark(m.Status.Conditions, v1alpha1.ConditionReady)), cluster, m.Spec.Address, age(now, m.CreationTimestamp.Time)}
		if wide {
			os, cpus, memory := "", "", ""
			if facts := m.Status.Facts; facts != nil {
				os, cpus, memory = facts.OS, fmt.Sprint(facts.CPUs), fmt.Sprintf("%.1f GiB", float64(facts.MemoryBytes)/(1<<30))
			}
			row = append(row, os, cpus, memory, m.Spec.Site, m.Spec.FailureDomain)
		}
		fmt.Fprintln(t, strings.Join(append(row, firstLine(message)), "\t"))
	}
	return t.Flush()
}

func newMachineInspectCommand() *cobra.Command {
	var (
		conn  connection
		out   string
		again bool
	)
	cmd := &cobra.Command{
		Use: "inspect NAME", Short: "Show what is known of one machine: facts, conditions, claim",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if again {
				return patchMachine(cmd, &conn, args[0], func(m *v1alpha1.Machine) string {
					askForInspection(m)
					return "inspected again now: `slipway machine inspect " + m.Name + "` shows what was found"
				})
			}
			cl, err := conn.client()
			if err != nil {
				return err
			}
			m, err := getMachine(cmd.Context(), cl, conn.namespace, args[0])
			if err != nil {
				return err
			}
			if out == "json" || out == "yaml" {
				return printKind(cmd.OutOrStdout(), out, m)
			}
			return printMachine(cmd.OutOrStdout(), m)
		},
	}
	conn.flags(cmd.Flags())
	outputFlag(cmd, &out, "json", "yaml")
	cmd.Flags().BoolVar(&again, "again", false, "ask the operator to look at the host now instead of at its next round")
	cmd.ValidArgsFunction = conn.names(machineNames)
	return cmd
}

// askForInspection lets the operator look at the host at once.
func askForInspection(m *v1alpha1.Machine) {
	if m.Annotations == nil {
		m.Annotations = map[string]string{}
	}
	m.Annotations[v1alpha1.InspectAnnotation] = time.Now().UTC().Format(time.RFC3339Nano)
}

func getMachine(ctx context.Context, cl client.Reader, namespace, name string) (*v1alpha1.Machine, error) {
	var m v1alpha1.Machine
	err := cl.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &m)
	if apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("there is no machine %q in namespace %s: `slipway machine list -n %s` shows them", name, namespace, namespace)
	}
	if err != nil {
		return nil, fmt.Errorf("reading machine %s: %w", name, err)
	}
	return &m, nil
}

func printMachine(w io.Writer, m *v1alpha1.Machine) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	line := func(k, v string) {
		if v != "" {
			fmt.Fprintf(t, "%s\t%s\n", k, v)
		}
	}
	line("Name", m.Namespace+"/"+m.Name)
	line("Reached at", fmt.Sprintf("%s@%s port %d", m.Spec.User, m.Spec.Address, m.Spec.Port))
	if b := m.Spec.Bastion; b != nil {
		line("Through", fmt.Sprintf("%s@%s port %d", b.User, b.Address, b.Port))
	}
	line("Host key", m.Spec.HostKey)
	line("Phase", string(m.Status.Phase))
	if c := m.Spec.ClaimRef; c != nil {
		line("Held by", fmt.Sprintf("cluster %s, set %s", c.Name, c.MachineSet))
	}
	if q := m.Spec.Quarantine; q != nil {
		line("Quarantine", q.Reason+": "+q.Message)
	}
	printFacts(line, m.Status.Facts)
	for _, c := range m.Status.Conditions {
		line(c.Type, fmt.Sprintf("%s %s: %s", c.Status, c.Reason, strings.ReplaceAll(c.Message, "\n", "\n\t")))
	}
	return t.Flush()
}

func printFacts(line func(k, v string), f *v1alpha1.MachineFacts) {
	if f == nil {
		return
	}
	line("System", fmt.Sprintf("%s, %s, Linux %s, cgroup v%d", f.OS, f.Architecture, f.Kernel, f.CgroupVersion))
	line("Size", fmt.Sprintf("%d CPUs, %.1f GiB memory", f.CPUs, float64(f.MemoryBytes)/(1<<30)))
	free := int64(0)
	if f.DiskFreeBytes != nil {
		free = *f.DiskFreeBytes
	}
	line("Disk of /var/lib", fmt.Sprintf("%.1f of %.1f GiB free, fsync %.1f ms", float64(free)/(1<<30), float64(f.DiskBytes)/(1<<30), float64(f.FsyncMicroseconds)/1000))
	if f.ClockOffsetSeconds != nil {
		line("Clock", fmt.Sprintf("%+d s against the operator", *f.ClockOffsetSeconds))
	}
	python := f.Python
	if python == "" {
		python = "none"
	}
	line("Python", python)
	line("Security", strings.Join(f.Security, ", "))
	line("Leftovers", strings.Join(f.Leftovers, ", "))
}

func newMachineQuarantineCommand() *cobra.Command {
	var (
		conn    connection
		message string
	)
	cmd := &cobra.Command{
		Use: "quarantine NAME", Short: "Keep a machine out of the pool; a machine in use is drained and replaced",
		Example: `  slipway machine quarantine r07-u12 --reason "fan is loud, ticket 4711"`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return patchMachine(cmd, &conn, args[0], func(m *v1alpha1.Machine) string {
				m.Spec.Quarantine = &v1alpha1.Quarantine{Reason: v1alpha1.ReasonByHand, Message: message}
				return "in quarantine"
			})
		},
	}
	conn.flags(cmd.Flags())
	cmd.Flags().StringVar(&message, "reason", "put into quarantine by hand", "why, for the next person")
	cmd.ValidArgsFunction = conn.names(machineNames)
	return cmd
}

func newMachineReleaseCommand() *cobra.Command {
	var (
		conn   connection
		newKey bool
	)
	cmd := &cobra.Command{
		Use: "release NAME", Short: "End the quarantine of a machine: it is inspected, cleaned where needed, and becomes Idle",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return patchMachine(cmd, &conn, args[0], func(m *v1alpha1.Machine) string {
				m.Spec.Quarantine = nil
				if newKey {
					m.Spec.HostKey = ""
				}
				askForInspection(m)
				return "released; it is inspected now"
			})
		},
	}
	conn.flags(cmd.Flags())
	cmd.Flags().BoolVar(&newKey, "accept-new-host-key", false, "forget the pinned host key: the next inspection pins the one that the host shows (only after a reinstall that you know of)")
	cmd.ValidArgsFunction = conn.names(machineNames)
	return cmd
}

// patchMachine changes one machine under optimistic lock and says what it did.
func patchMachine(cmd *cobra.Command, conn *connection, name string, change func(*v1alpha1.Machine) string) error {
	cl, err := conn.client()
	if err != nil {
		return err
	}
	for {
		m, err := getMachine(cmd.Context(), cl, conn.namespace, name)
		if err != nil {
			return err
		}
		before := m.DeepCopy()
		did := change(m)
		err = cl.Patch(cmd.Context(), m, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
		if apierrors.IsConflict(err) {
			continue
		}
		if err != nil {
			return fmt.Errorf("changing machine %s: %w", name, err)
		}
		fmt.Fprintf(cmd.OutOrStdout(), "machine %s is %s\n", name, did)
		return nil
	}
}
