package search

import (
	"archive/zip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/slipway-dev/slipway/durable"
)

// ErrNotFound says that no cluster has that name.
var ErrNotFound = errors.New("not found")

// patience is how long a cluster may take to start.
const patience = 10 * time.Minute

// Options say where clusters and zips are kept.
type Options struct {
	// Home holds a directory per cluster, below search. Empty: $SLIPWAY_HOME, else /var/lib/slipway-lab for root, ~/.local/share/slipway for others.
	Home string
	// Cache holds the zips. Empty: $SLIPWAY_CACHE, else ~/.cache/slipway.
	Cache string
	// Java is the home of a JDK; empty: the newest below /usr/lib/jvm that fits.
	Java string
	// WithCreator ends the servers with the process that started them: for tests.
	WithCreator bool
	// QuickStart has Java compile once and lightly: servers start with much less work and are slower from then on. For tests of a minute.
	QuickStart bool
	// Progress receives a line per step; nil: nothing is said.
	Progress io.Writer
}

// Cluster is one that was made.
type Cluster struct {
	Name      string    `json:"name"`
	Spec      Spec      `json:"spec"`
	CreatedAt time.Time `json:"createdAt"`
	Nodes     []Node    `json:"nodes"`
	// Snapshots is the directory where repositories of the type fs may lie.
	Snapshots string `json:"snapshots"`
	// Gateway is the S3 server; nil where the repository is another.
	Gateway *Gateway `json:"gateway,omitempty"`
}

func (o Options) say(format string, args ...any) {
	if o.Progress != nil {
		fmt.Fprintf(o.Progress, format+"\n", args...)
	}
}

func (o Options) withDefaults() (Options, error) {
	user, err := os.UserHomeDir()
	if err != nil && (o.Home == "" || o.Cache == "") {
		return o, fmt.Errorf("finding the home directory: %w", err)
	}
	o.Cache = first(o.Cache, os.Getenv("SLIPWAY_CACHE"), filepath.Join(user, ".cache", "slipway"))
	own := filepath.Join(user, ".local", "share", "slipway")
	if os.Getuid() == 0 {
		own = "/var/lib/slipway-lab"
	}
	if o.Home, err = filepath.Abs(first(o.Home, os.Getenv("SLIPWAY_HOME"), own)); err != nil {
		return o, fmt.Errorf("finding the data directory: %w", err)
	}
	return o, nil
}

func first(texts ...string) string {
	return texts[slices.IndexFunc(texts, func(s string) bool { return s != "" })]
}

func (o Options) dir(name string) string { return filepath.Join(o.Home, "search", name) }

// Create makes a cluster and waits until all its nodes are one. What it could not start is left, for its logs; Delete takes it away.
func Create(ctx context.Context, o Options, name string, spec Spec) (*Cluster, error) {
	if !namePattern.MatchString(name) {
		return nil, fmt.Errorf("cluster name %q: want 1 to 20 lower-case letters, digits and hyphens, a letter first", name)
	}
	server, err := spec.check()
	if err != nil {
		return nil, err
	}
	if o, err = o.withDefaults(); err != nil {
		return nil, err
	}
	java, err := findJava(server, o.Java, []string{"/usr/lib/jvm"})
	if err != nil {
		return nil, err
	}
	file, err := fetch(ctx, o, server)
	if err != nil {
		return nil, err
	}
	dir := o.dir(name)
	c := &Cluster{Name: name, Spec: spec, CreatedAt: time.Now().UTC().Truncate(time.Second), Nodes: spec.layout(), Snapshots: filepath.Join(dir, "snapshots")}
	c.Spec.Version = server.Version
	if err := c.lay(dir, file, server); err != nil {
		return nil, err
	}
	if spec.Repository == S3 {
		if err := c.layS3(ctx, o, server, dir, java); err != nil {
			return nil, fmt.Errorf("laying out S3: %w", err)
		}
	}
	for _, node := range c.Nodes {
		o.say("Starting %s of %s at %s", node.Name, server, node.URL)
		home := filepath.Join(dir, "nodes", node.Name)
		program := filepath.Join(dir, "server", "bin", string(server.Product))
		if err := launch(program, environment(server, node, dir, java, c.Spec.HeapMiB, o.QuickStart), home, o.WithCreator); err != nil {
			return nil, fmt.Errorf("starting %s: %w", node.Name, err)
		}
	}
	if err := c.wait(ctx, dir); err != nil {
		return c, err
	}
	return c, c.register(ctx)
}

// layS3 starts the S3 server of a cluster that is laid out, and tells the nodes of it.
func (c *Cluster) layS3(ctx context.Context, o Options, s Server, dir, java string) error {
	jars, err := fetchPlugin(ctx, o, s)
	if err != nil {
		return err
	}
	program, err := buildGateway(ctx, o)
	if err != nil {
		return err
	}
	secret := newSecret()
	if c.Gateway, err = startGateway(ctx, o, program, dir, secret); err != nil {
		return err
	}
	if err := errors.Join(layPlugin(jars, filepath.Join(dir, "server"), s), c.write(dir)); err != nil {
		return err
	}
	for _, n := range c.Nodes {
		f, err := os.OpenFile(filepath.Join(dir, "nodes", n.Name, "config", string(s.Product)+".yml"), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(f, "s3.client.default.endpoint: %s\ns3.client.default.region: us-east-1\ns3.client.default.path_style_access: true\n", c.Gateway.URL)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return layKeys(ctx, s, c, dir, java, secret)
}

// register makes the repository that the cluster was asked for; the server tries it from every node.
func (c *Cluster) register(ctx context.Context) error {
	var body string
	switch c.Spec.Repository {
	case NoRepository:
		return nil
	case S3:
		body = fmt.Sprintf(`{"type":"s3","settings":{"bucket":%q}}`, Bucket)
	case SharedFolder:
		body = fmt.Sprintf(`{"type":"fs","settings":{"location":%q}}`, filepath.Join(c.Snapshots, RepositoryName))
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, c.Nodes[0].URL+"/_snapshot/"+RepositoryName, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("making the repository: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(io.LimitReader(res.Body, 4096)) // what cannot be read is not shown
		return fmt.Errorf("making the repository: status %d: %s", res.StatusCode, tail(string(said), 600))
	}
	return nil
}

// Lose ends a node for good, as a machine that burns: its process, then its disk.
func Lose(ctx context.Context, o Options, name, node string) error {
	c, err := Open(o, name)
	if err != nil {
		return err
	}
	if o, err = o.withDefaults(); err != nil {
		return err
	}
	if !slices.ContainsFunc(c.Nodes, func(n Node) bool { return n.Name == node }) {
		return fmt.Errorf("node %s of cluster %s: %w", node, name, ErrNotFound)
	}
	home := filepath.Join(o.dir(name), "nodes", node)
	if err := end(ctx, home); err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Join(home, "data")); err != nil {
		return fmt.Errorf("removing the disk of %s: %w", node, err)
	}
	return nil
}

// lay makes the directory of a cluster; it must not be there.
func (c *Cluster) lay(dir, file string, s Server) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return fmt.Errorf("making the data directory: %w", err)
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("there is a cluster %s already; take it away with slipway lab search delete %s", c.Name, c.Name)
		}
		return fmt.Errorf("making the cluster's directory: %w", err)
	}
	if err := entrable(dir); err != nil {
		return errors.Join(err, os.Remove(dir))
	}
	if err := c.ports(); err != nil {
		return err
	}
	if err := c.write(dir); err != nil {
		return err
	}
	files, err := zip.OpenReader(file)
	if err != nil {
		return fmt.Errorf("opening the zip of %s: %w", s, err)
	}
	defer func() { _ = files.Close() }() // it was read
	if err := unpack(files, filepath.Join(dir, "server")); err != nil {
		return fmt.Errorf("unpacking %s: %w", s, err)
	}
	for _, node := range c.Nodes {
		if err := layNode(s, c, node, dir); err != nil {
			return fmt.Errorf("laying out %s: %w", node.Name, err)
		}
	}
	return own(filepath.Join(dir, "snapshots"))
}

func layNode(s Server, c *Cluster, node Node, dir string) error {
	home := filepath.Join(dir, "nodes", node.Name)
	config := filepath.Join(home, "config")
	for _, sub := range []string{"data", "logs", "tmp"} {
		if err := os.MkdirAll(filepath.Join(home, sub), 0o755); err != nil {
			return err
		}
	}
	if err := os.CopyFS(config, os.DirFS(filepath.Join(dir, "server", "config"))); err != nil {
		return err
	}
	options, err := os.ReadFile(filepath.Join(config, "jvm.options"))
	if err != nil {
		return err
	}
	err = errors.Join(
		os.WriteFile(filepath.Join(config, "jvm.options"), []byte(jvmOptions(string(options), home)), 0o644),
		os.WriteFile(filepath.Join(config, string(s.Product)+".yml"), []byte(settings(s, c.Name, node, c.Nodes, dir)), 0o644))
	return errors.Join(err, own(home))
}

// own gives a directory, made when needed, to the user of the servers.
func own(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil || os.Getuid() != 0 {
		return err
	}
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, user, user)
	})
}

// entrable says whether the user of the servers may enter a directory.
func entrable(dir string) error {
	for path := dir; os.Getuid() == 0 && path != "/"; path = filepath.Dir(path) {
		info, err := os.Stat(path)
		if err != nil {
			return fmt.Errorf("looking at %s: %w", path, err)
		}
		if info.Mode().Perm()&0o001 == 0 {
			return fmt.Errorf("%s has the mode %o: the servers run as a user of their own (%d), who may not enter; name another directory with --home",
				path, info.Mode().Perm(), user)
		}
	}
	return nil
}

// ports finds free ones. All are held until all are found.
func (c *Cluster) ports() error {
	for i := range c.Nodes {
		for _, port := range []*int{&c.Nodes[i].HTTPPort, &c.Nodes[i].TransportPort} {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return fmt.Errorf("finding a free port: %w", err)
			}
			defer l.Close()
			*port = l.Addr().(*net.TCPAddr).Port
		}
		c.Nodes[i].URL = fmt.Sprintf("http://127.0.0.1:%d", c.Nodes[i].HTTPPort)
	}
	return nil
}

func (c *Cluster) write(dir string) error {
	data, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	if err := durable.Replace(filepath.Join(dir, "cluster.json"), append(data, '\n'), 0o644); err != nil {
		return fmt.Errorf("noting the cluster: %w", err)
	}
	return nil
}

// wait returns when the cluster has all its nodes.
func (c *Cluster) wait(ctx context.Context, dir string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		last := c.joined(ctx)
		if last == nil {
			return nil
		}
		running, err := processes(dir)
		if err != nil {
			return err
		}
		for _, n := range c.Nodes {
			home := filepath.Join(dir, "nodes", n.Name)
			if len(running[home]) == 0 {
				log, _ := os.ReadFile(filepath.Join(home, "out.log")) // what cannot be read is not shown
				return fmt.Errorf("%s has ended: %s", n.Name, tail(string(log), 1500))
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %d nodes: %w (%w); logs are below %s", len(c.Nodes), ctx.Err(), last, dir)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (c *Cluster) joined(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for _, n := range c.Nodes {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.URL+"/_cluster/health?filter_path=number_of_nodes", nil)
		if err != nil {
			return err
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		var health struct {
			Nodes int `json:"number_of_nodes"`
		}
		if err := json.NewDecoder(io.LimitReader(res.Body, 1<<16)).Decode(&health); err != nil {
			return fmt.Errorf("reading the health of %s: %w", n.Name, err)
		}
		if health.Nodes != len(c.Nodes) {
			return fmt.Errorf("%s sees %d nodes", n.Name, health.Nodes)
		}
	}
	return nil
}

// Open is the cluster of that name, or ErrNotFound.
func Open(o Options, name string) (*Cluster, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(filepath.Join(o.dir(name), "cluster.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cluster %s: %w", name, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("reading cluster %s: %w", name, err)
	}
	var c Cluster
	if err := json.Unmarshal(data, &c); err != nil {
		return nil, fmt.Errorf("reading cluster %s: %w", name, err)
	}
	running, err := processes(o.dir(name))
	if err != nil {
		return nil, err
	}
	for i, n := range c.Nodes {
		c.Nodes[i].Running = len(running[filepath.Join(o.dir(name), "nodes", n.Name)]) > 0
	}
	return &c, nil
}

// Names are all clusters that have a directory, whole or not.
func Names(o Options) ([]string, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(filepath.Join(o.Home, "search"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listing clusters: %w", err)
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() && namePattern.MatchString(e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// Delete ends the servers of a cluster and removes all of it, its snapshots included. One that is half made is taken away too.
func Delete(ctx context.Context, o Options, name string) error {
	o, err := o.withDefaults()
	if err != nil {
		return err
	}
	dir := o.dir(name)
	if _, err := os.Stat(dir); !namePattern.MatchString(name) || errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cluster %s: %w", name, ErrNotFound)
	}
	if err := end(ctx, dir); err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("removing cluster %s: %w", name, err)
	}
	return nil
}
