package sidecar

import (
	"encoding/json"

	"focal/core/pixel"
	"focal/inference"
)

// PrintFaces writes what POST /v1/faces answers, indented, for a picture whose
// oriented size is image.
func PrintFaces(content pixel.Digest, image pixel.Size, f inference.Faces) ([]byte, error) {
	return json.MarshalIndent(encodeFaces(content, image, f), "", "  ")
}
