package transfer

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/slipway-dev/slipway/migration/block"
	"golang.org/x/sys/unix"
)

// BenchmarkTransfer moves the same blocks in turn by us (source and puller over mutual TLS on loopback; durable and
// verified at the end) and by rsync -a over SSH on loopback, or by cp where rsync or sshd is missing (durable at the end,
// verified by nobody). It reports MB/s, CPU seconds per GB of all processes of both sides, and how they compare. Our
// proof, the reading back, is measured once more alone, and its CPU taken off the copy. Absolute numbers mean nothing on a
// shared machine.
func BenchmarkTransfer(b *testing.B) {
	source, names := benchBlocks(b)
	rival, name := newRival(b)
	var ours, theirs, proof cost
	var bytes int64
	for b.Loop() {
		target := b.TempDir()
		ours.add(b, func() { bytes += benchPull(b, source, target, names) })
		proof.add(b, func() { benchProof(b, target, names) })
		check(os.RemoveAll(target))
		target = b.TempDir()
		theirs.add(b, func() { rival(b, source, target) })
		check(os.RemoveAll(target))
	}
	gigabytes := float64(bytes) / 1e9
	b.ReportMetric(gigabytes*1000/ours.took, "slipway-MB/s")
	b.ReportMetric(gigabytes*1000/theirs.took, name+"-MB/s")
	b.ReportMetric(theirs.took/ours.took, "speed/"+name)
	b.ReportMetric((ours.cpu-proof.cpu)/gigabytes, "copy-cpu-s/GB")
	b.ReportMetric(proof.cpu/gigabytes, "proof-cpu-s/GB")
	b.ReportMetric(theirs.cpu/gigabytes, name+"-cpu-s/GB")
	b.ReportMetric((ours.cpu-proof.cpu)/theirs.cpu, "copy-cpu/"+name)
	b.ReportMetric(0, "ns/op")
}

// cost is seconds of time, and of CPU of this process and the children that ended.
type cost struct{ took, cpu float64 }

func (c *cost) add(b *testing.B, f func()) {
	b.Helper()
	began, before := time.Now(), cpuSeconds()
	f()
	c.took += time.Since(began).Seconds()
	c.cpu += cpuSeconds() - before
}

func cpuSeconds() (sum float64) {
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var u unix.Rusage
		check(unix.Getrusage(who, &u))
		sum += float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
	}
	return sum
}

// benchBlocks makes one block of some 25 MB and seven that hold the same under other names.
func benchBlocks(b *testing.B) (string, []string) {
	dir := b.TempDir()
	w, err := tsdb.NewBlockWriter(quiet, dir, tsdb.DefaultBlockDuration)
	check(err)
	random := rand.New(rand.NewPCG(1, 2))
	app := w.Appender(b.Context())
	for i := range 1000 {
		series := labels.FromStrings("__name__", "metric", "instance", fmt.Sprintf("host-%d", i))
		for k := range int64(3000) {
			_, err := app.Append(0, series, fixtureStart+k*2000, random.Float64())
			check(err)
		}
	}
	check(app.Commit())
	first, err := w.Flush(b.Context())
	check(err)
	check(w.Close())
	names := []string{first.String()}
	meta, err := os.ReadFile(filepath.Join(dir, names[0], "meta.json"))
	check(err)
	for range 7 {
		name := ulid.Make().String()
		check(os.CopyFS(filepath.Join(dir, name), os.DirFS(filepath.Join(dir, names[0]))))
		check(os.WriteFile(filepath.Join(dir, name, "meta.json"), []byte(strings.ReplaceAll(string(meta), names[0], name)), 0o644))
		names = append(names, name)
	}
	return dir, names
}

func benchPull(b *testing.B, source, target string, names []string) int64 {
	keys := credentials(b)
	local, err := OpenLocal(LocalOptions{Data: source, Still: true}) // no throttle, as rsync has none
	check(err)
	l, err := Listen("127.0.0.1:0", filepath.Join(keys, "source"))
	check(err)
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- NewServer(ServerOptions{Source: local}).Serve(ctx, l) }()
	config, err := TargetTLS(filepath.Join(keys, "target"))
	check(err)
	c, err := NewClient(ClientOptions{Address: l.Addr().String(), TLS: config})
	check(err)
	r, err := Pull(ctx, PullOptions{Source: c, Target: target, Blocks: names})
	check(err)
	c.Close()
	cancel()
	check(<-done)
	check(local.Close())
	return r.BytesFetched
}

// benchProof reads back what was pulled, as Pull did.
func benchProof(b *testing.B, target string, names []string) {
	staging := filepath.Join(target, StagingFolder)
	d, err := block.Open(staging)
	check(err)
	defer d.Close()
	for _, name := range names {
		check(dropCached(filepath.Join(staging, name)))
		r, err := d.Scrub(b.Context(), name, block.ScrubOptions{SumsOnly: true, PieceBytes: 8 << 20})
		check(err)
		check(r.Err())
	}
}

// newRival is rsync over SSH, or cp.
func newRival(b *testing.B) (func(b *testing.B, source, target string), string) {
	sshd, errSSH := exec.LookPath("sshd")
	_, errRsync := exec.LookPath("rsync")
	if errSSH != nil || errRsync != nil {
		b.Log("rsync or sshd is missing: cp instead")
		return func(b *testing.B, source, target string) {
			command(b, "cp", "-r", source+"/.", target)
			command(b, "sync", "-f", target)
		}, "cp"
	}
	dir := b.TempDir()
	for _, key := range []string{"host", "user"} {
		command(b, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, key))
	}
	return func(b *testing.B, source, target string) { rsync(b, sshd, dir, source, target) }, "rsync"
}

// rsync pulls through an sshd of its own, which is ended so that its CPU time counts.
func rsync(b *testing.B, sshd, dir, source, target string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	_, port, err := net.SplitHostPort(l.Addr().String())
	check(err)
	check(l.Close())
	server := exec.Command(sshd, "-D", "-e", "-f", "/dev/null", "-h", filepath.Join(dir, "host"), "-p", port, "-o", "ListenAddress=127.0.0.1",
		"-o", "AuthorizedKeysFile="+filepath.Join(dir, "user.pub"), "-o", "StrictModes=no", "-o", "UsePAM=no", "-o", "PidFile=none")
	check(server.Start())
	b.Cleanup(func() { _ = server.Process.Kill() }) // when the rest fails; else it has ended
	for {
		conn, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err == nil {
			check(conn.Close())
			break
		}
	}
	path, err := exec.LookPath("rsync")
	check(err)
	key, err := os.ReadFile(filepath.Join(dir, "host.pub"))
	check(err)
	known := filepath.Join(dir, "known_hosts")
	check(os.WriteFile(known, []byte("[127.0.0.1]:"+port+" "+string(key)), 0o600))
	shell := "ssh -F none -p " + port + " -i " + filepath.Join(dir, "user") + " -o StrictHostKeyChecking=yes -o UserKnownHostsFile=" + known
	command(b, "rsync", "-a", "--rsync-path", path, "-e", shell, "127.0.0.1:"+source+"/", target)
	command(b, "sync", "-f", target)
	check(server.Process.Signal(unix.SIGTERM))
	_ = server.Wait() // it says that it was ended
}

func command(b *testing.B, name string, args ...string) {
	b.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		b.Fatalf("%s: %v\n%s", name, err, out)
	}
}
