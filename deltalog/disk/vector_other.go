//go:build !linux

package disk

func (o *osFile) writeVector(parts [][]byte, off int64) (left [][]byte, at int64, err error) {
	return parts, off, nil
}
