package cli

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-dev/slipway/fleet"
	"github.com/slipway-dev/slipway/migration"
)

func TestChosenControllers(t *testing.T) {
	all := slices.Concat(fleet.Controllers(), migration.Controllers())
	for _, c := range []struct {
		name        string
		given, want []string
	}{
		{"no name is all", nil, all},
		{"a star is all", []string{"*"}, all},
		{"a name is that one", []string{"machine"}, []string{"machine"}},
		{"a domain is all of its own", []string{"migration"}, migration.Controllers()},
		{"a minus takes one off", []string{"*", "-prometheusendpoint"}, all[:len(all)-1]},
		{"a minus alone takes it off all", []string{"-fleet"}, migration.Controllers()},
		{"a minus counts wherever it stands", []string{"-migration", "fleet"}, fleet.Controllers()},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, chosenControllers(c.given)); diff != "" {
				t.Error(diff)
			}
			if err := checkControllers(c.given); err != nil {
				t.Error(err)
			}
		})
	}
	if err := checkControllers([]string{"-gardener"}); err == nil {
		t.Error("a controller that does not exist was taken")
	}
}
