package disk

import "golang.org/x/sys/unix"

// writeVector writes parts by one call of the system, as a rule, and returns what that has left.
func (o *osFile) writeVector(parts [][]byte, off int64) (left [][]byte, at int64, err error) {
	n := 0
	cerr := o.control(func(fd uintptr) error {
		return retry(func() error {
			n, err = unix.Pwritev(int(fd), parts, off)
			return err
		})
	})
	if cerr != nil {
		return nil, 0, cerr
	}
	off += int64(n)
	for len(parts) > 0 && n >= len(parts[0]) {
		n -= len(parts[0])
		parts = parts[1:]
	}
	if len(parts) > 0 {
		parts = append([][]byte{parts[0][n:]}, parts[1:]...)
	}
	return parts, off, nil
}
