package cli

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/go-logr/logr"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/slipway-dev/slipway/ansible"
	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/bundle"
	"github.com/slipway-dev/slipway/executor"
	"github.com/slipway-dev/slipway/fleet"
	"github.com/slipway-dev/slipway/fleet/host"
	"github.com/slipway-dev/slipway/fleet/remote"
	"github.com/slipway-dev/slipway/kube"
	"github.com/slipway-dev/slipway/migration"
)

// The domains; a name of one stands for all its controllers.
const (
	domainFleet     = "fleet"
	domainMigration = "migration"
)

// domains are the controllers of each domain.
func domains() map[string][]string {
	return map[string][]string{domainFleet: fleet.Controllers(), domainMigration: migration.Controllers()}
}

// controllerNames are all that --controllers takes without a minus.
func controllerNames() []string {
	return slices.Concat([]string{"*", domainMigration}, fleet.Controllers(), migration.Controllers())
}

// chosenControllers are those that a person's names mean: all where none is named, less those with a minus.
func chosenControllers(names []string) []string {
	all := slices.Concat(fleet.Controllers(), migration.Controllers())
	meant := func(name string) []string {
		if name == "*" {
			return all
		}
		if of, ok := domains()[name]; ok {
			return of
		}
		return []string{name}
	}
	var chosen, off []string
	for _, name := range names {
		if plain, minus := strings.CutPrefix(name, "-"); minus {
			off = append(off, meant(plain)...)
		} else {
			chosen = append(chosen, meant(name)...)
		}
	}
	if len(chosen) == 0 {
		chosen = all
	}
	return slices.DeleteFunc(slices.Clone(chosen), func(name string) bool { return slices.Contains(off, name) })
}

// within are the chosen controllers of a domain.
func within(chosen, domain []string) []string {
	return slices.DeleteFunc(slices.Clone(domain), func(name string) bool { return !slices.Contains(chosen, name) })
}

func checkControllers(names []string) error {
	for _, name := range names {
		if plain := strings.TrimPrefix(name, "-"); plain != domainFleet && !slices.Contains(controllerNames(), plain) {
			return fmt.Errorf("--controllers: there is no controller %q: choose from %s", plain, strings.Join(controllerNames(), ", "))
		}
	}
	return nil
}

// setup builds what the controllers work with and adds them to the manager.
func (p *operatorParts) setup(mgr ctrl.Manager) error {
	chosen := chosenControllers(p.options.controllers)
	freeze := kube.Freeze{Namespace: v1alpha1.FreezeNamespace, Name: v1alpha1.FreezeConfigMap}
	if err := migration.Setup(mgr, migration.Options{Controllers: within(chosen, migration.Controllers()), Freeze: freeze}); err != nil {
		return err
	}
	machines := within(chosen, fleet.Controllers())
	if len(machines) == 0 { // no name at all would mean all of them
		return nil
	}
	runs, clusters := &kube.Signal{}, &kube.Signal{}
	options := fleet.Options{
		Controllers: machines, RunChanged: runs, ClusterChanged: clusters,
		ContentVersion: p.content, Mirrors: p.mirrorURLs,
	}
	if p.mirror != nil {
		options.MirrorCA = func() []byte { return p.mirror.ca.Certificate }
	}
	releases, err := p.releases()
	if err != nil {
		return err
	}
	options.Releases = func() []fleet.Release { return releases }
	if p.options.executor == executorSimulated {
		err = p.simulate(&options)
	} else {
		err = p.connect(&options, mgr.GetConfig())
	}
	if err != nil {
		return err
	}
	return fleet.Setup(mgr, options)
}

// connect makes the hands that touch real hosts and clusters.
func (p *operatorParts) connect(o *fleet.Options, config *rest.Config) error {
	runs, err := p.newExecutor(o.RunChanged.Send, config)
	if err != nil {
		return err
	}
	p.closers = append(p.closers, runs.Close)
	prober, err := host.NewSSH(host.SSHOptions{})
	if err != nil {
		return err
	}
	p.closers = append(p.closers, func() error { prober.Close(); return nil })
	connector := remote.NewReal(remote.RealOptions{OnChange: o.ClusterChanged.Send})
	p.closers = append(p.closers, func() error { connector.Close(); return nil })
	o.Executor, o.Prober, o.Connector, o.Tasks = runs, prober, connector, taskCounts()
	return nil
}

type closingExecutor interface {
	executor.Executor
	Close() error
}

func (p *operatorParts) newExecutor(changed func(string), config *rest.Config) (closingExecutor, error) {
	log := slog.New(logr.ToSlogHandler(p.logger))
	if p.options.executor == executorProcess {
		return executor.NewProcess(executor.ProcessOptions{
			Dir: string(p.home), Content: p.contentDir, Venv: p.venv, MaxConcurrent: p.options.maxRuns, OnChange: changed, Log: log,
		})
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("connecting the executor of Jobs: %w", err)
	}
	return executor.NewJob(executor.JobOptions{
		Client: client, Namespace: p.options.jobNamespace, Image: p.options.jobImage, OnChange: changed, Log: log,
	})
}

// taskCounts tells how many tasks an entry point has for a role. The content is read once for each pair.
func taskCounts() func(v1alpha1.EntryPoint, v1alpha1.Role) int {
	var mu sync.Mutex
	known := map[string]int{}
	return func(entry v1alpha1.EntryPoint, role v1alpha1.Role) int {
		mu.Lock()
		defer mu.Unlock()
		key := string(entry) + " " + string(role)
		n, ok := known[key]
		if !ok {
			// An entry point of a site is not in the content: 0 says that nobody knows.
			n, _ = ansible.TaskCount(string(entry), strings.ReplaceAll(string(role), "-", "_"))
			known[key] = n
		}
		return n
	}
}

// contentDir is where a version of the content was extracted to, by this slipway or an older one.
func (p *operatorParts) contentDir(version string) (string, error) {
	dir := filepath.Join(p.home.content(), version)
	if !filepath.IsLocal(version) || !fileExists(filepath.Join(dir, "playbooks")) {
		return "", fmt.Errorf("content %s is not in %s: only the slipway that carries it can put it there", version, p.home.content())
	}
	return dir, nil
}

// releases are all versions of the content with all bundles; the newest content and the bundle that was named come first.
func (p *operatorParts) releases() ([]fleet.Release, error) {
	entries, err := os.ReadDir(p.home.content())
	if err != nil {
		return nil, fmt.Errorf("listing the content: %w", err)
	}
	versions := []string{p.content}
	for _, entry := range entries {
		if _, err := p.contentDir(entry.Name()); err == nil && entry.Name() != p.content {
			versions = append(versions, entry.Name())
		}
	}
	type installable struct {
		digest   string
		manifest *bundle.Manifest
	}
	var all []installable
	for _, b := range p.bundles {
		all = append(all, installable{b.Digest(), b.Manifest()})
	}
	if len(all) == 0 && p.options.executor == executorSimulated {
		digest, manifest, err := simulatedBundle()
		if err != nil {
			return nil, err
		}
		all = append(all, installable{digest, manifest})
	}
	var out []fleet.Release
	for _, version := range versions {
		for _, b := range all {
			out = append(out, fleet.Release{ContentVersion: version, BundleDigest: b.digest, Manifest: b.manifest})
		}
	}
	return out, nil
}

// simulate makes the hands that touch nothing. What they have done is kept, so that it survives a restart as hosts do.
func (p *operatorParts) simulate(o *fleet.Options) error {
	world, err := executor.OpenWorld(p.home.world())
	if err != nil {
		return err
	}
	p.closers = append(p.closers, world.Close)
	runs := executor.NewSimulated(executor.SimulatedOptions{
		World: world, OnChange: o.RunChanged.Send, Latency: executor.FixedLatency(p.options.simulatedLatency),
	})
	p.closers = append(p.closers, runs.Close)
	prober, err := openSimulatedHosts(filepath.Join(p.home.world(), "leases"))
	if err != nil {
		return err
	}
	p.closers = append(p.closers, prober.Close)
	o.Executor, o.Prober = runs, prober
	o.Connector = remote.NewSimulated(remote.SimulatedOptions{
		Joined: func(t remote.Target) []string { return world.Joined(t.UID) }, OnChange: o.ClusterChanged.Send,
	})
	return nil
}
