package transform

// Adjust is what is done to colours, in this order. The zero value leaves them
// as they are. The numbers multiply: 1 changes nothing, and 0 nothing either
// where it would leave a picture of one colour.
type Adjust struct {
	Brightness float64 // sRGB values times this
	Contrast   float64 // the distance from middle grey times this
	Gamma      float64 // exponent of the sRGB values: below 1 is brighter
	Saturation Number  // 0 is grey
	Sharpen    float64 // 0 to MaxSharpen
}

// The limits of adjustments.
const (
	MaxMultiplier = 255
	MaxSharpen    = 10
)

// parseMultiplier reads a multiplier of 0 to MaxMultiplier where 0, like 1,
// changes nothing.
func parseMultiplier(to *float64, key, v string) error {
	n, err := bounded(key, v, MaxMultiplier)
	if n == 1 {
		n = 0
	}
	*to = n
	return err
}

// parseSaturation reads a multiplier that 0 is a value of.
func parseSaturation(o *Options, v string) error {
	n, err := bounded("saturation", v, MaxMultiplier)
	if err != errUnfit && n != 1 {
		o.Adjust.Saturation = Number{Value: n, Set: true}
	}
	return err
}

func parseSharpen(o *Options, v string) (err error) {
	o.Adjust.Sharpen, err = bounded("sharpen", v, MaxSharpen)
	return err
}
