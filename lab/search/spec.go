package search

import (
	"errors"
	"fmt"
	"regexp"
)

// Limits of a cluster.
const (
	MaxNodes      = 20
	minHeapMiB    = 256
	defaultHeap   = 512
	tierAttribute = "tier"
)

// Spec says what a cluster is to be.
type Spec struct {
	Product Product `json:"product"`
	// Version is as 6.8.23, or the beginning of one as 6.8.
	Version string `json:"version"`
	// Nodes hold data and have no tier.
	Nodes int `json:"nodes,omitempty"`
	// Tiers are data nodes with the attribute tier.
	Tiers []Tier `json:"tiers,omitempty"`
	// Masters are dedicated masters; 0: every data node may be one.
	Masters int `json:"masters,omitempty"`
	// Searchers mount snapshots: the role search of OpenSearch 2, warm of OpenSearch 3.
	Searchers int `json:"searchers,omitempty"`
	// Repository is where snapshots go; empty: none is made.
	Repository Repository `json:"repository,omitempty"`
	// HeapMiB of each node; 0: 512.
	HeapMiB int `json:"heapMiB,omitempty"`
}

// Repository is a kind of snapshot repository.
type Repository string

// Repositories. RepositoryName is what the one that is made is called.
const (
	NoRepository Repository = ""
	SharedFolder Repository = "fs" // a folder that all nodes see
	S3           Repository = "s3" // an S3 server on loopback

	RepositoryName = "practice"
)

// Tier is a number of data nodes with node.attr.tier.
type Tier struct {
	Name  string `json:"name"`
	Nodes int    `json:"nodes"`
}

// Node is one server of a cluster.
type Node struct {
	Name string `json:"name"`
	// Tier is the value of its attribute tier; empty: none.
	Tier string `json:"tier,omitempty"`
	Role Role   `json:"role"`
	// URL is as http://127.0.0.1:40001; TransportPort is what nodes speak to each other on.
	URL           string `json:"url"`
	HTTPPort      int    `json:"httpPort"`
	TransportPort int    `json:"transportPort"`
	// Running is not stored: it is read from /proc.
	Running bool `json:"running"`
}

// Role is what a node does.
type Role string

// Roles.
const (
	All      Role = "All"      // data, and may be master
	Data     Role = "Data"     // data alone
	Master   Role = "Master"   // dedicated
	Searcher Role = "Searcher" // mounts snapshots
)

var (
	namePattern = regexp.MustCompile(`^[a-z][a-z0-9-]{0,19}$`)
	tierPattern = regexp.MustCompile(`^[a-z][a-z0-9]{0,19}$`)
)

// check refuses what cannot be started.
func (s *Spec) check() (Server, error) {
	server, err := Find(s.Product, s.Version)
	if err != nil {
		return Server{}, err
	}
	if s.HeapMiB == 0 {
		s.HeapMiB = defaultHeap
	}
	data, err := s.dataNodes()
	if err != nil {
		return Server{}, err
	}
	switch all := data + s.Masters + s.Searchers; {
	case s.Nodes < 0 || s.Masters < 0 || s.Searchers < 0 || data < 1:
		err = errors.New("want at least one data node and no number below 0")
	case all > MaxNodes:
		err = fmt.Errorf("%d nodes are more than %d, the most on one machine", all, MaxNodes)
	case s.HeapMiB < minHeapMiB:
		err = fmt.Errorf("a heap of %d MiB is less than %d MiB, the least that starts", s.HeapMiB, minHeapMiB)
	case s.Searchers > 0 && (server.Product != OpenSearch || server.major() < 2):
		err = fmt.Errorf("%s has no nodes that mount snapshots; OpenSearch 2 and 3 do", server)
	}
	return server, errors.Join(err, checkRepository(s.Repository, server))
}

// dataNodes counts those with and without a tier, and refuses tiers that cannot be.
func (s *Spec) dataNodes() (int, error) {
	data, seen := s.Nodes, map[string]bool{}
	for _, t := range s.Tiers {
		if !tierPattern.MatchString(t.Name) || t.Nodes < 1 || seen[t.Name] {
			return 0, fmt.Errorf("tier %q with %d nodes: want a name of letters and digits, once, and at least one node", t.Name, t.Nodes)
		}
		seen[t.Name] = true
		data += t.Nodes
	}
	return data, nil
}

// layout names the nodes of a checked spec: masters first, because they are started first.
func (s *Spec) layout() []Node {
	var nodes []Node
	add := func(n int, name, tier string, role Role) {
		for i := range n {
			nodes = append(nodes, Node{Name: fmt.Sprintf("%s-%d", name, i+1), Tier: tier, Role: role})
		}
	}
	data := All
	if s.Masters > 0 {
		data = Data
	}
	add(s.Masters, "master", "", Master)
	add(s.Nodes, "node", "", data)
	for _, t := range s.Tiers {
		add(t.Nodes, t.Name, t.Name, data)
	}
	add(s.Searchers, "searcher", "", Searcher)
	return nodes
}
