package clienttest_test

import (
	"testing"

	"focal/inference"
	"focal/inference/clienttest"
)

func TestStub_KeepsThePromisesOfAClient(t *testing.T) {
	clienttest.Run(t, func(*testing.T) inference.Client { return &clienttest.Stub{} })
}
