//go:build lab

package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/slipway-dev/slipway/migration/transfer"
)

// bigBlock is the place, from the newest, of the block that holds most bytes: see writeHistory.
const bigBlock = 2

// TestTransferBetweenTwoHosts moves the blocks of a running Prometheus 2.42 from one machine to another by the programs that
// a user starts, and lets everything happen to them meanwhile.
func TestTransferBetweenTwoHosts(t *testing.T) {
	h := newHostPair(t, "e2e-hosts", gib(3), 150<<20)
	queries := h.ask()
	t.Run("over mutual TLS everything lands through kills, a cut cable, a freeze and retention", func(t *testing.T) {
		h.t = t
		overTLS(h, queries)
	})
	t.Run("through SSH everything lands but damaged blocks, which are named, through a full disk and a flipped byte", func(t *testing.T) {
		h.t = t
		throughSSH(h)
	})
	h.t = t
	asked, failures := queries.result()
	if asked < 10 || len(failures) > 0 {
		t.Errorf("%d of %d questions to the old server went wrong: %q", len(failures), asked, failures)
	}
}

func overTLS(h *hostPair, queries *load) {
	t := h.t
	h.credentials()
	h.start(oldHost, "blocks", "/usr/local/bin/slipway-agent", "source", "-data", oldData, "-listen", ":9797", "-credentials", "/home/prometheus/source",
		"-server", "http://127.0.0.1:9090", "-latency-budget", "900", "-ceiling", "10000000", "-keep-free", "67108864")
	h.listens("9797")
	sums, names := h.blocks(oldHost, oldData)
	oldest := names[len(names)-1]
	pull := func() {
		h.start(newHost, "pull", "/usr/local/bin/slipway-agent", "target", "-from", h.address(oldHost)+":9797", "-to", newData, "-credentials", "/home/mover/target")
	}
	pull()
	h.reaches("whole", "", 2, ":")
	h.kill(oldHost, "blocks") // it is started again by its unit
	h.reaches("piece", names[bigBlock], 8, "systemctl kill -s KILL pull")
	pull()
	h.eventually("the old host has pinned what is missing again", func() error {
		_, err := h.try(oldHost, `test -e "$1/slipway-pin/$2/meta.json" && systemctl is-active blocks`, oldData, oldest)
		return err
	})
	must(t, h.lab.Unplug(t.Context(), newHost))
	h.pulls()

	// While the cable is out the server is restarted by its owner, and its retention takes the oldest block.
	queries.pause(true)
	h.serve("28d") // the oldest block ends 29 days before the newest, the one after it 27
	queries.pause(false)
	h.eventually("retention deletes the oldest block", func() error {
		_, err := h.try(oldHost, `test ! -e "$1/$2"`, oldData, oldest)
		return err
	})
	h.pass(2 * time.Second)
	before := strings.ReplaceAll(h.sourceState(), "slipway-pin\n", "")
	must(t, h.lab.Plug(t.Context(), newHost))
	must(t, h.lab.Freeze(t.Context(), oldHost))
	h.pass(2 * time.Second)
	must(t, h.lab.Thaw(t.Context(), oldHost))
	h.pulls()

	p := h.ends()
	if p.exit != "0" || len(p.Pull.Blocks) != len(names) || p.Pull.BytesKept < 64<<20 {
		t.Fatalf("exit %s, %d of %d blocks, %d bytes kept\n%s", p.exit, len(p.Pull.Blocks), len(names), p.Pull.BytesKept, p.said)
	}
	h.same(sums)
	h.untouched(before)
}

// throughSSH runs with a flipped byte and a truncated index on the old disk until both are mended.
func throughSSH(h *hostPair) {
	t := h.t
	h.sh(oldHost, `systemctl stop blocks`)
	h.sh(newHost, `rm -rf "$1"`, staging)
	h.trust()
	before := h.sourceState()
	sums, names := h.blocks(oldHost, oldData)
	flipped, truncated := oldData+"/"+names[4]+"/chunks/000001", oldData+"/"+names[7]+"/index"
	// The server has the files open: it goes on with what it has, and the damage is in the file that has the name now.
	h.sh(oldHost, `for f in "$1" "$2"; do cp -p "$f" "$f.bad"; done; `+flip+`
		flip "$1.bad" 1000000; truncate -s 20000 "$2.bad"; mkdir /root/good
		mv "$1" /root/good/chunks; mv "$1.bad" "$1"; mv "$2" /root/good/index; mv "$2.bad" "$2"`, flipped, truncated)
	h.start(oldHost, "blocks", "/usr/local/bin/slipway", "prometheus", "agent", "source", oldData, "--listen", "unix:"+blocksSocket,
		"--full-speed", "--ceiling", "10MiB", "--keep-free", "64MiB")
	h.eventually("the source listens", func() error { _, err := h.try(oldHost, `test -S "$1"`, blocksSocket); return err })
	if ports := h.sh(oldHost, `ss -Hltn | tr -s ' ' | cut -d' ' -f4 | sed 's/.*://' | sort -un | tr '\n' ' '`); ports != "22 9090" {
		t.Fatalf("the old host listens at %s: nothing but sshd and the server is wanted", ports)
	}
	h.tunnel()

	fullDisk(h, names[bigBlock])
	damagedBlocks(h, names)
	// Mended in place: the pin holds the same files.
	h.sh(oldHost, `cat /root/good/chunks > "$1"; cat /root/good/index > "$2"`, flipped, truncated)
	h.pullThroughSSH()
	if p := h.ends(); p.exit != "0" || len(p.Pull.Blocks) != len(names) || p.Pull.BytesKept < 64<<20 {
		t.Fatalf("with a mended disk: exit %s, %d of %d blocks, %d bytes kept\n%s", p.exit, len(p.Pull.Blocks), len(names), p.Pull.BytesKept, p.said)
	}
	h.same(sums)
	h.sh(oldHost, `mv /root/good/chunks "$1"; mv /root/good/index "$2"`, flipped, truncated)
	h.untouched(before)
}

func (h *hostPair) pullThroughSSH() {
	h.t.Helper()
	h.start(newHost, "pull", "/usr/local/bin/slipway", "prometheus", "pull", "unix:"+tunnelSocket, newData, "-o", "json")
}

// fullDisk flips a byte that arrived and is not yet read back, and fills the disk: the pull stops, and the next one finds both.
func fullDisk(h *hostPair, big string) {
	t := h.t
	h.pullThroughSSH()
	h.reaches("piece", big, 8, "systemctl kill -s STOP pull")
	if n := h.sh(newHost, `grep -c "\"k\":\"whole\",\"b\":\"$2" "$1" || :`, staging+"/journal", big); n != "0" {
		t.Fatal("the big block is whole already: there is nothing left to flip")
	}
	h.sh(newHost, flip+` flip "$1" 5000`, staging+"/"+big+"/chunks/000001")
	must(t, h.lab.FillDisk(t.Context(), newHost, 0))
	h.sh(newHost, `systemctl kill -s CONT pull`)
	if p := h.ends(); p.exit != "1" || !strings.Contains(p.said, "make room and run again") {
		t.Fatalf("with a full disk: exit %s\n%s", p.exit, p.said)
	}
	must(t, h.lab.FreeDisk(t.Context(), newHost))
}

// damagedBlocks pulls all but the two that are damaged on the old disk, while ssh is killed.
func damagedBlocks(h *hostPair, names []string) {
	t := h.t
	h.pullThroughSSH()
	h.reaches("whole", names[bigBlock], 1, ":")
	h.kill(newHost, "tunnel") // it is started again by its unit
	p := h.ends()
	bad := map[string]bool{}
	for _, b := range p.Pull.Blocks {
		if b.State == transfer.Bad {
			bad[b.Name] = true
		}
	}
	if diff := cmp.Diff(map[string]bool{names[4]: true, names[7]: true}, bad); diff != "" || p.exit != "1" || len(p.Pull.Blocks) != len(names) {
		t.Fatalf("exit %s, blocks that are bad (-want +got):\n%s\n%s", p.exit, diff, p.said)
	}
	for _, want := range []string{names[4] + "/chunks/000001 is damaged on the source disk", names[7] + "/index is damaged on the source disk"} {
		if !strings.Contains(p.said, want) {
			t.Errorf("the pull does not say %q:\n%s", want, p.said)
		}
	}
}

// flip is a shell function that turns a byte of a file into another one.
const flip = `flip() { c=$(od -An -tu1 -j "$2" -N 1 "$1" | tr -d ' '); printf "\\$(printf %o $(( c ^ 16 )))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none; };`

// same holds what is staged against what the old disk had before.
func (h *hostPair) same(want map[string]string) {
	h.t.Helper()
	got, _ := h.blocks(newHost, staging)
	if diff := cmp.Diff(want, got); diff != "" || len(want) < 30 {
		h.t.Errorf("what landed is not what the old host has (-want +got):\n%s", diff)
	}
	if owners := h.sh(newHost, `find "$1" ! -user mover`, staging); owners != "" {
		h.t.Errorf("not the puller's own: %s", owners)
	}
}

// untouched holds the old host against what it was.
func (h *hostPair) untouched(want string) {
	h.t.Helper()
	if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(h.sourceState(), "\n")); diff != "" {
		h.t.Errorf("the old host is not as it was (-want +got):\n%s", diff)
	}
	if linked := h.sh(oldHost, `find "$1" -type f -links +1`, oldData); linked != "" {
		h.t.Errorf("there are links left: %s", linked)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
