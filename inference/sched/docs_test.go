package sched

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var (
	numbered = regexp.MustCompile(`(?m)^\s*(\d+)\. `)
	heading  = regexp.MustCompile("(?m)^### .*\\(`([A-Za-z]+)`\\)$")
	digits   = regexp.MustCompile(`\d+`)
)

// treesInCode returns the numbers of every decision tree: those that a function's
// comment lists, and those that stand beside the code that carries them out.
func treesInCode(t *testing.T) (listed, used map[string]map[int]bool) {
	t.Helper()
	listed, used = map[string]map[int]bool{}, map[string]map[int]bool{}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	set := token.NewFileSet()
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(set, name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Doc == nil || !numbered.MatchString(f.Doc.Text()) {
				continue
			}
			listed[f.Name.Name], used[f.Name.Name] = numbers(f.Doc.Text()), map[int]bool{}
			for _, c := range file.Comments {
				if c.Pos() < f.Body.Pos() || c.End() > f.End() {
					continue
				}
				for _, n := range digits.FindAllString(c.Text(), -1) {
					i, _ := strconv.Atoi(n)
					used[f.Name.Name][i] = true
				}
			}
		}
	}
	return listed, used
}

func numbers(text string) map[int]bool {
	all := map[int]bool{}
	for _, m := range numbered.FindAllStringSubmatch(text, -1) {
		n, _ := strconv.Atoi(m[1])
		all[n] = true
	}
	return all
}

// A reader checks docs/scheduler.md against the code by these numbers.
func TestDocs_HaveTheDecisionTreesOfTheCode(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "scheduler.md"))
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]map[int]bool{}
	found := heading.FindAllSubmatchIndex(text, -1)
	for i, at := range found {
		end := len(text)
		if i+1 < len(found) {
			end = found[i+1][0]
		}
		section, _, _ := strings.Cut(string(text[at[1]:end]), "\n## ")
		told[string(text[at[2]:at[3]])] = numbers(section)
	}
	listed, used := treesInCode(t)
	if len(listed) < 10 {
		t.Fatalf("only %d decision trees were found in the code", len(listed))
	}
	for name, want := range listed {
		if !reflect.DeepEqual(told[name], want) {
			t.Errorf("docs/scheduler.md has of %s the steps %v, its comment %v", name, told[name], want)
		}
		for n := range want {
			if !used[name][n] {
				t.Errorf("step %d of %s stands beside none of its lines", n, name)
			}
		}
	}
	for name := range told {
		if listed[name] == nil {
			t.Errorf("docs/scheduler.md tells of %s, which has no steps in the code", name)
		}
	}
}
