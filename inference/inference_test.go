package inference

import (
	"context"
	"encoding/json"
	"testing"
)

// A reader of /readyz that walks through the lists must not meet a null.
func TestStatus_ListsAreListsInJSON(t *testing.T) {
	for want, status := range map[string]Status{
		`{"state":"off","models":[],"missing":[]}`:           Off{}.Status(context.Background()),
		`{"state":"starting","models":[],"missing":["u2a"]}`: {State: StateStarting, Missing: []string{"u2a"}},
	} {
		if got, err := json.Marshal(status); err != nil || string(got) != want {
			t.Errorf("%s, %v, want %s", got, err, want)
		}
	}
}
