package rooms

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"path/filepath"
	"slices"
	"strconv"
)

// clock is what tells or waits for the time.
var clock = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}

// SourceBreaches returns one sentence for every place in p's own files (tests
// are free) that reads the environment where it may not, or that is impure in a
// pure room.
func SourceBreaches(p Package) ([]string, error) {
	room, ours := roomOf(p.ImportPath)
	if !ours {
		return nil, nil
	}
	var found []string
	for _, name := range slices.Concat(p.GoFiles, p.CgoFiles) {
		files := token.NewFileSet()
		f, err := parser.ParseFile(files, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		found = append(found, fileBreaches(files, f, room)...)
	}
	return found, nil
}

func fileBreaches(files *token.FileSet, f *ast.File, room string) []string {
	var found []string
	say := func(at token.Pos, what, why string) {
		where := files.Position(at)
		found = append(found, fmt.Sprintf("%s (%s:%d) %s, because %s", room, filepath.Base(where.Filename), where.Line, what, why))
	}
	names := importNames(f)
	isPure := in(room, pureRooms)
	if isPure {
		for name, p := range names {
			if p == "sync" || p == "sync/atomic" {
				say(f.Pos(), "imports "+name+"; it is a pure room and may not", "one goroutine owns its state and nobody waits in it")
			}
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			if isPure {
				say(n.Pos(), "starts a goroutine; it is a pure room and may not", "its tests drive it by hand, one event after the other")
			}
		case *ast.SelectorExpr:
			x, ok := n.X.(*ast.Ident)
			if !ok {
				break
			}
			switch from, name := names[x.Name], n.Sel.Name; {
			case isPure && from == "time" && slices.Contains(clock, name):
				say(n.Pos(), "uses time."+name+"; it is a pure room and may not", "time comes to it as an argument, so that its tests need none")
			case from == "os" && slices.Contains([]string{"Getenv", "LookupEnv", "ExpandEnv"}, name) && !in(room, environment):
				say(n.Pos(), "uses os."+name+"; only server and bench may", "rooms take a Config, and every setting is a flag that --help shows")
			}
		}
		return true
	})
	return found
}

// importNames maps the names that f uses for its imports to import paths.
func importNames(f *ast.File) map[string]string {
	names := map[string]string{}
	for _, i := range f.Imports {
		p, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			continue // the parser has taken it, so it is a string
		}
		name := path.Base(p)
		if i.Name != nil {
			name = i.Name.Name
		}
		names[name] = p
	}
	return names
}
