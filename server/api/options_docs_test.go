package api

import (
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The rows of docs/options.md, and what of its values stands for others.
var (
	docsRow     = regexp.MustCompile("(?m)^\\| `([a-z.-]+)` \\|([^|]*)\\|([^|]*)\\|([^|]*)\\|[^|]*\\|$")
	docsFits    = regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\| [^|]* \\| (?:yes|no) \\| (?:yes|no) \\|$")
	backticked  = regexp.MustCompile("`([^`]+)`")
	placeholder = map[string]string{
		"XxY": `[\d.]+x[\d.]+`, "320;768": `\d+(;\d+)+`, "top;right;bottom;left": `[\d.]+(;[\d.]+){3}`, "x;y;blur": `-?\d+(;-?\d+){2}`, "quality": `\d+`,
	}
)

// Every option, alias and value of the docs has a case, and every option of a
// case is in the docs.
func TestOptions_TheTableIsWhatTheDocsSay(t *testing.T) {
	text, err := os.ReadFile("../../docs/options.md")
	if err != nil {
		t.Fatal(err)
	}
	tried := triedValues(t)
	rows := docsRow.FindAllStringSubmatch(string(text), -1)
	if len(rows) < 50 {
		t.Fatalf("only %d rows were understood", len(rows))
	}
	documented := map[string]bool{"nonsense": true, "origin-auth": true, "draw": true} // which are to be ignored
	for _, r := range rows {
		name, values := r[1], backticked.FindAllStringSubmatch(r[3], -1)
		documented[name] = true
		if len(tried[name]) == 0 {
			t.Errorf("%s has no case", name)
		}
		if alias := backticked.FindStringSubmatch(r[2]); alias != nil {
			documented[alias[1]] = true
			if len(tried[alias[1]]) == 0 {
				t.Errorf("%s, the alias of %s, has no case", alias[1], name)
			}
		}
		if name == "fit" {
			values = docsFits.FindAllStringSubmatch(string(text), -1)
			if len(values) != 8 {
				t.Errorf("%d fits were understood", len(values))
			}
		}
		for _, v := range values {
			pattern, ok := placeholder[v[1]]
			if !ok {
				pattern = regexp.QuoteMeta(v[1])
			}
			if !slices.ContainsFunc(tried[name], regexp.MustCompile("^"+pattern+"$").MatchString) {
				t.Errorf("%s=%s has no case", name, v[1])
			}
		}
	}
	for name := range tried {
		if !documented[name] {
			t.Errorf("%s has a case and no row in docs/options.md", name)
		}
	}
}

// triedValues are the values of the table by option.
func triedValues(t *testing.T) map[string][]string {
	t.Helper()
	tried := map[string][]string{}
	for _, c := range allOptionCases() {
		for item := range strings.SplitSeq(regexp.MustCompile(`\([^)]*\)`).ReplaceAllString(c.options, ""), ",") {
			key, value, _ := strings.Cut(item, "=")
			value, err := url.PathUnescape(value)
			if err != nil {
				t.Fatal(err)
			}
			tried[key] = append(tried[key], value)
		}
	}
	return tried
}

// The options that Cloudflare has are all among the cases.
func TestOptions_TheTableHasAllOfCloudflares(t *testing.T) {
	text, err := os.ReadFile("../../../shared/research/cloudflare-api.md")
	if os.IsNotExist(err) {
		t.Skip("needs ../shared: research/cloudflare-api.md")
	}
	_, part, _ := strings.Cut(string(text), "### 1.2 Options")
	part, _, found := strings.Cut(part, "### 1.3")
	if err != nil || !found {
		t.Fatal("no such part", err)
	}
	tried, names := triedValues(t), 0
	for _, row := range regexp.MustCompile("(?m)^\\| (`[^|]*) \\|").FindAllStringSubmatch(part, -1) {
		for _, name := range backticked.FindAllStringSubmatch(row[1], -1) {
			names++
			if name[1] == "border" {
				name[1] = "border.width" // an object in Workers, whose URL spelling is ours
			}
			if len(tried[name[1]]) == 0 {
				t.Errorf("%s has no case", name[1])
			}
		}
	}
	if names < 35 {
		t.Errorf("only %d names were understood", names)
	}
}
