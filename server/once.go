package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"focal/core/fault"
	"focal/core/pipeline"
	"focal/server/app"
)

// onceFlags are shared by the one-off commands.
type onceFlags struct {
	pictureFlags   `embed:"" group:"Limits"`
	inferenceFlags `embed:"" group:"Inference"`
}

// with opens what a one-off command needs, calls do with the input file's
// bytes, and closes it again. "-" is standard input.
func (f onceFlags) with(ctx context.Context, in string, log *slog.Logger, do func(context.Context, *app.Once, []byte) error) (err error) {
	file, err := readFile(in, int64(f.MaxSourceBytes))
	if err != nil {
		return err
	}
	if err := app.Open(log); err != nil {
		return err
	}
	once, err := app.NewOnce(f.pictureFlags.config(pipeline.FallbackFail), f.inferenceFlags.config(f.workers()))
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		err = errors.Join(err, once.Close(ctx))
	}()
	ctx, cancel := context.WithTimeout(ctx, f.Timeout)
	defer cancel()
	return do(ctx, once, file)
}

// transformCommand is `focal transform`.
type transformCommand struct {
	In      string `arg:"" help:"Picture to read; - for standard input."`
	Out     string `arg:"" help:"Picture to write; its ending chooses the format unless the options do. - for standard output."`
	Options string `arg:"" help:"Options as in a URL: gravity=face,zoom=0.5,width=200,height=200"`
	onceFlags
}

// Run transforms one picture.
func (c *transformCommand) Run(ctx context.Context, log *slog.Logger) error {
	return c.with(ctx, c.In, log, func(ctx context.Context, once *app.Once, file []byte) error {
		out, warnings, err := once.Transform(ctx, file, c.Options, c.Out)
		if err != nil {
			return err
		}
		warn(warnings)
		return writeFile(c.Out, out)
	})
}

// warn says on standard error what a server would send as a Warning.
func warn(warnings []string) {
	for _, w := range warnings {
		fmt.Fprintln(os.Stderr, "focal: warning:", w)
	}
}

// facesCommand is `focal faces`.
type facesCommand struct {
	In        string   `arg:"" help:"Picture to read; - for standard input."`
	Threshold *float64 `help:"Lowest score; default: the model's." placeholder:"SCORE"`
	onceFlags
}

// Run prints what POST /v1/faces would answer.
func (c *facesCommand) Run(ctx context.Context, log *slog.Logger) error {
	return c.with(ctx, c.In, log, func(ctx context.Context, once *app.Once, file []byte) error {
		out, err := once.Faces(ctx, file, c.Threshold)
		if err != nil {
			return err
		}
		_, err = fmt.Printf("%s\n", out)
		return err
	})
}

// foregroundCommand is `focal foreground`.
type foregroundCommand struct {
	In   string `arg:"" help:"Picture to read; - for standard input."`
	Out  string `arg:"" help:"PNG to write: the cut-out, or the mask with --mask. - for standard output."`
	Mask bool   `help:"Write the mask, 8-bit grey, instead of the cut-out."`
	onceFlags
}

// Run writes the mask or the cut-out.
func (c *foregroundCommand) Run(ctx context.Context, log *slog.Logger) error {
	return c.with(ctx, c.In, log, func(ctx context.Context, once *app.Once, file []byte) error {
		draw := once.Cutout
		if c.Mask {
			draw = once.Mask
		}
		out, err := draw(ctx, file)
		if err != nil {
			return err
		}
		warn(app.Misnamed(c.Out, "image/png"))
		return writeFile(c.Out, out)
	})
}

// readFile reads a file of at most limit bytes.
func readFile(name string, limit int64) ([]byte, error) {
	var in io.Reader = os.Stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, fault.New(fault.NotFound, "main.readFile", "%w", err)
		}
		defer f.Close()
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		return nil, fault.New(fault.TooLarge, "main.readFile", "%s is larger than --max-source-bytes %d", name, limit)
	}
	return b, nil
}

// writeFile writes a file, or standard output for "-".
func writeFile(name string, b []byte) error {
	if name == "-" {
		_, err := os.Stdout.Write(b)
		return err
	}
	return os.WriteFile(name, b, 0o644)
}
