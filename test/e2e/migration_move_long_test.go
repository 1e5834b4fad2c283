//go:build lab && long

package e2e

import "testing"

// TestMoveIntoClusterAndAPowerCut is TestMoveIntoCluster in which the new server's node loses its power after the cutover, too.
func TestMoveIntoClusterAndAPowerCut(t *testing.T) { moveIntoCluster(t, true) }
