package client

import (
	"fmt"
	"strconv"
	"strings"
)

// flat turns nested settings into keys with dots; values become texts, lists are joined by commas.
func flat(nested map[string]any) map[string]string {
	out := map[string]string{}
	flatInto(out, "", nested)
	return out
}

func flatInto(out map[string]string, prefix string, nested map[string]any) {
	for key, value := range nested {
		if inner, ok := value.(map[string]any); ok {
			flatInto(out, prefix+key+".", inner)
			continue
		}
		out[prefix+key] = text(value)
	}
}

func text(value any) string {
	switch v := value.(type) {
	case nil:
		return ""
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case []any:
		parts := make([]string, 0, len(v))
		for _, e := range v {
			parts = append(parts, text(e))
		}
		return strings.Join(parts, ",")
	}
	return fmt.Sprint(value)
}
