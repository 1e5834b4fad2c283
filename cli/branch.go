package cli

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"
)

// mark says how a branch is. People see the sign; programs read a word.
type mark string

// Marks of a branch: fine, not fine, on its way.
const (
	markYes  mark = "✓"
	markNo   mark = "✗"
	markBusy mark = "⟳"
)

// MarshalText gives the word for programs: True, False, Running, or Unknown.
func (m mark) MarshalText() ([]byte, error) {
	switch m {
	case markYes:
		return []byte("True"), nil
	case markNo:
		return []byte("False"), nil
	case markBusy:
		return []byte("Running"), nil
	}
	return []byte("Unknown"), nil
}

// branch is one line of a tree, with those below it.
type branch struct {
	Name     string   `json:"name"`
	Ready    mark     `json:"ready,omitempty"`
	State    string   `json:"state,omitempty"`
	Age      string   `json:"age,omitempty"`
	Message  string   `json:"message,omitempty"`
	Children []branch `json:"children,omitempty"`
}

// printTree prints branches in aligned columns.
func printTree(w io.Writer, branches []branch) error {
	rows := [][]string{{"NAME", "READY", "STATE", "AGE", "MESSAGE"}}
	for _, b := range branches {
		rows = appendRows(rows, b, "", "")
	}
	width := make([]int, len(rows[0]))
	for _, r := range rows {
		for i, cell := range r {
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	for _, r := range rows {
		var line strings.Builder
		for i, cell := range r {
			line.WriteString(cell)
			line.WriteString(strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell)+2))
		}
		if _, err := fmt.Fprintln(w, strings.TrimRight(line.String(), " ")); err != nil {
			return fmt.Errorf("printing the tree: %w", err)
		}
	}
	return nil
}

func appendRows(rows [][]string, b branch, lead, below string) [][]string {
	rows = append(rows, []string{lead + b.Name, string(b.Ready), b.State, b.Age, firstLine(b.Message)})
	for i, child := range b.Children {
		if i == len(b.Children)-1 {
			rows = appendRows(rows, child, below+"└─ ", below+"   ")
		} else {
			rows = appendRows(rows, child, below+"├─ ", below+"│  ")
		}
	}
	return rows
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

func conditionMark(conditions []metav1.Condition, kind string) mark {
	for _, c := range conditions {
		if c.Type == kind {
			switch c.Status {
			case metav1.ConditionTrue:
				return markYes
			case metav1.ConditionFalse:
				return markNo
			}
		}
	}
	return "?"
}

func conditionMessage(conditions []metav1.Condition, kind string) string {
	for _, c := range conditions {
		if c.Type == kind {
			return c.Message
		}
	}
	return ""
}

// age is the time since then in a word: 41d, 2m.
func age(now, then time.Time) string {
	if then.IsZero() {
		return ""
	}
	return duration.HumanDuration(now.Sub(then))
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func deref(n *int32) int32 {
	if n == nil {
		return 0
	}
	return *n
}
