package vision

import (
	"bytes"
	"fmt"
	"math"

	"focal/core/fault"
	"focal/core/pixel"
	"focal/models"
)

// Preparer turns pictures into the input tensor of one model, as its recipe
// says. It is safe for concurrent use.
type Preparer struct {
	recipe   models.Recipe
	canvases models.Canvases
	kernel   Kernel
	scale    float64 // 0: the largest value in the resized picture
	bgr      bool
}

// NewPreparer checks the input half of a recipe. Errors are fault.Invalid and
// name the field of the manifest.
func NewPreparer(r models.Recipe, c models.Canvases) (*Preparer, error) {
	p := &Preparer{recipe: r, canvases: c}
	invalid := func(format string, args ...any) (*Preparer, error) {
		return nil, fault.New(fault.Invalid, "vision.NewPreparer", "recipe: "+format, args...)
	}
	switch r.Colour {
	case "rgb":
	case "bgr":
		p.bgr = true
	default:
		return invalid("colour %q: want rgb or bgr", r.Colour)
	}
	switch r.Kernel {
	case "area":
		p.kernel = Area
	case "linear":
		p.kernel = Linear
	default:
		return invalid("kernel %q: want area or linear", r.Kernel)
	}
	switch r.Scale {
	case "255":
		p.scale = 255
	case "1":
		p.scale = 1
	case "max":
	default:
		return invalid("scale %q: want 255, 1 or max", r.Scale)
	}
	for i := range 3 {
		if !finite(r.Mean[i]) || !finite(r.Std[i]) || r.Std[i] <= 0 {
			return invalid("mean %v, std %v: want finite numbers and every std above 0", r.Mean, r.Std)
		}
	}
	if err := checkSizes(r, c); err != nil {
		return invalid("%w", err)
	}
	return p, nil
}

func checkSizes(r models.Recipe, c models.Canvases) error {
	inside := func(n int) bool { return n > 0 && n <= maxSide }
	switch r.Resize {
	case "stretch":
		if !inside(r.Width) || !inside(r.Height) {
			return fmt.Errorf("width %d, height %d: stretch wants both between 1 and %d", r.Width, r.Height, maxSide)
		}
	case "fit":
		if !inside(r.LongSide) {
			return fmt.Errorf("long_side %d: fit wants one between 1 and %d", r.LongSide, maxSide)
		}
		if c == (models.Canvases{}) {
			return nil
		}
		if c.Step <= 0 || c.Max%c.Step != 0 || c.Max < r.LongSide || c.Max > maxSide {
			return fmt.Errorf("canvases with step %d and max %d: want max a multiple of step and at least long_side %d", c.Step, c.Max, r.LongSide)
		}
	default:
		return fmt.Errorf("resize %q: want stretch or fit", r.Resize)
	}
	return nil
}

// Prepare resizes look, an RGB8 picture. Its tensor has the shape
// [1, 3, canvas height, canvas width]. Errors are fault.Invalid.
func (p *Preparer) Prepare(look pixel.Buffer) (models.Prepared, error) {
	inner, canvas := p.layout(look.Size())
	picture, err := look, look.Validate()
	switch {
	case err != nil:
		return models.Prepared{}, fault.New(fault.Invalid, "vision.Prepare", "%w", err)
	case look.Size() != inner || look.Channels != 3:
		if picture, err = Resize(look, inner, p.kernel); err != nil {
			return models.Prepared{}, err
		}
	}
	return models.Prepared{
		Tensor:  models.Tensor{Shape: []int64{1, 3, int64(canvas.Height), int64(canvas.Width)}},
		Picture: picture,
		Canvas:  canvas,
		Inner:   inner,
	}, nil
}

// Fill writes the tensor: (v/scale - mean) / std. What the picture does not
// cover is 0, which is the mean once it is normalised.
func (p *Preparer) Fill(prepared models.Prepared, into []float32) {
	p.planes(into, prepared.Canvas, prepared.Picture)
}

// layout returns the size that a picture is resized to and that of its canvas.
func (p *Preparer) layout(s pixel.Size) (inner, canvas pixel.Size) {
	r := p.recipe
	if r.Resize == "stretch" {
		inner = pixel.Size{Width: r.Width, Height: r.Height}
		return inner, inner
	}
	inner = s
	if long := max(s.Width, s.Height); long > r.LongSide {
		by := float64(r.LongSide) / float64(long)
		inner = pixel.Size{Width: scaled(s.Width, by), Height: scaled(s.Height, by)}
	}
	if p.canvases.Step == 0 {
		return inner, pixel.Size{Width: r.LongSide, Height: r.LongSide}
	}
	step := p.canvases.Step
	return inner, pixel.Size{
		Width:  (inner.Width + step - 1) / step * step,
		Height: (inner.Height + step - 1) / step * step,
	}
}

func scaled(n int, by float64) int { return max(1, int(math.Round(float64(n)*by))) }

// planes writes src into the left top corner of dst, three planes of the
// canvas's size: (v/scale - mean) / std by a table of the 256 values.
func (p *Preparer) planes(dst []float32, canvas pixel.Size, src pixel.Buffer) {
	scale := p.scale
	if scale == 0 {
		scale = brightest(src.Pix)
	}
	var tables [3][256]float32
	for c := range tables {
		for v := range tables[c] {
			tables[c][v] = float32((float64(v)/scale - p.recipe.Mean[c]) / p.recipe.Std[c])
		}
	}
	first, second, third := &tables[0], &tables[1], &tables[2]
	area := canvas.Width * canvas.Height
	red, green, blue := dst[:area], dst[area:2*area], dst[2*area:3*area]
	if p.bgr {
		first, third, red, blue = third, first, blue, red
	}
	for y := range src.Height {
		row := src.Pix[y*src.Width*3 : (y+1)*src.Width*3]
		from, to := y*canvas.Width, (y+1)*canvas.Width
		split(red[from:to], green[from:to], blue[from:to], row, first, second, third)
	}
	for _, plane := range [][]float32{red, green, blue} {
		clear(plane[src.Height*canvas.Width:])
	}
}

// split writes a row of pixels into those of three planes, and zeros behind them.
func split(red, green, blue []float32, row []byte, r, g, b *[256]float32) {
	n := len(row) / 3
	clear(red[n:])
	clear(green[n:])
	clear(blue[n:])
	for i := 0; i < len(red) && i < len(green) && i < len(blue) && len(row) >= 3; i++ {
		red[i], green[i], blue[i] = r[row[0]], g[row[1]], b[row[2]]
		row = row[3:]
	}
}

// brightest is the largest value in pix, and 1 where all is black, which stays so.
func brightest(pix []byte) float64 {
	if bytes.IndexByte(pix, 255) >= 0 { // found faster than the largest of all
		return 255
	}
	var a, b, c, d byte // side by side, since each waits for the one before
	for ; len(pix) >= 4; pix = pix[4:] {
		a, b, c, d = max(a, pix[0]), max(b, pix[1]), max(c, pix[2]), max(d, pix[3])
	}
	for _, v := range pix {
		a = max(a, v)
	}
	return max(1, float64(max(a, b, c, d)))
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
