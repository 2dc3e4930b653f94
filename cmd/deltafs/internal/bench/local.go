package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// directory is a directory of this machine that is measured by system calls, for
// what there is without a server. As many threads as there are calls in flight
// make them.
type directory struct {
	ctx    context.Context
	z      *Sizes
	d      time.Duration
	round  int
	dir    string // of what was prepared
	own    string // what is written is below it
	bare   bool   // it stands for its disk
	small0 int
}

// run is client.run: operations 0, 1, ... until there were n or the time is up.
func (l *directory) run(threads, n int, d time.Duration, do func(i int) error) (done, error) {
	var next atomic.Int64
	began := time.Now()
	until := began.Add(d)
	lats, errs := make([][]time.Duration, threads), make([]error, threads)
	var wg sync.WaitGroup
	for t := range threads {
		wg.Go(func() {
			for l.ctx.Err() == nil {
				now := time.Now()
				if d > 0 && now.After(until) {
					return
				}
				i := int(next.Add(1) - 1)
				if n > 0 && i >= n {
					return
				}
				if errs[t] = do(i); errs[t] != nil {
					return
				}
				lats[t] = append(lats[t], time.Since(now))
			}
		})
	}
	wg.Wait()
	r := done{took: time.Since(began)}
	for _, l := range lats {
		r.ops += len(l)
		r.lat = append(r.lat, l...)
	}
	slices.Sort(r.lat)
	return r, errors.Join(append(errs, l.ctx.Err())...)
}

// with opens a file for what fn does.
func with(name string, flag int, fn func(*os.File) error) (err error) {
	f, err := os.OpenFile(name, flag, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return fn(f)
}

// reads reads n bytes at a place, and checks them.
func (l *directory) reads(r *Row, n int, at func(i int) int64) (d done, err error) {
	bufs := sync.Pool{New: func() any { b := make([]byte, n); return &b }}
	err = with(filepath.Join(l.dir, "big"), os.O_RDONLY, func(f *os.File) (err error) {
		d, err = l.run(r.InFlight, 0, l.d, func(i int) error {
			b := bufs.Get().(*[]byte)
			defer bufs.Put(b)
			if _, err := f.ReadAt(*b, at(i)); err != nil {
				return err
			}
			return check(*b, at(i), 0)
		})
		return err
	})
	return d, err
}

func (l *directory) read1M(r *Row) (Sample, error) {
	d, err := l.reads(r, mib, func(i int) int64 { return int64(i) % (l.z.Big / mib) * mib })
	return d.bytes(mib), err
}

func (l *directory) read4K(r *Row) (Sample, error) {
	d, err := l.reads(r, 4*kib, func(i int) int64 { return scattered(i, l.z.Big) })
	return d.rate(), err
}

func (l *directory) write1M(r *Row) (Sample, error) {
	name := filepath.Join(l.own, "written")
	if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return Sample{}, err
	}
	var d done
	began := time.Now()
	err := with(name, os.O_RDWR|os.O_CREATE, func(f *os.File) (err error) {
		d, err = l.run(1, int(l.z.Written/mib), 0, func(i int) error { // ext4 writes one file by one thread
			_, err := f.WriteAt(content(int64(i)*mib, mib, l.round+1), int64(i)*mib)
			return err
		})
		return errors.Join(err, f.Sync())
	})
	d.took = time.Since(began)
	return d.bytes(mib), err
}

// file is a file of so many bytes that was written before.
func (l *directory) file(name string, size int64) (string, error) {
	name = filepath.Join(l.own, name)
	if _, err := os.Stat(name); err == nil {
		return name, nil
	}
	return name, errors.Join(localMaker(l.own).file(filepath.Base(name), size, false), with(name, os.O_RDWR, (*os.File).Sync))
}

func (l *directory) write4K(r *Row) (s Sample, err error) {
	name, err := l.file("scattered", l.z.Written)
	if err != nil {
		return s, err
	}
	first := rand.IntN(1 << 30)
	var d done
	began := time.Now()
	err = with(name, os.O_RDWR, func(f *os.File) (err error) {
		d, err = l.run(r.InFlight, l.z.Writes, 0, func(i int) error {
			off := scattered(first+i, l.z.Written)
			_, err := f.WriteAt(content(off, 4*kib, l.round+1), off)
			return err
		})
		return errors.Join(err, f.Sync())
	})
	d.took = time.Since(began)
	return d.rate(), err
}

func (l *directory) sync4K(r *Row) (s Sample, err error) {
	name, err := l.file("synced", l.z.Synced)
	if err != nil {
		return s, err
	}
	first := rand.IntN(1 << 30)
	var d done
	err = with(name, os.O_RDWR, func(f *os.File) (err error) {
		d, err = l.run(r.InFlight, 0, l.d, func(i int) error {
			off := scattered(first+i, l.z.Synced)
			if _, err := f.WriteAt(content(off, 4*kib, l.round+1), off); err != nil {
				return err
			}
			return dataSync(f)
		})
		return err
	})
	return d.rate(), err
}

func (l *directory) small(r *Row) (Sample, error) {
	base := l.small0
	name := func(i int) string { return filepath.Join(l.own, fmt.Sprintf("small-%07d", base+i)) }
	d, err := l.run(r.InFlight, 0, l.d, func(i int) error {
		err := with(name(i), os.O_RDWR|os.O_CREATE|os.O_EXCL, func(f *os.File) error {
			if _, err := f.Write(content(0, 4*kib, i)); err != nil {
				return err
			}
			return f.Sync()
		})
		if err != nil {
			return err
		}
		return os.Chtimes(name(i), time.Time{}, time.Unix(1e9, 0))
	})
	l.small0 += d.ops
	for i := range d.ops {
		err = errors.Join(err, os.Remove(name(i)))
	}
	return d.rate(), err
}

func (l *directory) listFirst(*Row) (Sample, error) { return l.list(fmt.Sprint("list-", l.round)) }
func (l *directory) listAgain(*Row) (Sample, error) {
	if _, err := l.list("list-0"); err != nil {
		return Sample{}, err
	}
	return l.list("list-0")
}

// list is READDIRPLUS: names and attributes.
func (l *directory) list(name string) (Sample, error) {
	began := time.Now()
	all, err := os.ReadDir(filepath.Join(l.dir, name))
	if err != nil {
		return Sample{}, err
	}
	for _, e := range all {
		if _, err := e.Info(); err != nil {
			return Sample{}, err
		}
	}
	took := time.Since(began)
	if len(all) != l.z.Listed {
		return Sample{}, fmt.Errorf("%s: %d entries of %d", name, len(all), l.z.Listed)
	}
	return Sample{Value: float64(len(all)) / took.Seconds(), Ops: len(all)}, nil
}

func (l *directory) first1M(*Row) (Sample, error)  { return l.first("first-1m", l.z.First1M) }
func (l *directory) first1G(*Row) (Sample, error)  { return l.first("first-1g", l.z.First1G) }
func (l *directory) first10G(*Row) (Sample, error) { return l.first("first-10g", l.z.First10G) }

func (l *directory) first(name string, size int64) (Sample, error) {
	awake, err := l.file("awake", mib)
	if err != nil {
		return Sample{}, err
	}
	err = with(awake, os.O_RDWR, func(f *os.File) error {
		for range wakeUps {
			if _, err := f.WriteAt(content(0, 4*kib, 0), 0); err != nil {
				return err
			}
			if err := dataSync(f); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return Sample{}, err
	}
	began := time.Now()
	err = with(filepath.Join(l.dir, fmt.Sprint(name, "-", l.round)), os.O_RDWR, func(f *os.File) error {
		if _, err := f.WriteAt(content(size/2, 4*kib, 1), size/2); err != nil {
			return err
		}
		return f.Sync()
	})
	return Sample{Value: float64(time.Since(began)) / 1e6, Ops: 1}, err
}

// bareWrite1M writes over a file and syncs once.
func (l *directory) bareWrite1M(*Row) (s Sample, err error) {
	name, err := l.file("bare", l.z.Written)
	if err != nil {
		return s, err
	}
	var d done
	began := time.Now()
	err = with(name, os.O_RDWR, func(f *os.File) (err error) {
		d, err = l.run(1, int(l.z.Written/mib), 0, func(i int) error {
			_, err := f.WriteAt(content(int64(i)*mib, mib, l.round+1), int64(i)*mib)
			return err
		})
		return errors.Join(err, dataSync(f))
	})
	d.took = time.Since(began)
	return d.bytes(mib), err
}

// bareSync4K appends blocks and syncs each, by as many writers as there are operations
// in flight, each to a file of its own.
func (l *directory) bareSync4K(r *Row) (s Sample, err error) {
	files := make(chan *os.File, r.InFlight)
	for i := range r.InFlight {
		f, err := os.OpenFile(filepath.Join(l.own, fmt.Sprint("bare-", i)), os.O_WRONLY|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o644)
		if err != nil {
			return s, err
		}
		defer f.Close()
		files <- f
	}
	d, err := l.run(r.InFlight, 0, l.d, func(int) error {
		f := <-files
		defer func() { files <- f }()
		if _, err := f.Write(content(0, 4*kib, 1)); err != nil {
			return err
		}
		return dataSync(f)
	})
	return d.rate(), err
}

// bareOnce is one block that is written and synced, in the middle of several.
func (l *directory) bareOnce(r *Row) (s Sample, err error) {
	d, err := l.bareSync4K(&Row{InFlight: 1})
	return Sample{Value: 1e3 / d.Value, Ops: 1}, err
}
