package vips

import (
	"focal/core/fault"

	govips "github.com/davidbyttow/govips/v2/vips"
)

// colours is how many channels of a picture are colour; alpha comes behind.
const colours = 3

// MapTones replaces every value of the colour channels by its entry in table;
// alpha stays.
func (i *Image) MapTones(table [256]byte) error {
	const op = "vips.MapTones"
	bands := i.ref.Bands()
	lut := make([]byte, 0, 256*bands)
	for value, tone := range table {
		for band := range bands {
			if band < colours {
				lut = append(lut, tone)
			} else {
				lut = append(lut, byte(value))
			}
		}
	}
	m, err := govips.NewImageFromMemory(lut, 256, 1, bands, govips.BandFormatUchar, govips.InterpretationSRGB)
	if err != nil {
		return wrap(fault.Internal, op, err)
	}
	defer m.Close()
	if err := i.ref.Maplut(m); err != nil {
		return wrap(fault.Internal, op, err)
	}
	return nil
}

// Recombine multiplies the colours of every pixel by matrix, a row for each
// channel of the result; alpha stays.
func (i *Image) Recombine(matrix [3][3]float64) error {
	const op = "vips.Recombine"
	rows := make([][]float64, len(matrix))
	for r := range matrix {
		rows[r] = append(rows[r], matrix[r][:]...)
	}
	if err := i.ref.Recomb(rows); err != nil {
		return wrap(fault.Internal, op, err)
	}
	return i.settle(op)
}

// sharpenSigma is the standard deviation of the blur that sharpening subtracts,
// in pixels: the scale of the detail that a reduction softens. libvips cuts the
// bell off below a fifth of its height, which leaves the kernel 12 20 12 / 44.
const sharpenSigma = 1

// Sharpen is an unsharp mask on the colours: amount times what a slight blur
// takes away is added. Colours are weighed by alpha; alpha stays.
func (i *Image) Sharpen(amount float64) error {
	const op = "vips.Sharpen"
	c, err := i.ref.Copy()
	if err != nil {
		return wrap(fault.Internal, op, err)
	}
	soft := i.with(c)
	defer soft.Close()
	if err := soft.Blur(sharpenSigma); err != nil {
		return err
	}
	var alpha *govips.ImageRef
	if i.Alpha() {
		if alpha, err = i.ref.ExtractBandToImage(colours, 1); err != nil {
			return wrap(fault.Internal, op, err)
		}
		defer alpha.Close()
	}
	for _, do := range []func() error{
		func() error { return i.ref.ExtractBand(0, colours) },
		func() error { return soft.ref.ExtractBand(0, colours) },
		func() error { return i.ref.Linear1(1+amount, 0) },
		func() error { return soft.ref.Linear1(-amount, 0) },
		func() error { return i.ref.Add(soft.ref) },
	} {
		if err := do(); err != nil {
			return wrap(fault.Internal, op, err)
		}
	}
	if err := i.settle(op); err != nil {
		return err
	}
	if alpha == nil {
		return nil
	}
	if err := i.ref.BandJoin(alpha); err != nil {
		return wrap(fault.Internal, op, err)
	}
	return nil
}

// settle brings fractions back to bytes, to the nearest: libvips' cast cuts
// them off.
func (i *Image) settle(op string) error {
	if err := i.ref.Linear1(1, 0.5); err != nil {
		return wrap(fault.Internal, op, err)
	}
	if err := i.ref.Cast(govips.BandFormatUchar); err != nil {
		return wrap(fault.Internal, op, err)
	}
	return nil
}
