package main

import (
	"context"
	"log/slog"

	"focal/core/pipeline"
	"focal/server/app"
)

// serveCommand is `focal serve`.
type serveCommand struct {
	Listen            string `help:"Address to serve on." default:":8080"`
	Inference         string `help:"Where models run: spawn, embedded, off, or sidecars that others run: unix:/path or http://host:port, several with commas between." default:"spawn"`
	InferenceListen   string `help:"Gives the spawned sidecar a TCP address too, for direct callers." placeholder:"HOST:PORT"`
	InferenceFallback string `help:"What becomes of gravity=face and gravity=foreground without inference: ladder (what catches the eye, then the centre) or fail." enum:"ladder,fail" default:"ladder"`
	InferenceToken    string `help:"Bearer token that makes callers over TCP trusted." placeholder:"TOKEN"`

	SignKey    []string `help:"Serve only URLs that this key signed; repeatable, any one will do." placeholder:"KEY"`
	PurgeToken string   `help:"Bearer token that may purge sources, as any sign-key may; with neither nobody may." placeholder:"TOKEN"`

	Presets     map[string]string `help:"Option lists by name, for URLs such as /cdn-cgi/image/thumb/photo.jpg; here separated by semicolons, in a file a map." placeholder:"NAME=OPTIONS"`
	OnlyPresets bool              `help:"Serve nothing but presets."`

	sourceFlags    `embed:"" group:"Sources"`
	resultFlags    `embed:"" group:"Results"`
	pictureFlags   `embed:"" group:"Limits"`
	inferenceFlags `embed:"" group:"Inference"`
}

// config is what the flags mean.
func (c *serveCommand) config() app.ServeConfig {
	return app.ServeConfig{
		Version: version, Listen: c.Listen, Inference: c.Inference, Token: c.InferenceToken,
		Child: c.childArgs(), ChildEnv: c.childEnv(),
		Models:   c.inferenceFlags.config(c.workers()),
		Pictures: c.pictureFlags.config(pipeline.Fallback(c.InferenceFallback)),
		Sources:  c.sourceFlags.config(c.pictureFlags),
		Results:  c.resultFlags.config(c.s3()),
		SignKeys: c.SignKey, PurgeToken: c.PurgeToken, Presets: c.Presets, OnlyPresets: c.OnlyPresets,
		Timeout: c.Timeout, Queue: c.queue(),
	}
}

// childArgs is the command line of the spawned sidecar.
func (c *serveCommand) childArgs() []string {
	args := append([]string{"focal", "sidecar", "--inherit", "--listen="}, c.pictureFlags.args()...)
	args = append(args, c.inferenceFlags.args()...)
	return append(args, "--inference-listen="+c.InferenceListen)
}

// childEnv is what the sidecar is told and nobody else may see: a command line
// is open to all users of the machine.
func (c *serveCommand) childEnv() []string {
	return []string{"FOCAL_INFERENCE_TOKEN=" + c.InferenceToken, "FOCAL_REDIS=" + c.Redis}
}

// Run serves until ctx ends.
func (c *serveCommand) Run(ctx context.Context, cli *commands, log *slog.Logger) error {
	if err := app.Open(log); err != nil {
		return err
	}
	config := c.config()
	if cli.LogJSON {
		config.ChildEnv = append(config.ChildEnv, "FOCAL_LOG_JSON=true") // the child writes to the same log
	}
	s, err := app.NewServer(config, log)
	if err != nil {
		return err
	}
	return s.Run(ctx)
}

// sidecarCommand is `focal sidecar`.
type sidecarCommand struct {
	Listen          string `help:"unix:/path or host:port." default:"127.0.0.1:8081"`
	InferenceListen string `help:"A second address, for direct callers." placeholder:"HOST:PORT"`
	InferenceToken  string `help:"Bearer token that makes callers over TCP trusted." placeholder:"TOKEN"`
	Inherit         bool   `hidden:"" help:"Take the listener and the life-line that a parent passed."`

	pictureFlags   `embed:"" group:"Limits"`
	inferenceFlags `embed:"" group:"Inference"`
}

// Run serves until ctx ends or the parent lets go.
func (c *sidecarCommand) Run(ctx context.Context, log *slog.Logger) error {
	if err := app.Open(log); err != nil {
		return err
	}
	s, err := app.NewSidecar(app.SidecarConfig{
		Version: version, Listen: c.Listen, Inherited: c.Inherit, Extra: c.InferenceListen, Token: c.InferenceToken,
		Models:   c.inferenceFlags.config(c.workers()),
		Pictures: c.pictureFlags.config(pipeline.FallbackFail),
		MaxBody:  int64(c.MaxSourceBytes), Memory: int64(c.SourceMemory), Timeout: c.Timeout,
	}, log)
	if err != nil {
		return err
	}
	return s.Run(ctx)
}
