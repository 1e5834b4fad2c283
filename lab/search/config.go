package search

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// settings is the server's configuration file of one node; pure.
func settings(s Server, cluster string, node Node, all []Node, dir string) string {
	home := filepath.Join(dir, "nodes", node.Name)
	lines := []string{
		"cluster.name: " + cluster,
		"node.name: " + node.Name,
		"path.data: " + filepath.Join(home, "data"),
		"path.logs: " + filepath.Join(home, "logs"),
		"path.repo: [" + filepath.Join(dir, "snapshots") + "]",
		"network.host: 127.0.0.1",
		fmt.Sprintf("http.port: %d", node.HTTPPort),
		fmt.Sprintf("%s: %d", transportKey(s), node.TransportPort),
		// Of a size: a large disk that is nearly full is still room enough for practice.
		"cluster.routing.allocation.disk.watermark.low: 500mb",
		"cluster.routing.allocation.disk.watermark.high: 300mb",
		"cluster.routing.allocation.disk.watermark.flood_stage: 100mb",
	}
	if node.Tier != "" {
		lines = append(lines, "node.attr."+tierAttribute+": "+node.Tier)
	}
	if hasXPack(s) {
		lines = append(lines, "xpack.security.enabled: false") // it is on where nobody says anything
	}
	lines = append(lines, roleLines(s, node.Role)...)
	lines = append(lines, discoveryLines(s, all)...)
	return strings.Join(lines, "\n") + "\n"
}

func isOld(s Server) bool { return s.Product == Elasticsearch && s.major() < 7 }

// hasXPack says whether the zip has the core of x-pack and its security, and no more of it.
func hasXPack(s Server) bool { return s.Product == Elasticsearch && s.major() >= 8 }

func transportKey(s Server) string {
	if isOld(s) {
		return "transport.tcp.port"
	}
	return "transport.port"
}

// roleLines say what a node does; Elasticsearch 6.8 has one switch per role.
func roleLines(s Server, role Role) []string {
	if isOld(s) {
		switch role {
		case Master:
			return []string{"node.master: true", "node.data: false", "node.ingest: false"}
		case Data:
			return []string{"node.master: false", "node.data: true"}
		}
		return nil
	}
	newer := s.Product == OpenSearch && s.major() >= 2
	switch role {
	case Master:
		if newer {
			return []string{"node.roles: [cluster_manager]"}
		}
		return []string{"node.roles: [master]"}
	case Data:
		return []string{"node.roles: [data, ingest]"}
	case Searcher:
		name := "search"
		if s.major() >= 3 {
			name = "warm"
		}
		return []string{"node.roles: [" + name + "]", "node.search.cache.size: 64mb"}
	}
	return nil
}

func discoveryLines(s Server, all []Node) []string {
	var hosts, names []string
	for _, n := range all {
		if n.Role == All || n.Role == Master {
			hosts = append(hosts, fmt.Sprintf(`"127.0.0.1:%d"`, n.TransportPort))
			names = append(names, n.Name)
		}
	}
	list := strings.Join(hosts, ", ")
	if isOld(s) {
		return []string{"discovery.zen.ping.unicast.hosts: [" + list + "]", fmt.Sprintf("discovery.zen.minimum_master_nodes: %d", len(hosts)/2+1)}
	}
	key := "cluster.initial_master_nodes"
	if s.Product == OpenSearch && s.major() >= 2 {
		key = "cluster.initial_cluster_manager_nodes"
	}
	return []string{"discovery.seed_hosts: [" + list + "]", key + ": [" + strings.Join(names, ", ") + "]"}
}

// environment of a node's process. dirVariable is what it is found by.
func environment(s Server, node Node, dir, java string, heapMiB int, quick bool) []string {
	home := filepath.Join(dir, "nodes", node.Name)
	prefix := map[Product]string{Elasticsearch: "ES", OpenSearch: "OPENSEARCH"}[s.Product]
	// Newer servers touch the whole heap even where jvm.options does not say so; what stands here comes last.
	heap := fmt.Sprintf("-Xms%dm -Xmx%dm -XX:-AlwaysPreTouch", heapMiB, heapMiB)
	if quick {
		heap += " -XX:TieredStopAtLevel=1"
	}
	return []string{
		"PATH=/usr/local/bin:/usr/bin:/bin",
		"HOME=" + home,
		"JAVA_HOME=" + java, prefix + "_JAVA_HOME=" + java,
		prefix + "_PATH_CONF=" + filepath.Join(home, "config"),
		prefix + "_JAVA_OPTS=" + heap,
		prefix + "_TMPDIR=" + filepath.Join(home, "tmp"),
		dirVariable + "=" + home,
	}
}

// jvmOptions is the server's own jvm.options with its logs and dumps in the node's directory; touching the whole heap at the start is left out.
func jvmOptions(text, home string) string {
	for from, to := range map[string]string{
		"file=logs/":                         "file=" + filepath.Join(home, "logs") + "/",
		"ErrorFile=logs/":                    "ErrorFile=" + filepath.Join(home, "logs") + "/",
		"HeapDumpPath=data":                  "HeapDumpPath=" + filepath.Join(home, "data"),
		"# -XX:HeapDumpPath=/heap/dump/path": "-XX:HeapDumpPath=" + filepath.Join(home, "data"), // Elasticsearch 9 leaves it to the packages
		"-Xloggc:logs/gc.log":                "-Xloggc:" + filepath.Join(home, "logs", "gc.log"),
	} {
		text = strings.ReplaceAll(text, from, to)
	}
	lines := strings.Split(text, "\n")
	return strings.Join(slices.DeleteFunc(lines, func(line string) bool { return strings.Contains(line, "AlwaysPreTouch") }), "\n")
}
