package main

// loadCommand is `focal-bench load`.
type loadCommand struct{}

func (loadCommand) Run() error { return nil }
