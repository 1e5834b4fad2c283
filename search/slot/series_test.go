package slot

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFindSeries(t *testing.T) {
	names := []string{"game-log-2026.11.22.01", "game-log-2026.11.22.00", "web-2026.11.21", "web-2026.11.22", "web-2026.13.22", "audit-2026.10", "audit-2026.11",
		"week-2026.02", "week-2026.51", "week-2026.52", "one-2026.11.22", "rolled-2026.11.22-000001", "rolled-2026.11.22-000002", ".ds-x-2026.11.22-000001",
		"metricbeat-6.8.23-2026.11.21", "metricbeat-6.8.23-2026.11.22", "orders-202611", "orders-202612", "plain"}
	for h := 0; h < 24; h += 2 {
		names = append(names, fmt.Sprintf("two-20261121%02d", h))
	}
	names = append(names, "half-2026.11.22.00", "half-2026.11.22.12")
	got, err := Find(names, "", near())
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, s := range got {
		said = append(said, fmt.Sprintf("%s every %s: %d, newest %s", s.Pattern.Format(), s.Pattern.Every(), len(s.Members), s.Newest().Name))
	}
	want := []string{
		"audit-{yyyy.MM} every month: 2, newest audit-2026.11",
		"game-log-{yyyy.MM.dd.HH} every hour: 2, newest game-log-2026.11.22.01",
		"half-{yyyy.MM.dd.HH} every 12 hours: 2, newest half-2026.11.22.12",
		"metricbeat-6.8.23-{yyyy.MM.dd} every day: 2, newest metricbeat-6.8.23-2026.11.22",
		"two-{yyyyMMddHH} every 2 hours: 12, newest two-2026112122",
		"web-{yyyy.MM.dd} every day: 2, newest web-2026.11.22",
		"week-{xxxx.ww} every week: 3, newest week-2026.52",
	}
	if diff := cmp.Diff(want, said); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestFindRefusesAZone(t *testing.T) {
	if _, err := Find(nil, "Europe/Berlin", near()); err == nil || !strings.Contains(err.Error(), "changes its clock") {
		t.Error(err)
	}
}

func FuzzFind(f *testing.F) {
	f.Add("a-2026.11.22.00 a-2026.11.22.02 week-2026.51 week-2026.02")
	f.Fuzz(func(t *testing.T, text string) {
		all, err := Find(strings.Split(text, " "), "Asia/Shanghai", near())
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range all {
			for i, m := range s.Members {
				if s.Pattern.Name(m.Slot) != m.Name {
					t.Errorf("%s: %q is written %q", s.Pattern.Format(), m.Name, s.Pattern.Name(m.Slot))
				}
				if i > 0 && m.Start.Before(s.Members[i-1].Start) {
					t.Errorf("%s: %q is not in order", s.Pattern.Format(), m.Name)
				}
			}
		}
	})
}
