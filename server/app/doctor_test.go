package app

import (
	"strings"
	"testing"

	"focal/core/fault"
)

func TestDoctor_SaysWhetherTheCardIsUsed(t *testing.T) {
	for _, is := range []struct {
		told  bool
		grown int64
		bad   bool
		text  string
	}{
		{true, 300 << 20, false, "it holds 300 MiB of the card"},
		{true, 0, true, "holds nothing of the card"},
		{false, 300 << 20, false, "300 MiB more of the card are taken than before: the driver does not tell this process from others"},
		{false, 0, true, "unless another process let go meanwhile"},
		{true, -1, false, "does not say"},
		{false, -1, false, "does not say"},
	} {
		text, err := holds("face", is.told, is.grown)
		if is.bad != fault.Is(err, fault.Unavailable) {
			t.Errorf("%+v: got %v", is, err)
		}
		if err != nil {
			text = err.Error()
		}
		if !strings.Contains(text, is.text) {
			t.Errorf("%+v: got %q", is, text)
		}
	}
}
