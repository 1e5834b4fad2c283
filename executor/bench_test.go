//go:build plane

package executor

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// BenchmarkProcess compares the CPU of a playbook under Process with that of ansible-playbook alone, turn by turn.
func BenchmarkProcess(b *testing.B) {
	const hosts, tasks = 10, 15
	venv := realVenv(b)
	content := b.TempDir()
	r := benchmarkRun(b, content, hosts, tasks)
	p, err := NewProcess(ProcessOptions{Dir: b.TempDir(), Venv: venv, Content: func(string) (string, error) { return content, nil }})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = p.Close() }()
	var alone, ours time.Duration
	rounds := 0
	for b.Loop() {
		rounds++
		before := childTime(b)
		command := exec.Command(filepath.Join(venv, "bin", "ansible-playbook"), "-f", "10", "-i", "inventory.yaml", filepath.Join("playbooks", "bench.yml"))
		command.Dir, command.Env = content, append(os.Environ(), "PATH="+filepath.Join(venv, "bin")+":"+os.Getenv("PATH"))
		if out, err := command.CombinedOutput(); err != nil {
			b.Fatalf("%v: %s", err, out)
		}
		alone += childTime(b) - before
		before = childTime(b)
		r.Name = fmt.Sprintf("bench-%d", rounds)
		benchmarkOne(b, p, r)
		ours += childTime(b) - before
	}
	n := float64(rounds * hosts * tasks)
	b.ReportMetric(alone.Seconds()*1000/n, "alone-ms/task")
	b.ReportMetric(ours.Seconds()*1000/n, "process-ms/task")
	b.ReportMetric(float64(ours)/float64(alone), "ratio")
}

func benchmarkRun(b *testing.B, content string, hosts, tasks int) Run {
	var inventory, playbook strings.Builder
	inventory.WriteString("all:\n  vars: {ansible_connection: local}\n  hosts:\n")
	playbook.WriteString("- name: All\n  hosts: all\n  gather_facts: false\n  tasks:\n")
	r := Run{Playbook: "bench", Forks: 10}
	for i := range hosts {
		r.Hosts = append(r.Hosts, fmt.Sprintf("h%d", i))
		fmt.Fprintf(&inventory, "    h%d:\n", i)
	}
	for i := range tasks {
		fmt.Fprintf(&playbook, "    - name: Task %d\n      ansible.builtin.debug:\n        msg: hello\n", i)
	}
	r.Inventory = []byte(inventory.String())
	for name, text := range map[string]string{"inventory.yaml": inventory.String(), "playbooks/bench.yml": playbook.String(), "ansible.cfg": "[defaults]\n"} {
		if err := writePrivate(filepath.Join(content, name), []byte(text)); err != nil {
			b.Fatal(err)
		}
	}
	return r
}

// benchmarkOne runs a run to its end and waits until its supervisor has gone, which is when its time is counted.
func benchmarkOne(b *testing.B, p *Process, r Run) {
	if err := p.Start(b.Context(), r); err != nil {
		b.Fatal(err)
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		o, err := p.Observe(b.Context(), r.Name, 1<<30)
		if err != nil {
			b.Fatal(err)
		}
		if o.Phase.Finished() && o.Phase != Succeeded {
			b.Fatalf("%s: %s", o.Phase, o.Message)
		}
		if left, _ := processes(filepath.Join(p.options.Dir, "runs", r.Name), ""); o.Phase == Succeeded && len(left) == 0 {
			return
		}
	}
}

// childTime is the CPU time of all processes that were waited for.
func childTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_CHILDREN, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
