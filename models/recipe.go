package models

import (
	"crypto/sha256"
	"fmt"
	"io"
	"reflect"
	"strconv"

	"focal/core/pixel"
)

// recipeVersion is raised when the code that carries recipes out changes a
// result, so that what was stored before is not taken for what would come now.
const recipeVersion = "recipe1"

// RecipeDigest names everything in m that moves a result: the recipe and the
// canvases. It is the SHA-256 of their fields, one a line, in the order of the
// types. Fields that are zero are left out, so that a switch added later
// leaves the results of models that do not use it where they are.
func RecipeDigest(m Manifest) pixel.Digest {
	h := sha256.New()
	fmt.Fprintln(h, recipeVersion) // a hash never fails to be written to
	writeFields(h, "recipe", reflect.ValueOf(m.Recipe))
	writeFields(h, "canvases", reflect.ValueOf(m.Canvases))
	return pixel.Digest(h.Sum(nil))
}

// writeFields writes the fields that are not zero as "name.Field value".
// Numbers are written so that they read back to the same bits.
func writeFields(w io.Writer, name string, v reflect.Value) {
	for i := range v.NumField() {
		field, label := v.Field(i), name+"."+v.Type().Field(i).Name
		if !field.IsZero() {
			fmt.Fprintln(w, label, canonical(field))
		}
	}
}

// canonical panics on a kind that no recipe holds yet: the test that walks
// through all fields meets it first.
func canonical(v reflect.Value) string {
	switch v.Kind() {
	case reflect.String:
		return strconv.Quote(v.String())
	case reflect.Bool:
		return strconv.FormatBool(v.Bool())
	case reflect.Int:
		return strconv.FormatInt(v.Int(), 10)
	case reflect.Float64:
		return strconv.FormatFloat(v.Float(), 'g', -1, 64)
	case reflect.Array:
		var s string
		for i := range v.Len() {
			s += canonical(v.Index(i)) + " "
		}
		return s
	default:
		panic("models: recipe field of kind " + v.Kind().String())
	}
}
