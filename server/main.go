// Command focal is a self-hosted image service. This package only wires: it
// reads flags, the environment and a configuration file into Config values,
// and hands them to server/app. See `focal --help`.
package main

import (
	"context"
	"log/slog"
	"os"

	"focal/server/app"

	"github.com/alecthomas/kong"
)

// version is set by the linker.
var version = "dev"

// commands is the command line.
type commands struct {
	Config  kong.ConfigFlag `help:"Read flags from this YAML file; keys are flag names." placeholder:"FILE"`
	LogJSON bool            `name:"log-json" help:"Log as JSON lines."`

	Serve      serveCommand      `cmd:"" help:"Serve pictures, with the inference sidecar as a child."`
	Sidecar    sidecarCommand    `cmd:"" help:"Run the inference sidecar alone."`
	Transform  transformCommand  `cmd:"" help:"Transform one picture, on the same code path."`
	Faces      facesCommand      `cmd:"" help:"Print the faces of a picture as JSON."`
	Foreground foregroundCommand `cmd:"" help:"Write the foreground mask of a picture, or its cut-out."`
	Models     modelsCommand     `cmd:"" help:"List, get and check models."`
	Sign       signCommand       `cmd:"" help:"Sign a URL."`
	Purge      purgeCommand      `cmd:"" help:"Have a running server forget sources and every picture made of them."`
	Settings   settingsCommand   `cmd:"" name:"config" help:"Print the configuration that serve would run with."`
	Doctor     doctorCommand     `cmd:"" help:"Say what works here, and whether the GPU is really used."`
	Version    versionCommand    `cmd:"" help:"Print the versions."`
}

// newParser builds the parser; tests use it too.
func newParser(cli *commands, options ...kong.Option) (*kong.Kong, error) {
	return kong.New(cli, append([]kong.Option{
		kong.Name("focal"),
		kong.Description("A self-hosted image service that crops to faces and cuts out foregrounds."),
		kong.Vars{"models": modelsDir()},
		kong.DefaultEnvars("FOCAL"),
		kong.Configuration(yamlResolver),
		kong.ShortUsageOnError(), // the flags of serve would push the error out of sight
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 110}),
	}, options...)...)
}

func main() {
	os.Exit(app.Command("focal", func(ctx context.Context) error {
		var cli commands
		parser, err := newParser(&cli)
		if err != nil {
			return err
		}
		args := os.Args[1:]
		if len(args) == 0 {
			args = []string{"--help"} // which commands there are is all that may be meant
		}
		command, err := parser.Parse(args)
		parser.FatalIfErrorf(err)
		command.BindTo(ctx, (*context.Context)(nil))
		return command.Run(&cli, newLogger(cli.LogJSON))
	}))
}

// newLogger writes to standard error, for people or for machines.
func newLogger(asJSON bool) *slog.Logger {
	if asJSON {
		return slog.New(slog.NewJSONHandler(os.Stderr, nil))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, nil))
}
