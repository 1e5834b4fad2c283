package search

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// javaVersion is a line of the file release that every JDK has.
var javaVersion = regexp.MustCompile(`(?m)^JAVA_VERSION="(?:1\.)?(\d+)`)

// findJava is the home of the newest Java below roots that the server starts on; given is what a person chose.
func findJava(s Server, given string, roots []string) (string, error) {
	if given != "" {
		return given, checkJava(s, given)
	}
	best, home := 0, ""
	var seen []string
	for _, root := range roots {
		releases, err := filepath.Glob(filepath.Join(root, "*", "release"))
		if err != nil {
			return "", fmt.Errorf("looking for Java: %w", err)
		}
		slices.Sort(releases)
		for _, file := range releases {
			major := javaMajor(filepath.Dir(file))
			seen = append(seen, strconv.Itoa(major))
			if major >= s.JavaMin && major <= s.JavaMax && major > best {
				best, home = major, filepath.Dir(file)
			}
		}
	}
	if home == "" {
		return "", fmt.Errorf("%s starts on Java %d to %d; found below %s: %s; install one, or name its home with --java",
			s, s.JavaMin, s.JavaMax, strings.Join(roots, " and "), orNone(seen))
	}
	return home, nil
}

func checkJava(s Server, home string) error {
	if major := javaMajor(home); major < s.JavaMin || major > s.JavaMax {
		return fmt.Errorf("%s starts on Java %d to %d; %s is %d (0: no Java)", s, s.JavaMin, s.JavaMax, home, major)
	}
	return nil
}

// javaMajor is 0 where there is no Java.
func javaMajor(home string) int {
	data, err := os.ReadFile(filepath.Join(home, "release"))
	if err != nil {
		return 0
	}
	m := javaVersion.FindSubmatch(data)
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(string(m[1])) // it is of digits; too many give 0
	return n
}

func orNone(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	slices.Sort(list)
	return strings.Join(slices.Compact(list), ", ")
}
