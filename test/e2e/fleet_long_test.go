//go:build lab && long

package e2e

import (
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/slipway-dev/slipway/lab"
)

// TestOperatorDiesAtAnyMoment kills the operator, its plane included, at random moments through three lives of a cluster.
// SEED in the environment repeats a run.
func TestOperatorDiesAtAnyMoment(t *testing.T) {
	seed, err := strconv.ParseUint(os.Getenv("SEED"), 10, 64)
	if err != nil {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("SEED=%d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	e := newEnv(t, "e2e-any", lab.Spec{Machines: 3, DiskBytes: gib(8)})
	e.approve()
	e.allIdle(shortTime)
	kills := 0
	killing := func(over func() bool) {
		for !over() {
			pause := time.NewTimer(time.Duration(random.Int64N(int64(25 * time.Second))))
			<-pause.C // the random moment is what is tested
			if over() {
				return
			}
			e.kill()
			e.start()
			kills++
		}
	}
	ready := func() bool { return e.isReady("shop") }
	for range 3 {
		e.slipway("cluster", "create", "shop", "--workers", "1", "--profile", "lab")
		killing(ready)
		e.ready(installTime, "shop")
		for _, replicas := range []string{"2", "1"} {
			e.slipway("cluster", "scale", "shop", "--replicas", replicas)
			killing(ready)
			e.ready(scaleTime, "shop")
		}
		e.slipway("cluster", "delete", "shop", "--yes")
		killing(func() bool { _, err := e.deployment("shop"); return err != nil })
		e.gone(cleanTime, "shop")
		e.allIdle(cleanTime)
		for _, m := range e.machines() {
			clean(t, e.lab, m.Name)
		}
		if twice := changedTwice(t, e.home, e.operations()); len(twice) > 0 {
			t.Fatalf("tasks that changed a host more than once:\n%s", strings.Join(twice, "\n"))
		}
	}
	t.Logf("%d kills", kills)
}
