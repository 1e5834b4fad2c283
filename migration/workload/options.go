package workload

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
)

// Options say for which migration, as whom and against what the pods work. What is not needed for an object may be empty.
type Options struct {
	// Name is the migration's; names of all objects follow from it.
	Name, Namespace string
	// Owner is set on all objects; nil where the migration lies in another cluster.
	Owner *metav1.OwnerReference

	// Image is the tools image, whose entry point is slipway.
	Image       string
	PullPolicy  corev1.PullPolicy
	PullSecrets []corev1.LocalObjectReference

	// Security is that of the target's pod: whoever writes to its volume has its user and groups. What the restricted standard asks for
	// beside is added; with nil the user is 65534.
	Security *corev1.PodSecurityContext
	// Tolerations are those of the target's pod.
	Tolerations []corev1.Toleration
	// Volume is where the target's data lies.
	Volume Volume
	// TargetPod are labels of the target's pod; pods that mount the volume stand on its node. Empty: there is no pod yet.
	TargetPod map[string]string
	// TargetURL is where pods reach the target itself, as in http://prometheus-ecs-pod.monitoring.svc:9090.
	TargetURL string

	Source Source
	// ShimSecret holds the folder source of slipway prometheus agent init, as which the shim shows itself to the target.
	ShimSecret string
	Rehearsal  Rehearsal
	// Except are jobs that may stay behind.
	Except    []string
	Overrides Overrides
	Transfer  Transfer
	// FreeBytes is what was measured to be free on the volume; 0: not known.
	FreeBytes int64
	Cutover   Cutover
	Grafana   Grafana
}

// Volume is the data directory of the target's server.
type Volume struct {
	ClaimName string
	// SubPath is the folder of the volume that the server has as its data directory; Prometheus Operator uses prometheus-db.
	SubPath string
	// At is where pods mount it; empty: DataDir.
	At string
}

// Source is how pods reach the old server.
type Source struct {
	// URL is its address as in http://monitor:9090.
	URL string
	// Agent is host:port of a source agent that runs already; AgentSecret holds the folder target of slipway prometheus agent init, for it.
	Agent, AgentSecret string
	// Host is the machine of the old server, where the pod starts an agent over SSH; it counts where there is no Agent.
	Host Host
}

// Host is reached over SSH.
type Host struct {
	// Address is a name or an IP address, Port 22 by default.
	Address string
	Port    int32
	User    string
	// DataDir is the server's data directory there, absolute.
	DataDir string
	// KeySecret is of type kubernetes.io/ssh-auth.
	KeySecret string
	// HostKey is the public key that the host must show, as in "ssh-ed25519 AAAA…".
	HostKey string
}

// Overrides are names of rules that are switched off, for each command its own: one that a command does not know is an error there.
type Overrides struct{ Rehearse, Preflight, Move []string }

// Rehearsal says what the target will be and need. Zero values leave the defaults of the command.
type Rehearsal struct {
	// NeedBytes are of all blocks, LargestBlockBytes of the largest one, HeadBytes of the write-ahead log and the head's chunks.
	NeedBytes, LargestBlockBytes, HeadBytes int64
	// Version is that of the target, Args are its command line.
	Version string
	Args    []string
}

// Transfer says how history travels. Zero values leave the defaults of the command.
type Transfer struct {
	// CeilingBytes is the most that is read in a second.
	CeilingBytes int64
	// LatencyPercent is how much slower the old server's queries may become; an agent that runs already has its own.
	LatencyPercent int64
	// LongestScrape is the longest interval at which the source scrapes. From it follow how long the target's head must begin at the same time
	// until that is the boundary, and for how long after both scrape the same the source's samples fill gaps: two scrapes, and some more.
	LongestScrape time.Duration
	// Scrapes is how many scrapes of each target must agree, Samples how many pairs of a series and a window are compared.
	Scrapes, Samples int
	// AcceptCoverage goes on although the target does not scrape the same.
	AcceptCoverage bool
	// Lost are blocks of the source whose samples are given up.
	Lost []string
}

// Cutover says what is cut over.
type Cutover struct {
	// SpecSecret holds cutover.yaml, the file of slipway prometheus cutover, and what it names by a relative path.
	SpecSecret string
	// Secrets are mounted, each into SecretFolder of its name, for the files that the spec names.
	Secrets []string
	// Approved are edits of the source that a person allowed.
	Approved []string
	// Watch is how long finalize looks whether somebody asks the source; 0: its default.
	Watch time.Duration
}

// Grafana says what the Grafana beside the target gets from an old one.
type Grafana struct {
	// DataDir and ProvisioningDir are the folders on the old host, which Source.Host reaches.
	DataDir, ProvisioningDir string
	// OldURL is the address of the old Grafana, NewURL that of the new one; UsersURL is what its data source asks in place of the old server.
	OldURL, NewURL, UsersURL string
	// APISecret lets in at the API of both.
	APISecret string
	// Bring and Alike are rules that are switched off, for each command its own.
	Bring, Alike []string
}

// Where pods find what they are given.
const (
	// DataDir is where the target's data directory is mounted, as in the target's own pod.
	DataDir = "/prometheus"
	// MoveFolder and CutoverFolder keep what the next attempt has to know. Prometheus ignores folders of these names.
	MoveFolder    = DataDir + "/slipway-move"
	CutoverFolder = DataDir + "/slipway-cutover"

	root        = "/etc/slipway/"
	agentFolder = root + "agent"
	sshFolder   = root + "ssh"
	shimFolder  = root + "shim"
	specFolder  = root + "cutover"
	apiFolder   = root + "grafana"
	// SpecKey is the key of the cutover's file in its Secret.
	SpecKey = "cutover.yaml"
)

// SecretFolder is where a Secret of Cutover.Secrets is mounted.
func SecretFolder(name string) string { return root + "secrets/" + name }

// maxName leaves room for the longest suffix within a label's 63 characters.
const maxName = 63 - len("-preflight")

// Workload gives the objects of one migration.
type Workload struct{ o Options }

// New checks the options.
func New(o Options) (*Workload, error) {
	var problems []error
	add := func(bad bool, text string, words ...any) {
		if bad {
			problems = append(problems, fmt.Errorf(text, words...))
		}
	}
	// A Service is named after the migration, and such a name begins with a letter.
	add(len(validation.IsDNS1035Label(o.Name)) > 0 || len(o.Name) > maxName,
		"metadata.name %q: want at most %d small letters, digits and dashes that begin with a letter: pods and a Service are named after it", o.Name, maxName)
	add(o.Namespace == "", "the namespace is empty")
	add(o.Image == "", "spec.tools.image is empty: it is the image that slipway image build makes")
	add(o.Volume.ClaimName == "", "the name of the target's claim is not known")
	add(o.Source.URL == "", "spec.source.url is empty")
	for _, f := range []struct {
		name  string
		words []string
	}{{"spec.coverage.except", o.Except}, {"spec.overrides", slices.Concat(o.Overrides.Rehearse, o.Overrides.Preflight, o.Overrides.Move, o.Grafana.Bring, o.Grafana.Alike)}, {"spec.approved", o.Cutover.Approved}, {"lost blocks", o.Transfer.Lost}} {
		// The flags take lists.
		i := slices.IndexFunc(f.words, func(w string) bool { return w == "" || strings.ContainsAny(w, ",\"\n") })
		add(i >= 0, "%s: %q has a comma, a quotation mark or a line end, or is empty", f.name, append(f.words, "")[max(i, 0)])
	}
	if err := errors.Join(problems...); err != nil {
		return nil, fmt.Errorf("planning the pods of a migration: %w", err)
	}
	return &Workload{o: o}, nil
}
