package ansible

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTaskCountStaysWithinBudget(t *testing.T) {
	cases := []struct {
		name       string
		entryPoint string
		groups     []string
		budget     int
	}{
		{"a control plane is made", "create", []string{"control_plane"}, 60},
		{"a control plane with etcd beside it is made", "create", []string{"control_plane", "etcd"}, 60},
		{"a worker is made", "create", []string{"compute"}, 60},
		{"an etcd machine is made", "create", []string{"etcd"}, 60},
		{"a worker joins", "scale", []string{"compute"}, 35},
		{"everything is removed", "remove", []string{"compute"}, 20},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			n, err := TaskCount(c.entryPoint, c.groups...)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d tasks", n)
			if n == 0 || n > c.budget {
				t.Errorf("%d tasks, the budget is %d", n, c.budget)
			}
		})
	}
}

func TestTaskCountIgnoresPlaysOfOthers(t *testing.T) {
	n, err := TaskCount("scale", "control_plane", "etcd")
	if err != nil {
		t.Fatal(err)
	}
	if n != 0 {
		t.Errorf("scale runs %d tasks on a control plane, want none", n)
	}
}

func TestTaskCountRefusesUnknownEntryPoints(t *testing.T) {
	if _, err := TaskCount("no-such", "etcd"); err == nil {
		t.Error("no error for an entry point that does not exist")
	}
}

func TestApplies(t *testing.T) {
	cases := []struct {
		name, when string
		groups     []string
		want       bool
	}{
		{"no condition holds", "", nil, true},
		{"the group of the host holds", "'etcd' in group_names", []string{"etcd"}, true},
		{"another group does not", "'etcd' in group_names", []string{"compute"}, false},
		{"one of two groups is enough with or", "'control_plane' in group_names or 'compute' in group_names", []string{"compute"}, true},
		{"neither of two groups does not hold with or", "'control_plane' in group_names or 'compute' in group_names", []string{"etcd"}, false},
		{"what is not a group counts as true with and", "'compute' in group_names and network_plugin == 'flannel'", []string{"compute"}, true},
		{"the group still counts with and", "'compute' in group_names and network_plugin == 'flannel'", []string{"etcd"}, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := (task{When: c.when}).applies(c.groups); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestRestartableNamesOnlyWhatIsNotDoneInOneStep(t *testing.T) {
	got, err := Restartable()
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"kubernetes_control_plane : Start the control plane", "kubernetes_worker : Join the cluster"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
