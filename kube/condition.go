package kube

import (
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// maxMessage keeps messages readable; the API allows more.
const maxMessage = 1024

// Set sets a condition. Its time changes only with its status. It says whether anything changed.
func Set(conditions *[]metav1.Condition, generation int64, kind string, status metav1.ConditionStatus, reason, message string) bool {
	return meta.SetStatusCondition(conditions, metav1.Condition{
		Type: kind, Status: status, Reason: reason, Message: Limit(message, maxMessage), ObservedGeneration: generation,
	})
}

// True sets a condition to True.
func True(conditions *[]metav1.Condition, generation int64, kind, reason, message string) bool {
	return Set(conditions, generation, kind, metav1.ConditionTrue, reason, message)
}

// False sets a condition to False.
func False(conditions *[]metav1.Condition, generation int64, kind, reason, message string) bool {
	return Set(conditions, generation, kind, metav1.ConditionFalse, reason, message)
}

// Unknown sets a condition to Unknown.
func Unknown(conditions *[]metav1.Condition, generation int64, kind, reason, message string) bool {
	return Set(conditions, generation, kind, metav1.ConditionUnknown, reason, message)
}

// Sentence joins parts of a message, sorted and without repetition, so that the same state always reads the same.
func Sentence(parts []string) string {
	sorted := slices.Clone(parts)
	slices.Sort(sorted)
	return strings.Join(slices.Compact(sorted), "; ")
}

// Names joins up to limit names, sorted, and counts the rest.
func Names(names []string, limit int) string {
	sorted := slices.Clone(names)
	slices.Sort(sorted)
	if len(sorted) <= limit {
		return strings.Join(sorted, ", ")
	}
	return strings.Join(sorted[:limit], ", ") + ", … (" + strconv.Itoa(len(sorted)) + ")"
}

// Limit cuts a text to n bytes without breaking a character.
func Limit(text string, n int) string {
	if len(text) <= n {
		return text
	}
	return strings.ToValidUTF8(text[:n-len("…")], "") + "…"
}
