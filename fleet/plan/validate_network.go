package plan

import (
	"fmt"
	"net/netip"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
)

// nodeBits is how long the prefix of a node's own range of pod addresses is, as kube-controller-manager cuts them.
func nodeBits(pods netip.Prefix) int {
	if pods.Addr().Is4() {
		return 24
	}
	return 64
}

// network checks the ranges of addresses against each other, the machines and the number of nodes.
func (f *findings) network() {
	const podPath, servicePath = "spec.network.podCIDRs", "spec.network.serviceCIDRs"
	pods, podsOK := f.cidr(podPath, f.spec.Network.PodCIDRs)
	services, servicesOK := f.cidr(servicePath, f.spec.Network.ServiceCIDRs)
	if podsOK {
		f.podRange(podPath+"[0]", pods)
		f.machinesOutside(podPath+"[0]", pods)
	}
	if servicesOK {
		f.serviceRange(servicePath+"[0]", services)
		f.machinesOutside(servicePath+"[0]", services)
	}
	switch {
	case !podsOK || !servicesOK:
	case pods.Addr().Is4() != services.Addr().Is4():
		f.add(servicePath+"[0]", "%s is of another family than the pods' %s; use the same", services, pods)
	case pods.Overlaps(services):
		f.add(servicePath+"[0]", "%s overlaps the pods' %s; choose ranges that have no address in common", services, pods)
	}
	if p := f.spec.Network.Plugin; p != v1alpha1.NetworkFlannel && p != v1alpha1.NetworkNone {
		f.add("spec.network.plugin", "%q is unknown%s; it can be flannel or None", p, didYouMean(string(p), []string{"flannel", "None"}))
	}
}

func (f *findings) cidr(path string, ranges []string) (netip.Prefix, bool) {
	if len(ranges) != 1 {
		f.add(path, "has %d ranges; it must have one", len(ranges))
		return netip.Prefix{}, false
	}
	prefix, err := netip.ParsePrefix(ranges[0])
	switch {
	case err != nil:
		f.add(path+"[0]", "%q is not a range of addresses such as 10.244.0.0/16", ranges[0])
		return netip.Prefix{}, false
	case prefix != prefix.Masked():
		f.add(path+"[0]", "%q has bits set behind its prefix; write %s", ranges[0], prefix.Masked())
		return netip.Prefix{}, false
	}
	return prefix, true
}

func (f *findings) podRange(path string, pods netip.Prefix) {
	nodes := int(f.spec.ControlPlane.Replicas)
	for _, w := range f.spec.Workers {
		if w.Replicas != nil {
			nodes += int(*w.Replicas)
		}
	}
	free := nodeBits(pods) - pods.Bits()
	switch {
	case free < 0:
		f.add(path, "%s is too small: each node takes a /%d of it", pods, nodeBits(pods))
	case free < 20 && 1<<free < nodes:
		f.add(path, "%s has room for %d nodes (each takes a /%d) and %d are wanted; choose a larger range, it cannot be changed later",
			pods, 1<<free, nodeBits(pods), nodes)
	}
}

func (f *findings) serviceRange(path string, services netip.Prefix) {
	host := services.Addr().BitLen() - services.Bits()
	switch {
	case host < 4:
		f.add(path, "%s is too small: the DNS service takes the tenth address", services)
	case host > 20:
		f.add(path, "%s is too large: the API server takes 20 bits at most, as in %s/%d", services, services.Addr(), services.Addr().BitLen()-20)
	}
}

// machinesOutside refuses ranges in which machines of the cluster have their addresses.
func (f *findings) machinesOutside(path string, prefix netip.Prefix) {
	for _, name := range sortedKeys(f.facts.Machines) {
		address, err := netip.ParseAddr(f.facts.Machines[name])
		if err == nil && prefix.Contains(address) {
			f.add(path, "%s holds the address of machine %s (%s); choose a range that the machines do not use", prefix, name, fmt.Sprint(address))
			return
		}
	}
}
