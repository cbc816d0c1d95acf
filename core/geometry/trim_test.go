package geometry

import (
	"testing"

	"focal/core/pixel"
)

func TestTrim_KeepsWhatIsLeft(t *testing.T) {
	src := pixel.Size{Width: 200, Height: 100}
	for _, c := range []struct {
		name string
		trim Trim
		dpr  float64
		want pixel.Rect
		ok   bool
	}{
		{"nothing", Trim{}, 1, pixel.Rect{Width: 200, Height: 100}, true},
		{"pixels", Trim{Top: 10, Right: 20, Bottom: 30, Left: 40}, 1, pixel.Rect{X: 40, Y: 10, Width: 140, Height: 60}, true},
		{"pixels twice", Trim{Top: 10, Right: 20, Bottom: 30, Left: 40}, 2, pixel.Rect{X: 80, Y: 20, Width: 80, Height: 20}, true},
		{"fractions", Trim{Top: 0.1, Right: 0.25, Bottom: 0.5, Left: 0.1}, 2, pixel.Rect{X: 20, Y: 10, Width: 130, Height: 40}, true},
		{"a kept size", Trim{Left: 10, Top: 5, Width: 50, Height: 0.5, Right: 199}, 1, pixel.Rect{X: 10, Y: 5, Width: 50, Height: 50}, true},
		{"a kept size beyond the edge", Trim{Left: 150, Width: 100}, 1, pixel.Rect{X: 150, Width: 50, Height: 100}, true},
		{"everything", Trim{Left: 0.5, Right: 0.5}, 1, pixel.Rect{X: 100, Height: 100}, false},
		{"more than everything", Trim{Top: 1 << 20}, 2, pixel.Rect{Y: 100, Width: 200}, false},
	} {
		if got, ok := c.trim.Rect(src, c.dpr); got != c.want || ok != c.ok {
			t.Errorf("%s: got %+v, %v; want %+v, %v", c.name, got, ok, c.want, c.ok)
		}
	}
}
