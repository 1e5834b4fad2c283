package engine

import (
	"os"
	"path/filepath"
	"testing"
)

// Alertmanager031 is the version of Alertmanager that there is a recipe for.
const Alertmanager031 = "0.31"

// Alertmanager is one that runs. Stop, Kill and Restart are those of its process.
type Alertmanager struct {
	*process
	URL     string // as http://127.0.0.1:40001
	Address string
}

// StartAlertmanager starts an Alertmanager without a cluster and waits until it is ready. It ends with the test; when the test
// fails, the end of its log is shown.
func StartAlertmanager(t testing.TB, version, config string) *Alertmanager {
	t.Helper()
	program := Program(t, "alertmanager-"+version, "alertmanager")
	own := t.TempDir()
	file := filepath.Join(own, "alertmanager.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	a := &Alertmanager{Address: FreeAddress(t)}
	a.URL = "http://" + a.Address
	a.process = &process{t: t, name: "alertmanager " + version, program: program, ready: a.URL + "/-/ready", logFile: filepath.Join(own, "log"),
		args: []string{"--config.file=" + file, "--storage.path=" + filepath.Join(own, "data"), "--web.listen-address=" + a.Address, "--cluster.listen-address="}}
	a.run()
	return a
}
