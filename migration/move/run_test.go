package move

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestRunMovesEverythingOnce(t *testing.T) {
	p := newPair(t, 5)
	p.live(t)
	o := p.options(t)
	var told []string
	o.Tell = func(d *Decision) { told = append(told, d.String()) }
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	state, err := Run(ctx, o)
	if err != nil {
		t.Fatalf("%v\n%s", err, strings.Join(told, "\n"))
	}
	p.check(t, state)
	fresh(t, p)
	if state.Phase != Done || len(state.Cuts) < 2 {
		t.Errorf("%+v", state)
	}
	if count(p.source.logged) == 0 || count(p.target.logged) == 0 {
		t.Error("nothing was scraped")
	}
	text := fmt.Sprint(told)
	for _, want := range []string{"pin ", "freeze S' at", "appears on the source at about", "cut piece A", "cut piece B", "install block", "let go of"} {
		if !strings.Contains(text, want) {
			t.Errorf("nobody was told %q", want)
		}
	}
}
