package plane

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const goodState = `{"version":1,"id":"ab","created":"2026-01-02T03:04:05Z","listenHost":"127.0.0.1","ports":{"apiServer":20001,"etcdClient":20002,"etcdPeer":20003,"controllerManager":20004}}`

func TestDecodeState(t *testing.T) {
	tests := map[string]struct{ data, err string }{
		"reads what was written":       {data: goodState},
		"refuses an unknown field":     {strings.Replace(goodState, `"id"`, `"colour":"red","id"`, 1), "unknown field"},
		"refuses a newer format":       {strings.Replace(goodState, `"version":1`, `"version":2`, 1), "version 2, this slipway knows version 1"},
		"refuses a missing id":         {strings.Replace(goodState, `"ab"`, `""`, 1), "id is missing"},
		"refuses a host name":          {strings.Replace(goodState, "127.0.0.1", "example.org", 1), "not an IP address"},
		"refuses a port out of range":  {strings.Replace(goodState, "20002", "70000", 1), "port 70000"},
		"refuses half a file":          {goodState[:40], "decoding"},
		"refuses something at the end": {goodState + "{}", "after the end"},
		"refuses an empty file":        {"", "decoding"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := decodeState([]byte(test.data))
			if (err == nil) != (test.err == "") || (err != nil && !strings.Contains(err.Error(), test.err)) {
				t.Errorf("decodeState: %v, want %q", err, test.err)
			}
		})
	}
}

func TestStateRoundTrip(t *testing.T) {
	dir := t.TempDir()
	want, err := loadState(dir, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	want.Ports.APIServer = 21000
	want.Restored = &Restored{Time: time.Unix(100, 0).UTC(), BackupTime: time.Unix(50, 0).UTC()}
	if err := want.write(dir); err != nil {
		t.Fatal(err)
	}
	got, err := loadState(dir, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func FuzzDecodeState(f *testing.F) {
	f.Add([]byte(goodState))
	f.Add([]byte(`{"version":1}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := decodeState(data)
		if err != nil {
			return
		}
		again, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decodeState(again); err != nil {
			t.Errorf("what was read cannot be read again: %v", err)
		}
	})
}
