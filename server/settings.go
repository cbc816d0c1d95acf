package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"focal/core/fault"

	"github.com/alecthomas/kong"
	"gopkg.in/yaml.v3"
)

// settingsCommand is `focal config`.
type settingsCommand struct {
	Reference    bool `help:"Print the reference of all flags of serve, in Markdown."`
	serveCommand `embed:""`
}

// Run prints the configuration as YAML that --config reads, or the reference.
func (c *settingsCommand) Run(k *kong.Context) error {
	if c.Reference {
		return writeReference(os.Stdout, k.Model)
	}
	values := map[string]any{}
	for _, flag := range k.Selected().Flags {
		if flag.Name == "reference" || flag.Hidden {
			continue
		}
		switch v := flag.Target.Interface().(type) {
		case fmt.Stringer:
			values[flag.Name] = v.String()
		default:
			values[flag.Name] = v
		}
	}
	return yaml.NewEncoder(os.Stdout).Encode(values)
}

// writeReference writes every flag of serve with its variable, default and
// meaning: docs/configuration.md is this text.
func writeReference(w io.Writer, app *kong.Application) error {
	i := slices.IndexFunc(app.Children, func(n *kong.Node) bool { return n.Name == "serve" })
	var b strings.Builder
	b.WriteString("# Configuration\n\n" +
		"Every flag of `focal serve` is also an environment variable and a key of the YAML file that `--config` names.\n" +
		"Flags win over variables, variables over the file. `focal config` prints what would be used.\n" +
		"This page is printed by `focal config --reference`; a test compares them.\n")
	group := "-"
	for _, flag := range app.Children[i].Flags {
		if flag.Hidden || flag.Name == "help" {
			continue
		}
		name := "Server"
		if flag.Group != nil {
			name = flag.Group.Title
		}
		if name != group {
			group = name
			fmt.Fprintf(&b, "\n## %s\n\n| flag | variable | default | meaning |\n|---|---|---|---|\n", group)
		}
		value := "–"
		switch {
		case flag.Name == "models":
			value = "the user's data directory"
		case flag.Default != "":
			value = "`" + flag.Default + "`"
		}
		fmt.Fprintf(&b, "| `--%s` | `%s` | %s | %s |\n", flag.Name, strings.Join(flag.Envs, "`, `"), value, flag.Help)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// yamlResolver reads flags from a YAML file whose keys are their names.
func yamlResolver(r io.Reader) (kong.Resolver, error) {
	values := map[string]any{}
	if err := yaml.NewDecoder(r).Decode(&values); err != nil && err != io.EOF {
		return nil, fault.New(fault.Invalid, "main.yamlResolver", "configuration file: %w", err)
	}
	return yamlFile(values), nil
}

// yamlFile is a configuration file.
type yamlFile map[string]any

// Validate refuses keys that are no flag of any command: a setting that is
// misspelt must not be a setting that is lost.
func (f yamlFile) Validate(app *kong.Application) error {
	known := map[string]bool{}
	err := kong.Visit(app, func(node kong.Visitable, next kong.Next) error {
		if flag, ok := node.(*kong.Flag); ok {
			known[flag.Name] = true
		}
		return next(nil)
	})
	if err != nil {
		return err
	}
	for key := range f {
		if !known[key] {
			return fault.New(fault.Invalid, "main.yamlFile", "configuration file: %q is no flag", key)
		}
	}
	return nil
}

// Resolve returns what the file says of a flag. The environment was read
// before and wins.
func (f yamlFile) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	for _, env := range flag.Envs {
		if _, set := os.LookupEnv(env); set {
			return nil, nil
		}
	}
	return asTyped(f[flag.Name]), nil
}

// asTyped returns a value as it would stand on a command line, where sizes,
// names and keys may be plain numbers too: the parser refuses a number from a
// file for a flag that reads text.
func asTyped(value any) any {
	switch v := value.(type) {
	case int, int64, uint64:
		return fmt.Sprint(v)
	case []any:
		items := make([]any, len(v))
		for i, item := range v {
			items[i] = asTyped(item)
		}
		return items
	default:
		return v
	}
}
