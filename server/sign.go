package main

import (
	"fmt"
	"time"

	"focal/core/fault"
	"focal/server/api"
)

// signCommand is `focal sign`.
type signCommand struct {
	URL     string        `arg:"" help:"URL, or path and query, of a picture."`
	SignKey string        `required:"" help:"Key that the server requires." placeholder:"KEY"`
	Expires time.Duration `help:"How long the URL is good for; 0: for ever." default:"0"`
}

// Run prints the signed URL.
func (c *signCommand) Run() error {
	if c.Expires < 0 {
		return fault.New(fault.Invalid, "main.sign", "--expires %s: want 0 or more", c.Expires)
	}
	var expires time.Time
	if c.Expires > 0 {
		expires = time.Now().Add(c.Expires)
	}
	signed, err := api.Sign(c.SignKey, c.URL, expires)
	if err != nil {
		return err
	}
	fmt.Println(signed)
	return nil
}
