package host

import (
	"bytes"
	_ "embed" // the scripts
	"fmt"
	"strings"
)

//go:embed script/inspect.sh
var inspectScript string

//go:embed script/ping.sh
var pingScript string

//go:embed script/fence.sh
var fenceScript string

const (
	beginMark = "slipway-begin\n"
	endMark   = "slipway-end\n"
)

// shell gives what /bin/sh -s shall read. The whole is one compound command, so that the shell starts nothing before it
// has read all of it and no program in it can read the rest of the script.
type shell struct {
	// root is put before all paths; empty but in tests.
	root string
	// path goes before the host's PATH; empty but in tests.
	path string
}

func (s shell) program(script string, variables ...string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "{\nroot=%s\nPATH=%s$PATH:/usr/local/sbin:/usr/sbin:/sbin\nexport PATH\n", quote(s.root), quote(s.path))
	for i := 0; i+1 < len(variables); i += 2 {
		fmt.Fprintf(&b, "%s=%s\n", variables[i], quote(variables[i+1]))
	}
	fmt.Fprintf(&b, "%s\n} </dev/null\n", script)
	return b.Bytes()
}

// quote makes one word of the shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// afterMark gives what a script printed; what the login shell's own files printed before is dropped.
func afterMark(stdout []byte) ([]byte, bool) {
	if bytes.HasPrefix(stdout, []byte(beginMark)) {
		return stdout[len(beginMark):], true
	}
	_, body, ok := bytes.Cut(stdout, []byte("\n"+beginMark))
	return body, ok
}
