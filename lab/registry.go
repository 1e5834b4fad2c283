package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/slipway-dev/slipway/durable"
)

// runtimeDir holds what concerns the whole host: which lab owns which index, and the labs' network namespaces.
const runtimeDir = "/run/slipway-lab"

// registry hands out indices. Two data directories on one host share it.
type registry struct {
	dir  string
	host Host
	// nets are the addresses that the host uses already.
	nets func() ([]netip.Prefix, error)
}

// claim is the owner's tag of one index.
type claim struct {
	Index int    `json:"index"`
	Name  string `json:"name"`
	Dir   string `json:"dir"`
	// Boot is the host's boot id: claims of an earlier boot own nothing.
	Boot string `json:"boot"`
	// Creator is who makes the lab, as long as that takes: when it dies, the lab is dead.
	Creator process `json:"creator"`
}

func newRegistry(host Host) registry {
	return registry{dir: runtimeDir, host: host, nets: hostNetworks}
}

func (r registry) lock(ctx context.Context) (func(), error) {
	unlock, err := lockFile(ctx, filepath.Join(r.dir, "lock"))
	if err != nil {
		return nil, fmt.Errorf("locking the list of labs: %w", err)
	}
	return unlock, nil
}

// reserve takes the lowest free index, or the wanted one when it is not zero.
func (r registry) reserve(ctx context.Context, name, dir string, wanted int) (int, error) {
	unlock, err := r.lock(ctx)
	if err != nil {
		return 0, err
	}
	defer unlock()
	taken, err := r.taken()
	if err != nil {
		return 0, err
	}
	index := wanted
	if wanted == 0 {
		for index = firstIndex; index <= lastIndex && taken[index]; index++ {
		}
	}
	if index > lastIndex || taken[index] {
		return 0, fmt.Errorf("no free network for lab %s: %d of %d in use; see slipway lab delete --stale",
			name, len(taken), lastIndex)
	}
	return index, r.write(claim{Index: index, Name: name, Dir: dir, Boot: bootID(), Creator: processOf(os.Getpid())})
}

// settle notes that the lab no longer depends on its creator, unless it was asked to.
func (r registry) settle(index int, name, dir string, withCreator bool) error {
	c := claim{Index: index, Name: name, Dir: dir, Boot: bootID()}
	if withCreator {
		c.Creator = processOf(os.Getpid())
	}
	return r.write(c)
}

func (r registry) write(c claim) error {
	data, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return durable.Replace(r.claimPath(c.Index), append(data, '\n'), 0o600)
}

func (r registry) release(index int) error {
	err := os.Remove(r.claimPath(index))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

func (r registry) claimPath(index int) string {
	return filepath.Join(r.dir, strconv.Itoa(index)+".json")
}

// taken lists the indices that a claim, a left-over cgroup or an address of the host speaks against.
func (r registry) taken() (map[int]bool, error) {
	taken := map[int]bool{}
	claims, err := r.claims()
	if err != nil {
		return nil, err
	}
	for _, c := range claims {
		taken[c.Index] = true
	}
	for _, index := range r.host.cgroupIndices() {
		taken[index] = true
	}
	nets, err := r.nets()
	if err != nil {
		return nil, fmt.Errorf("listing the host's addresses: %w", err)
	}
	for index := firstIndex; index <= lastIndex; index++ {
		mine := netip.MustParsePrefix(networkCIDR(index))
		for _, used := range nets {
			if used.Overlaps(mine) {
				taken[index] = true
			}
		}
	}
	return taken, nil
}

// claims returns the claims of this boot.
func (r registry) claims() ([]claim, error) {
	paths, err := filepath.Glob(filepath.Join(r.dir, "*.json"))
	if err != nil {
		return nil, err
	}
	var claims []claim
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading claim: %w", err)
		}
		index, err := strconv.Atoi(strings.TrimSuffix(filepath.Base(path), ".json"))
		if err != nil {
			continue
		}
		c := claim{Index: index, Boot: bootID()}
		if json.Unmarshal(data, &c) != nil || c.Index != index {
			c = claim{Index: index, Boot: bootID()} // torn: somebody's, nobody's; stale cleaning removes it
		}
		if c.Boot == bootID() {
			claims = append(claims, c)
		}
	}
	return claims, nil
}

func bootID() string {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

func hostNetworks() ([]netip.Prefix, error) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	var nets []netip.Prefix
	for _, addr := range addrs {
		prefix, err := netip.ParsePrefix(addr.String())
		if err == nil && prefix.Addr().Is4() {
			nets = append(nets, prefix.Masked())
		}
	}
	return nets, nil
}
