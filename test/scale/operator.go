package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	dto "github.com/prometheus/client_model/go"
)

// operator is the program under test as a process of its own.
type operator struct {
	cmd     *exec.Cmd
	metrics string
	log     *os.File
	ended   chan error
}

func startOperator(s settings, dir, kubeconfig string) (*operator, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	where := dir
	if s.keep != "" {
		where = s.keep
	}
	log, err := os.Create(filepath.Join(where, "operator.log"))
	if err != nil {
		return nil, fmt.Errorf("making the log of the operator: %w", err)
	}
	o := &operator{metrics: fmt.Sprintf("http://127.0.0.1:%d/metrics", port), log: log, ended: make(chan error, 1)}
	o.cmd = exec.Command(s.slipway, "operator", "--kubeconfig", kubeconfig, "--dir", filepath.Join(dir, "operator"),
		"--executor", "simulated", "--simulated-latency", s.latency.String(), "--leader-election=false",
		"--metrics-listen", fmt.Sprintf("127.0.0.1:%d", port), "--log-level", "error")
	o.cmd.Stdout, o.cmd.Stderr = log, log
	o.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := o.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the operator: %w", err)
	}
	go func() { o.ended <- o.cmd.Wait() }()
	return o, nil
}

// stop ends the operator and says if it had ended by itself.
func (o *operator) stop() error {
	defer o.log.Close()
	select {
	case err := <-o.ended:
		return fmt.Errorf("the operator ended by itself (%w), see %s", err, o.log.Name())
	default:
	}
	if err := o.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stopping the operator: %w", err)
	}
	select {
	case <-o.ended:
		return nil
	case <-time.After(30 * time.Second):
		return errors.Join(errors.New("the operator did not stop within 30 s"), o.cmd.Process.Kill())
	}
}

// machines asks the operator how many machines it sees in each phase.
func (o *operator) machines() (map[string]int, error) {
	select {
	case err := <-o.ended:
		o.ended <- err
		return nil, fmt.Errorf("the operator ended by itself: %w", err)
	default:
	}
	response, err := http.Get(o.metrics)
	if err != nil {
		return nil, nil // it does not listen yet
	}
	defer response.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(response.Body)
	if err != nil {
		return nil, fmt.Errorf("reading the metrics of the operator: %w", err)
	}
	out := map[string]int{}
	for _, m := range families["slipway_machines"].GetMetric() {
		out[label(m, "phase")] = int(m.GetGauge().GetValue())
	}
	return out, nil
}

func label(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("finding a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// ticksPerSecond is the unit of times in /proc on Linux.
const ticksPerSecond = 100

// cpuSeconds is the time that a process has computed, in user and system mode.
func cpuSeconds(pid int) (float64, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("reading the CPU time of process %d: %w", pid, err)
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 13 {
		return 0, fmt.Errorf("reading the CPU time of process %d: %q is too short", pid, stat)
	}
	sum := 0.0
	for _, field := range fields[11:13] {
		n, err := strconv.ParseFloat(field, 64)
		if err != nil {
			return 0, fmt.Errorf("reading the CPU time of process %d: %w", pid, err)
		}
		sum += n
	}
	return sum / ticksPerSecond, nil
}

// peakMiB is the largest resident size that a process had.
func peakMiB(pid int) (float64, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("reading the size of process %d: %w", pid, err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "VmHWM:"); ok {
			kib, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kib / 1024, err
		}
	}
	return 0, fmt.Errorf("process %d has no VmHWM", pid)
}

// child finds a child process of this one by its name.
func child(name string) (int, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	for _, path := range stats {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		open, end := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
		fields := strings.Fields(string(stat[end+1:]))
		if !strings.HasPrefix(name, string(stat[open+1:end])) || len(fields) < 2 || fields[1] != strconv.Itoa(os.Getpid()) {
			continue
		}
		return strconv.Atoi(strings.TrimSpace(string(stat[:open])))
	}
	return 0, fmt.Errorf("there is no child process %s", name)
}
