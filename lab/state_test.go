package lab

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func sampleState() state {
	spec := Spec{Machines: 2, Bastion: true}.defaulted()
	s := state{Version: stateVersion, Name: "dev", Index: 7, Phase: phaseReady, CreatedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Spec: spec}
	for _, m := range planMachines("dev", 7, spec) {
		s.Machines = append(s.Machines, machineState{Machine: m, Process: process{PID: 10, StartTime: 20},
			Relays: []relay{{Process: process{PID: 11, StartTime: 21}, Listen: "198.18.7.1:4000", To: m.Address + ":22", DelayMS: 5}}})
	}
	return s
}

func sampleStateText(t testing.TB) string {
	data, err := json.Marshal(sampleState())
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestDecodeState(t *testing.T) {
	whole := sampleStateText(t)
	for _, c := range []struct{ name, text, want string }{
		{"reads what was written", whole, ""},
		{"refuses a torn file", whole[:len(whole)/2], "unexpected EOF"},
		{"refuses an unknown field", strings.Replace(whole, `"phase"`, `"phaze"`, 1), `unknown field "phaze"`},
		{"refuses something behind the object", whole + "{}", "something follows"},
		{"refuses another version", strings.Replace(whole, `"version":1`, `"version":2`, 1), "version 2"},
		{"refuses an unknown phase", strings.Replace(whole, `"ready"`, `"done"`, 1), `phase "done"`},
		{"refuses an index that is no network", strings.Replace(whole, `"index":7`, `"index":256`, 1), "index 256"},
		{"refuses a name that is a path", strings.Replace(whole, `"name":"dev"`, `"name":"../x"`, 1), `lab name "../x"`},
		{"refuses a machine name that is a path", strings.Replace(whole, `"name":"m1"`, `"name":"../m1"`, 1), `machine name "../m1"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := decodeState([]byte(c.text))
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			if diff := cmp.Diff(sampleState(), got); err == nil && diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func FuzzDecodeState(f *testing.F) {
	f.Add(sampleStateText(f))
	f.Add("{}")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := decodeState([]byte(text))
		if err != nil {
			return
		}
		data, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		again, err := decodeState(data)
		if diff := cmp.Diff(s, again); err != nil || diff != "" {
			t.Errorf("written and read again: %v\n%s", err, diff)
		}
	})
}

func TestProcessAlive(t *testing.T) {
	me := processOf(os.Getpid())
	other := me
	other.StartTime++
	for name, c := range map[string]struct {
		process process
		want    bool
	}{
		"knows this process":                       {me, true},
		"takes another with the same pid for dead": {other, false},
		"takes nobody for dead":                    {process{}, false},
		"takes a pid that cannot exist for dead":   {process{PID: 1 << 30, StartTime: 1}, false},
	} {
		if got := c.process.alive(); got != c.want {
			t.Errorf("%s: alive %t", name, got)
		}
	}
}
