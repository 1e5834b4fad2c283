package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/duration"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/migration/v1alpha1"
)

type migrationStatus struct {
	conn         connection
	watch, allNS bool
}

// withClusterStatus lets slipway prometheus status show migrations in a cluster.
func withClusterStatus(cmd *cobra.Command) *cobra.Command {
	o := &migrationStatus{}
	return withCluster(cmd, clusterForm{
		use: "status [NAME | --state DIR]", conn: &o.conn, shared: []string{"output"}, hostFlag: "state", run: o.run,
		long: `Say how far a migration in a cluster is: phase, what is waited for, blocks, how fast they travel and what slows them, the proof, where users are
led, and what a person has to approve, with the command. Without a name: all of the namespace. --watch goes on until the move is over or stops.
Exit codes with --watch: 0 final or rolled back, 1 it stopped and a person is needed.`,
		example: `  slipway prometheus status -A
  slipway prometheus status ecs-metrics -n monitoring --watch`,
	}, func(f *pflag.FlagSet) {
		f.BoolVarP(&o.watch, "watch", "w", false, "print each change until the move is over or stops")
		f.BoolVarP(&o.allNS, "all-namespaces", "A", false, "show every namespace")
	})
}

func (o *migrationStatus) run(cmd *cobra.Command, args []string) error {
	format := cmd.Flags().Lookup("output").Value.String()
	switch {
	case o.watch && len(args) == 0:
		return &usageError{errors.New("--watch follows one migration: name it")}
	case o.watch && format != "":
		return &usageError{errors.New("--watch prints lines for people; leave --output out, or ask `slipway kubectl get pmig -w -o " + format + "`")}
	case o.allNS && len(args) == 1:
		return &usageError{errors.New("name a migration or all namespaces, not both")}
	}
	cl, err := o.conn.client()
	if err != nil {
		return err
	}
	if len(args) == 0 {
		return o.list(cmd, cl, format)
	}
	m, err := getMigration(cmd.Context(), cl, o.conn.namespace, args[0])
	if err != nil {
		return err
	}
	switch {
	case o.watch:
		return watchMigration(cmd, cl, m)
	case format != "":
		return printKind(cmd.OutOrStdout(), format, m)
	}
	return printMigration(cmd.OutOrStdout(), m, time.Now())
}

// list shows one line for each migration.
func (o *migrationStatus) list(cmd *cobra.Command, cl client.Reader, format string) error {
	namespace := o.conn.namespace
	if o.allNS {
		namespace = ""
	}
	var list v1alpha1.PrometheusMigrationList
	if err := cl.List(cmd.Context(), &list, client.InNamespace(namespace)); err != nil {
		return fmt.Errorf("listing migrations: %w", err)
	}
	if format != "" {
		return printKind(cmd.OutOrStdout(), format, &list)
	}
	if len(list.Items) == 0 {
		fmt.Fprintf(cmd.ErrOrStderr(), "there are no migrations%s: `slipway prometheus migrate -f` writes one; from host to host, --state DIR says how far it is\n", inNamespace(namespace))
		return nil
	}
	var branches []branch
	for i := range list.Items {
		branches = append(branches, migrationBranch(&list.Items[i], time.Now()))
	}
	return printTree(cmd.OutOrStdout(), branches)
}

func migrationBranch(m *v1alpha1.PrometheusMigration, now time.Time) branch {
	s := &m.Status
	b := branch{Name: m.Namespace + "/" + m.Name, Ready: conditionMark(s.Conditions, v1alpha1.ConditionReady), State: worded(string(s.Phase), "not looked at yet"),
		Age: age(now, m.CreationTimestamp.Time), Message: conditionMessage(s.Conditions, v1alpha1.ConditionProgressing)}
	if conditionMark(s.Conditions, v1alpha1.ConditionProgressing) == markYes && b.Ready != markYes {
		b.Ready = markBusy
	}
	if stop := s.Stop; stop != nil {
		b.Ready, b.Message = markNo, stop.Rule+": "+stop.Text
	}
	return b
}

// printMigration prints one migration for people: what is known, line by line, and last what they have to do.
func printMigration(out io.Writer, m *v1alpha1.PrometheusMigration, now time.Time) error {
	s := &m.Status
	fmt.Fprintf(out, "%s/%s: %s%s\n", m.Namespace, m.Name, worded(string(s.Phase), "not looked at yet"), sincePhase(s, now))
	fmt.Fprintf(out, "  from      %s%s\n  to        %s\n", m.Spec.Source.URL, sourceVersion(s), targetOf(m))
	line := func(name, text string) {
		if text != "" {
			fmt.Fprintf(out, "  %-9s %s\n", name, printable(text))
		}
	}
	line("users", endpointWords(s.Endpoint, now))
	line("blocks", blockWords(s.Blocks))
	line("copy", transferWords(s.Transfer))
	if s.Seam != nil {
		line("S'", s.Seam.UTC().Format("2006-01-02T15:04:05Z")+", where the new server's own history begins")
	}
	line("proof", proofWords(s.Proof))
	line("grafana", grafanaWords(s.Grafana, now))
	for _, step := range s.Steps {
		line("next", step)
	}
	for _, wait := range s.Waits {
		line("waits for", wait)
	}
	for _, note := range s.Notes {
		line("note", note)
	}
	if len(s.Steps)+len(s.Waits) == 0 && s.Stop == nil {
		line("now", conditionMessage(s.Conditions, v1alpha1.ConditionProgressing))
	}
	printConditions(out, m)
	printNeeds(out, m)
	return nil
}

func sincePhase(s *v1alpha1.PrometheusMigrationStatus, now time.Time) string {
	if s.PhaseSince == nil {
		return ""
	}
	return " for " + duration.HumanDuration(now.Sub(s.PhaseSince.Time))
}

func sourceVersion(s *v1alpha1.PrometheusMigrationStatus) string {
	if s.Source == nil {
		return ""
	}
	return " (Prometheus " + printable(s.Source.Version) + ")"
}

func endpointWords(e *v1alpha1.EndpointStatus, now time.Time) string {
	if e == nil || e.LeadsTo == "" {
		return ""
	}
	text := "are led to the " + map[v1alpha1.Side]string{v1alpha1.SideSource: "old server", v1alpha1.SideTarget: "new server"}[e.LeadsTo]
	if e.Since != nil {
		text += " for " + duration.HumanDuration(now.Sub(e.Since.Time))
	}
	if e.Wanted != "" && e.Wanted != e.LeadsTo {
		text += ", although the cutover is done: " + worded(e.Reason, "the new one is not ready")
	}
	return text
}

func blockWords(b *v1alpha1.BlockCounts) string {
	if b == nil || b.Total == nil {
		return ""
	}
	return fmt.Sprintf("%d: %d on the new disk, %d verified there, %d installed", *b.Total, deref(b.Staged), deref(b.Verified), deref(b.Installed))
}

// transferWords is how the copy goes: how much, how fast, how long still, and what slows it.
func transferWords(t *v1alpha1.TransferStatus) string {
	if t == nil || t.BytesTotal == nil || *t.BytesTotal == 0 {
		return ""
	}
	done := deref64(t.BytesDone)
	text := fmt.Sprintf("%s of %s (%d %%)", size(done), size(*t.BytesTotal), done*100 / *t.BytesTotal)
	if rate := deref64(t.BytesPerSecond); rate > 0 {
		text += fmt.Sprintf(", %s/s", size(rate))
		if t.ETASeconds != nil && done < *t.BytesTotal {
			text += ", " + span(*t.ETASeconds*1000) + " left"
		}
	}
	if why := limitWords(t.LimitedBy); why != "" {
		text += "; " + why
	}
	if len(t.Signals) > 0 {
		text += " (watched on the old host: " + strings.Join(t.Signals, ", ") + ")"
	}
	return text
}

func deref64(n *int64) int64 {
	if n == nil {
		return 0
	}
	return *n
}

// limitWords says why the copy is as slow as it is; words that are not known are printed as they are.
func limitWords(limit string) string {
	words := map[string]string{
		"Ceiling":               "held to the ceiling (transfer.maxBytesPerSecond)",
		"Growth":                "the rate is still being raised, nothing suffers",
		"SourcePressure":        "slowed: tasks on the old host wait for its disk",
		"SourceDiskAwait":       "slowed: the old host's disk answers later than before",
		"SourceDiskUtilisation": "slowed: the old host's disk is busy",
		"SourceQueryLatency":    "slowed: the old server's queries take longer than before",
		"TargetDisk":            "the new disk takes no more",
		"LinkOrSource":          "the link or the old disk gives no more",
		"Verify":                "all is there and is read back from the new disk",
		"SourceSilent":          "the old host does not answer, and is asked again",
		"Nothing":               "",
	}
	text, known := words[limit]
	if !known {
		return limit
	}
	return text
}

// grafanaWords is where the Grafana beside the new server is, how old its data is, and what it has.
func grafanaWords(g *v1alpha1.GrafanaStatus, now time.Time) string {
	if g == nil {
		return ""
	}
	text := g.URL
	if g.BroughtAt != nil {
		text += ", its data was brought " + duration.HumanDuration(now.Sub(g.BroughtAt.Time)) + " ago"
	}
	if g.Summary != "" {
		text += ": " + g.Summary
	}
	return text
}

func proofWords(p *v1alpha1.Proof) string {
	if p == nil {
		return ""
	}
	text := p.Verdict
	if p.At != nil {
		text += " at " + p.At.UTC().Format("2006-01-02T15:04:05Z")
	}
	switch p.AfterRestart {
	case v1alpha1.AfterRestartDone:
		text += ", after a restart of the new server"
	case v1alpha1.AfterRestartPending:
		text += ", before the restart of the new server"
	}
	if p.Summary != "" {
		text += ": " + p.Summary
	}
	return text
}

// printConditions prints what is not good. What has not begun is in nobody's way.
func printConditions(out io.Writer, m *v1alpha1.PrometheusMigration) {
	for _, c := range m.Status.Conditions {
		quiet := []string{v1alpha1.ReasonPending, v1alpha1.ReasonRunning, v1alpha1.ReasonWaiting, v1alpha1.ReasonNeedsApproval, v1alpha1.ReasonObserving, v1alpha1.ReasonFilling, v1alpha1.ReasonStopped}
		if c.Status == "False" && !slices.Contains(quiet, c.Reason) && c.Type != v1alpha1.ConditionReady {
			fmt.Fprintf(out, "  %-9s %s: %s\n", c.Type, c.Reason, printable(c.Message))
		}
	}
}

// printNeeds prints why it stopped and what a person has to do, with the command.
func printNeeds(out io.Writer, m *v1alpha1.PrometheusMigration) {
	s := &m.Status
	if s.Stop != nil {
		fmt.Fprintf(out, "\nstopped by %s\n  %s\n  when it is mended:    slipway prometheus migrate %s --retry\n  to go back:           slipway prometheus rollback %s\n", s.Stop.Rule, printable(s.Stop.Text), called(m), called(m))
	}
	if s.Diff != "" && len(s.NeedsApproval) > 0 {
		fmt.Fprintln(out, "\nthe edit of the old server that waits for approval:")
		for text := range strings.Lines(s.Diff) {
			fmt.Fprintln(out, "  "+printable(strings.TrimSuffix(text, "\n")))
		}
	}
	for i, a := range s.NeedsApproval {
		if i == 0 {
			fmt.Fprintln(out, "\nwaits for you:")
		}
		fmt.Fprintf(out, "  %-20s %s\n", a, approveCommand(m, a))
	}
}

// approveCommand is what a person types to let something pass.
func approveCommand(m *v1alpha1.PrometheusMigration, a v1alpha1.Approval) string {
	switch a {
	case v1alpha1.ApprovalCutover:
		return "slipway prometheus cutover " + called(m)
	case v1alpha1.ApprovalFinalize:
		return "slipway prometheus finalize " + called(m)
	}
	return "slipway prometheus cutover " + called(m) + " --approve " + string(a)
}

// numbersEvery is how often --watch prints that numbers alone have changed.
const numbersEvery = 10 * time.Second

// watcher prints what changes in a migration.
type watcher struct {
	out     io.Writer
	told    map[string]bool
	numbers string
	last    time.Time // when numbers were printed
	asleep  bool
}

func (w *watcher) say(text string) {
	fmt.Fprintf(w.out, "%s %s\n", time.Now().UTC().Format("15:04:05"), printable(text))
}

func (w *watcher) tell(m *v1alpha1.PrometheusMigration) {
	if text := transferWords(m.Status.Transfer); text != w.numbers && time.Since(w.last) >= numbersEvery {
		w.numbers, w.last = text, time.Now()
		w.say(text)
	}
	for _, text := range news(m) {
		if !w.told[text] {
			w.told[text] = true
			w.say(text)
		}
	}
}

// watchMigration prints what changes until the move is over or stops.
func watchMigration(cmd *cobra.Command, cl client.Reader, m *v1alpha1.PrometheusMigration) error {
	tick := time.NewTicker(4 * lookAgain)
	defer tick.Stop()
	w := &watcher{out: cmd.OutOrStdout(), told: map[string]bool{}}
	for {
		w.tell(m)
		if done, err := over(m); done {
			return err
		}
		now, err := w.next(cmd.Context(), cl, m, tick.C)
		if err != nil {
			return err
		}
		m = now
	}
}

// next looks again, until the cluster answers.
func (w *watcher) next(ctx context.Context, cl client.Reader, m *v1alpha1.PrometheusMigration, tick <-chan time.Time) (*v1alpha1.PrometheusMigration, error) {
	for {
		select {
		case <-ctx.Done():
			return nil, errors.New("stopped watching; the move goes on")
		case <-tick:
		}
		now, err := getMigration(ctx, cl, m.Namespace, m.Name)
		switch {
		case ctx.Err() != nil:
		case !away(err):
			w.asleep = false
			return now, err
		case !w.asleep:
			w.asleep = true
			w.say("the cluster does not answer; waiting for it")
		}
	}
}

// news is what is worth a line when it appears.
func news(m *v1alpha1.PrometheusMigration) []string {
	s := &m.Status
	lines := []string{"phase " + worded(string(s.Phase), "not looked at yet")}
	if len(s.Steps) > 0 {
		lines = append(lines, s.Steps[0])
	} else if len(s.Waits) == 0 {
		if text := conditionMessage(s.Conditions, v1alpha1.ConditionProgressing); text != "" {
			lines = append(lines, text)
		}
	}
	for _, wait := range s.Waits {
		lines = append(lines, "waits for "+wait)
	}
	if text := proofWords(s.Proof); text != "" {
		lines = append(lines, "proof: "+text)
	}
	if g := s.Grafana; g != nil {
		lines = append(lines, "grafana "+grafanaWords(&v1alpha1.GrafanaStatus{URL: g.URL, Summary: g.Summary}, time.Time{}))
	}
	if e := s.Endpoint; e != nil && e.LeadsTo != "" {
		plain := *e
		plain.Since = nil
		lines = append(lines, "users "+endpointWords(&plain, time.Time{}))
	}
	for _, a := range s.NeedsApproval {
		lines = append(lines, "waits for you: "+approveCommand(m, a))
	}
	return lines
}

// over says that nothing follows by itself: the move is final, rolled back, or stopped.
func over(m *v1alpha1.PrometheusMigration) (bool, error) {
	switch s := &m.Status; {
	case s.Phase == v1alpha1.PhaseFinalized || s.Phase == v1alpha1.PhaseRolledBack:
		return true, nil
	case s.Stop != nil:
		return true, fmt.Errorf("migration %s stopped: %s: %s", m.Name, s.Stop.Rule, s.Stop.Text)
	}
	return false, nil
}
