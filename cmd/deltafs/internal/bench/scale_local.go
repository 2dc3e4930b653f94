package bench

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"
)

// ScaleLocal measures by system calls, without a server, what the system takes for what Scale asks a server for: files of
// base, which PrepareScale has made, and blocks of a file, which it makes in dir and leaves there.
func ScaleLocal(ctx context.Context, base, dir string, files, entries, blocks int) (ps []Point, err error) {
	l := &directory{ctx: ctx, d: 2 * time.Second, dir: dir, own: dir}
	add := func(what string, size int, d done) {
		ps = append(ps, Point{what + ", without a server", size, d.each()})
	}
	stat := func(name func() string) (done, error) {
		return l.run(32, 0, l.d, func(int) error {
			_, err := os.Lstat(filepath.Join(base, name()))
			return err
		})
	}
	d, err := stat(func() string {
		f := rand.IntN(files)
		return filepath.Join(scaleTree, fileName(f/perDir), fileName(f%perDir))
	})
	if err != nil {
		return nil, err
	}
	add("stat of any file, in a tree", files, d)
	if d, err = stat(func() string { return filepath.Join(scaleDir, fileName(rand.IntN(entries))) }); err != nil {
		return nil, err
	}
	add("stat of any file, in a directory", entries, d)
	size := int64(blocks) * 4 * kib
	touch(size)
	if _, err := l.file("big", size); err != nil {
		return nil, err
	}
	if d, err = l.reads(&Row{InFlight: 32}, 4*kib, func(i int) int64 { return scattered(i, size) }); err != nil {
		return nil, err
	}
	add("pread of any 4 KiB of a file", blocks, d)
	return ps, nil
}
