package agent

import (
	"context"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"path"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/slipway-dev/slipway/migration/transfer"
	"github.com/slipway-dev/slipway/ssh"
)

// Options say which host, which data directory, and how the agent is to run.
type Options struct {
	Endpoint ssh.Endpoint
	// Data is the server's data directory on the host: absolute. Who logs in is its owner or root.
	Data string
	// Folder is where the agent's own folder is made; default /var/tmp. Programs must be allowed to run there.
	Folder string
	// Binary is slipway-agent on this host, built for that one.
	Binary string
	// Args are more flags of slipway-agent source, as -server=http://127.0.0.1:9090. No secrets: processes are listed.
	Args []string
	// Idle is after how long without a question the agent ends by itself; default 15 minutes.
	Idle time.Duration
	// Tell is told what is done on the host; nil: nobody.
	Tell func(text string)
}

// Left is what a host still has of us.
type Left struct {
	// Removed is the folder that was taken away, empty when there was none.
	Removed string `json:"removed,omitempty"`
	// Pinned is how many blocks stay pinned in PinFolder.
	Pinned    int    `json:"pinned,omitempty"`
	PinFolder string `json:"pinFolder,omitempty"`
}

// Agent is an agent on a host. Its Client is a source that survives its end and that of the connection: both are begun again when
// something is asked.
type Agent struct {
	o      Options
	name   string
	args   []string
	dialer *ssh.Dialer
	http   *transfer.Client

	mu      sync.Mutex
	client  *ssh.Client
	folder  string // as the host calls it
	started time.Time
}

// restartAfter keeps an agent that dies at once from being started without end.
const restartAfter = 5 * time.Second

// plain are names that need no quoting in any shell.
var plain = regexp.MustCompile(`^/[A-Za-z0-9/._-]*$`)

// New makes an Agent; nothing is reached yet.
func New(o Options) (*Agent, error) {
	if o.Folder == "" {
		o.Folder = "/var/tmp"
	}
	if o.Idle <= 0 {
		o.Idle = 15 * time.Minute
	}
	if o.Tell == nil {
		o.Tell = func(string) {}
	}
	if !path.IsAbs(o.Data) || strings.ContainsAny(o.Data, "\n\x00") {
		return nil, fmt.Errorf("the data directory on the host is %q: want an absolute path", o.Data)
	}
	if !plain.MatchString(o.Folder) {
		return nil, fmt.Errorf("the folder for the agent is %q: want an absolute path of letters, digits and ./_-", o.Folder)
	}
	o.Data = path.Clean(o.Data)
	sum := sha256.Sum256([]byte(o.Data))
	a := &Agent{o: o, name: "slipway-agent-" + hex.EncodeToString(sum[:6]), dialer: ssh.NewDialer(ssh.Options{})}
	var err error
	a.http, err = transfer.NewClient(transfer.ClientOptions{Dial: a.dial})
	return a, err
}

// Open puts the agent there, or takes over the one of an earlier run, and waits until it answers.
func Open(ctx context.Context, o Options) (*Agent, error) {
	a, err := New(o)
	if err != nil {
		return nil, err
	}
	if err := a.open(ctx); err != nil {
		a.giveUp()
		return nil, fmt.Errorf("starting the agent on %s: %w", o.Endpoint.Host, err)
	}
	return a, nil
}

func (a *Agent) open(ctx context.Context) error {
	a.mu.Lock()
	err := a.place(ctx)
	a.mu.Unlock()
	if err != nil {
		return err
	}
	return a.answers(ctx)
}

// Name is what the agent's folder is called on the host, below Options.Folder.
func (a *Agent) Name() string { return a.name }

// Source is the data directory of the host.
func (a *Agent) Source() transfer.Source { return a.http }

// place brings the program to the host where it is not there, and starts it where it does not run. The lock is held.
func (a *Agent) place(ctx context.Context) error {
	c, err := a.connect(ctx)
	if err != nil {
		return err
	}
	program, err := os.ReadFile(a.o.Binary)
	if err != nil {
		return fmt.Errorf("reading the agent's program (beside slipway, or --agent-binary): %w", err)
	}
	sum := sha256.Sum256(program)
	digest := hex.EncodeToString(sum[:])
	said, err := a.script(ctx, c, lookScript, "")
	if err != nil {
		return err
	}
	a.folder = said["folder"]
	if !plain.MatchString(a.folder) {
		return fmt.Errorf("the host calls its folder %q: name another place with --agent-folder", a.folder)
	}
	a.args = append([]string{"source", "-data=" + a.o.Data, "-listen=unix:" + a.socket(), "-as-owner", "-idle=" + a.o.Idle.String()}, a.o.Args...)
	if said["digest"] == digest && said["args"] == a.argsDigest() {
		a.o.Tell(fmt.Sprintf("The agent of an earlier run answers on %s", a.o.Endpoint.Host))
		return nil
	}
	if said["digest"] != digest {
		if err := a.send(ctx, c, program, digest, said["machine"]); err != nil {
			return err
		}
	}
	return a.start(ctx, c)
}

func (a *Agent) socket() string { return a.folder + "/sock" }

func (a *Agent) argsDigest() string {
	sum := sha256.Sum256([]byte(strings.Join(a.args, "\x00")))
	return hex.EncodeToString(sum[:])
}

// send sends the program. What arrives is judged there before it gets its name.
func (a *Agent) send(ctx context.Context, c *ssh.Client, program []byte, digest, machine string) error {
	if err := fits(a.o.Binary, machine); err != nil {
		return err
	}
	a.o.Tell(fmt.Sprintf("Putting %s (%d MB) into %s on %s", path.Base(a.o.Binary), len(program)>>20, a.folder, a.o.Endpoint.Host))
	result, err := c.Run(ctx, ssh.Command{Line: "dd bs=65536 of=" + a.folder + "/agent.part", Stdin: program})
	if err != nil {
		return fmt.Errorf("sending the agent: %w", err)
	}
	if result.ExitCode != 0 {
		return fmt.Errorf("sending the agent to %s: %s", a.folder, printable(result.Stderr))
	}
	_, err = a.script(ctx, c, placeScript, digest)
	return err
}

// fits holds the program's machine against the host's, as uname -m calls it.
func fits(binary, machine string) error {
	f, err := elf.Open(binary)
	if err != nil {
		return fmt.Errorf("reading the agent's program %s: %w", binary, err)
	}
	defer func() { _ = f.Close() }() // it was only read
	for name, m := range map[string]elf.Machine{"x86_64": elf.EM_X86_64, "aarch64": elf.EM_AARCH64} {
		if machine == name && f.Machine != m {
			return fmt.Errorf("the host is %s and %s is for %s: name one that is built for it with --agent-binary", machine, binary, f.Machine)
		}
	}
	return nil
}

// start starts the program, in place of one that runs. The lock is held.
func (a *Agent) start(ctx context.Context, c *ssh.Client) error {
	a.started = time.Now()
	said, err := a.script(ctx, c, startScript, a.argsDigest(), a.args...)
	if err != nil {
		return err
	}
	text := "The agent runs on " + a.o.Endpoint.Host
	if said["before"] != "" {
		text += "; the one before it said last: " + said["before"]
	}
	a.o.Tell(text)
	return nil
}

// connect gives the connection, a new one where there is none any more. The lock is held.
func (a *Agent) connect(ctx context.Context) (*ssh.Client, error) {
	if a.client != nil {
		select {
		case <-a.client.Done():
			a.client.Close()
			a.client = nil
		default:
			return a.client, nil
		}
	}
	c, err := a.dialer.Dial(ctx, a.o.Endpoint)
	if err != nil {
		return nil, err
	}
	a.client = c
	return c, nil
}

// dial connects to the agent, and starts it where nobody listens.
func (a *Agent) dial(ctx context.Context) (net.Conn, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c, err := a.connect(ctx)
	if err != nil {
		return nil, err
	}
	conn, err := c.Dial(ctx, "unix", a.socket())
	if err == nil {
		return conn, nil
	}
	select {
	case <-c.Done():
		return nil, err // the next question connects anew
	default:
	}
	if errors.As(err, new(*ssh.ForwardError)) || ctx.Err() != nil || time.Since(a.started) < restartAfter {
		return nil, err
	}
	if placed := a.place(ctx); placed != nil {
		return nil, placed
	}
	return c.Dial(ctx, "unix", a.socket())
}

// answers waits until the agent has measured what it measures first. One that died meanwhile says why.
func (a *Agent) answers(ctx context.Context) error {
	for tries := 0; ; tries++ {
		_, err := a.http.Status(ctx)
		if err == nil || ctx.Err() != nil || errors.As(err, new(*ssh.ForwardError)) || tries > 5 {
			return err
		}
		a.mu.Lock()
		c, broken := a.connect(ctx)
		var said map[string]string
		if broken == nil {
			said, broken = a.script(ctx, c, logScript, "")
		}
		a.mu.Unlock()
		if broken != nil {
			return broken
		}
		if said["running"] == "" {
			return fmt.Errorf("it ended: %s", said["log"])
		}
	}
}

// Remove ends the agent of whichever run and removes its folder. The pin in the data directory is the transfer's, and stays.
func (a *Agent) Remove(ctx context.Context) (*Left, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.http.Close()
	c, err := a.connect(ctx)
	if err != nil {
		return nil, err
	}
	said, err := a.script(ctx, c, removeScript, "")
	if said == nil {
		return nil, err
	}
	left := &Left{Removed: said["removed"]}
	if n, broken := strconv.Atoi(said["pinned"]); broken == nil {
		left.Pinned, left.PinFolder = n, path.Join(a.o.Data, "slipway-pin")
	}
	return left, err
}

// Close removes everything from the host but the pin, and hangs up. It takes 20 seconds at most.
func (a *Agent) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if _, err := a.Remove(ctx); err != nil {
		a.o.Tell(fmt.Sprintf("The agent is left on %s (%v): it ends after %s; slipway prometheus agent remove takes it away", a.o.Endpoint.Host, err, a.o.Idle))
	}
	a.HangUp()
}

// giveUp takes away what a start that did not succeed left, where there is a way to the host.
func (a *Agent) giveUp() {
	a.mu.Lock()
	placed := a.folder != ""
	a.mu.Unlock()
	if placed {
		a.Close()
		return
	}
	a.HangUp()
}

// HangUp ends the connection and leaves the agent where it is.
func (a *Agent) HangUp() {
	a.dialer.Close()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.client != nil {
		a.client.Close()
		a.client = nil
	}
}
