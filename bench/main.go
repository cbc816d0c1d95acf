// Command focal-bench measures: how good masks and faces are, and how fast, of
// models here and of other programs, on anybody's pictures. This package only
// wires: it reads flags into the Configs of the rooms below it. See
// `focal-bench --help` and docs/metrics.md.
package main

import (
	"context"
	"log/slog"
	"os"
	"runtime"
	"strconv"

	"focal/server/app"

	"github.com/alecthomas/kong"
)

// version is set by the linker.
var version = "dev"

// commands is the command line.
type commands struct {
	Segment  segmentCommand    `cmd:"" help:"Measure foreground masks: accuracy and time, of models here, rembg and endpoints."`
	Faces    facesCommand      `cmd:"" help:"Measure face detection: average precision, crops and time."`
	Load     loadCommand       `cmd:"" help:"Load a server at a steady rate and measure latency from the intended send time."`
	Swap     swapCommand       `cmd:"" help:"Measure what it costs to bring models in and to let them go, beside bare ONNX Runtime."`
	Through  throughputCommand `cmd:"" name:"throughput" help:"Hold the scheduler's throughput, and a server's, against a bare loop over ONNX Runtime, in turns."`
	Simulate simulateCommand   `cmd:"" help:"Drive the scheduler with virtual time, beside simple policies, and a fleet."`
	Datasets datasetsCommand   `cmd:"" help:"Look at sets of pictures, and check them."`
	Report   reportCommand     `cmd:"" help:"Join results of several runs in one page, one column each; judge one against a baseline."`
	Version  versionCommand    `cmd:"" help:"Print the versions."`
}

// newParser builds the parser; tests use it too.
func newParser(cli *commands, options ...kong.Option) (*kong.Kong, error) {
	return kong.New(cli, append([]kong.Option{
		kong.Name("focal-bench"),
		kong.Description("Measures masks, faces and servers."),
		kong.Vars{"models": modelsDir(), "cores": strconv.Itoa(runtime.GOMAXPROCS(0))},
		kong.UsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 110}),
	}, options...)...)
}

func main() {
	os.Exit(app.Command("focal-bench", func(ctx context.Context) error {
		var cli commands
		parser, err := newParser(&cli)
		if err != nil {
			return err
		}
		command, err := parser.Parse(os.Args[1:])
		parser.FatalIfErrorf(err)
		command.BindTo(ctx, (*context.Context)(nil))
		return command.Run(slog.New(slog.NewTextHandler(os.Stderr, nil)))
	}))
}
