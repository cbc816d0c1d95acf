package main

import (
	"os"
	"time"

	"focal/server/api"
)

// purgeCommand is `focal purge`.
type purgeCommand struct {
	File       []string      `arg:"" help:"Sources, as they stand in a URL behind the options."`
	Server     string        `help:"Base URL of the server." default:"http://localhost:8080"`
	PurgeToken string        `required:"" help:"The server's --purge-token, or a --sign-key of it." placeholder:"TOKEN"`
	Timeout    time.Duration `help:"How long to wait for the answer." default:"1m"`
}

// Run prints the server's answer.
func (c *purgeCommand) Run() error {
	answer, err := api.Purge(c.Server, c.PurgeToken, c.File, c.Timeout)
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(answer)
	return err
}
