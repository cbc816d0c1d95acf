package results

import (
	"context"
	"errors"
	"fmt"
	"io"

	"focal/server/bucket"
)

// objects is a shelf in a bucket. What grows old there is the bucket's own
// business, by a lifecycle rule.
type objects struct{ bucket *bucket.Bucket }

func openObjects(c bucket.Config, address string) (*objects, error) {
	b, err := bucket.Open(c, address)
	return &objects{b}, err
}

func (o *objects) get(ctx context.Context, name string) ([]byte, error) {
	object, err := o.bucket.Get(ctx, name, "")
	if errors.Is(err, bucket.ErrNotFound) {
		return nil, errNone
	}
	if err != nil {
		return nil, err
	}
	defer object.Body.Close()
	if object.Size > largestSealed {
		return nil, fmt.Errorf("object of %d bytes: want at most %d", object.Size, largestSealed)
	}
	return io.ReadAll(io.LimitReader(object.Body, largestSealed))
}

func (o *objects) put(ctx context.Context, name string, data []byte) error {
	return o.bucket.Put(ctx, name, data)
}

func (o *objects) list(ctx context.Context, folder string) ([]string, error) {
	return o.bucket.List(ctx, folder)
}

func (o *objects) deleteBelow(ctx context.Context, folder string) error {
	return o.bucket.DeleteBelow(ctx, folder)
}

func (o *objects) held() int64 { return -1 }

func (o *objects) close(ctx context.Context) error { return o.bucket.Close(ctx) }
