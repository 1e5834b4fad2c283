package search

import "context"

// Bring makes ready what starting a server needs beforehand: its zip in the cache, whose path is given back, and a Java that it starts on.
func Bring(ctx context.Context, o Options, s Server) (string, error) {
	o, err := o.withDefaults()
	if err != nil {
		return "", err
	}
	if _, err := findJava(s, o.Java, []string{"/usr/lib/jvm"}); err != nil {
		return "", err
	}
	return fetch(ctx, o, s)
}
