package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// didYouMean is a hint at the nearest of the known words; empty when none is near.
func didYouMean(word string, known []string) string {
	if near := nearestFirst(word, known); len(near) > 0 {
		if d := distance(strings.ToLower(word), strings.ToLower(near[0])); d <= max(2, len(word)/3) {
			return fmt.Sprintf(", did you mean %q?", near[0])
		}
	}
	return ""
}

// nearestFirst sorts known words by their distance from a word, then by name.
func nearestFirst(word string, known []string) []string {
	word = strings.ToLower(word)
	far := make(map[string]int, len(known))
	for _, k := range known {
		far[k] = distance(word, strings.ToLower(k))
	}
	return slices.SortedFunc(slices.Values(known), func(a, b string) int {
		return cmp.Or(cmp.Compare(far[a], far[b]), cmp.Compare(a, b))
	})
}

// distance counts the letters to insert, remove, replace or swap to get from one word to the other.
func distance(a, b string) int {
	const most = 128
	x, y := []rune(a[:min(len(a), most)]), []rune(b[:min(len(b), most)])
	before, previous := make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range previous {
		previous[j] = j
	}
	for i := range x {
		current := make([]int, len(y)+1)
		current[0] = i + 1
		for j := range y {
			cost := 1
			if x[i] == y[j] {
				cost = 0
			}
			current[j+1] = min(previous[j]+cost, previous[j+1]+1, current[j]+1)
			if i > 0 && j > 0 && x[i] == y[j-1] && x[i-1] == y[j] {
				current[j+1] = min(current[j+1], before[j-1]+1)
			}
		}
		before, previous = previous, current
	}
	return previous[len(y)]
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
