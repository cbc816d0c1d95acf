package app

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"focal/core/fault"
)

// Command runs a program's command until it returns; SIGINT and SIGTERM end its
// context. An error is printed under the program's name. It returns the exit
// status: 0, 2 where what the user wrote is at fault, 1 for all else.
func Command(program string, do func(context.Context) error) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := do(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintf(os.Stderr, "%s: %v\n", program, err)
	if fault.Is(err, fault.Invalid) {
		return 2
	}
	return 1
}
