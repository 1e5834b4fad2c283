//go:build lab && long

package e2e

import (
	"testing"

	"github.com/slipway-dev/slipway/test/engine"
)

// TestMoveIntoClusterAndAPowerCut is TestMoveIntoCluster in which the new server's node loses its power after the cutover, too.
func TestMoveIntoClusterAndAPowerCut(t *testing.T) { moveIntoCluster(t, engine.Prometheus316, true) }

// TestMoveIntoClusterOfTheLast2x is TestMoveIntoCluster with a 2.55 as the new server, which does not read its configuration by itself.
func TestMoveIntoClusterOfTheLast2x(t *testing.T) { moveIntoCluster(t, engine.Prometheus255, false) }
