package deltalog

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// What a store costs when it is large. Each benchmark is one run of minutes or less:
// -benchtime 1x, and -count 5 for medians.

// latencies are sorted once they are asked.
type latencies []time.Duration

func (l latencies) at(part float64) time.Duration {
	if len(l) == 0 {
		return 0
	}
	slices.Sort(l)
	return l[min(int(part*float64(len(l))), len(l)-1)]
}

// hotCold overwrites blocks of 4 KiB of one file, nine of ten in a tenth of it.
type hotCold struct {
	s      *Store
	ino    Ino
	blocks int
	rng    *rand.Rand
	p      []byte
	b      Batch
}

// newHotCold fills a store with blocks, or, if that is 0, to three quarters of its limit as Usage counts both.
func newHotCold(s *Store, blocks int) (*hotCold, error) {
	w := &hotCold{s: s, ino: s.NewIno(), rng: rand.New(rand.NewPCG(8, 0)), p: pattern(1, 4096)}
	for ; w.blocks < blocks || blocks == 0; w.blocks++ {
		u, err := s.Usage()
		if err != nil {
			return nil, err
		}
		if blocks == 0 && u.Used*4 >= u.Limit*3 {
			break
		}
		if err := w.put(w.blocks); err != nil {
			return nil, err
		}
	}
	return w, s.Sync(s.LastLSN())
}

func (w *hotCold) put(i int) error {
	binary.LittleEndian.PutUint64(w.p, w.rng.Uint64())
	w.b.Reset()
	w.b.Data(MainLayer, w.ino, int64(i)*4096, w.p)
	now := time.Now().UnixNano()
	w.b.Inode(MainLayer, w.ino, &Inode{Mode: TypeRegular | 0o644, Nlink: 1, UID: 1000, GID: 1000,
		Size: uint64(w.blocks) * 4096, Atime: now, Mtime: now, Ctime: now})
	_, err := w.s.Append(&w.b)
	return err
}

func (w *hotCold) one() error {
	i := w.rng.IntN(w.blocks / 10)
	if w.rng.IntN(10) == 0 {
		i = w.blocks/10 + w.rng.IntN(w.blocks-w.blocks/10)
	}
	return w.put(i)
}

// BenchmarkHotCold overwrites a store that is three quarters full, one that
// has to clean and one that has not, in turns. DELTAFS_BENCH_MIB is the limit,
// DELTAFS_BENCH_TIMES how many times that is written, DELTAFS_BENCH_RATE how many
// writes a second there are at most. Full is what Usage, df, info and the thresholds call so;
// with DELTAFS_BENCH_RAW=1 the data alone are three quarters of the limit with all that is kept free in it.
func BenchmarkHotCold(b *testing.B) {
	mib, times, rate := benchNumber("DELTAFS_BENCH_MIB", 256), benchNumber("DELTAFS_BENCH_TIMES", 10), benchNumber("DELTAFS_BENCH_RATE", 0)
	limit := int64(mib) << 20
	for range b.N {
		var ws [2]*hotCold
		blocks := 0
		if benchNumber("DELTAFS_BENCH_RAW", 0) > 0 {
			blocks = int(limit / 4096 * 3 / 4)
		}
		for i, o := range []Options{{Limit: limit, SegmentSize: segmentFor(limit)}, {SegmentSize: segmentFor(limit)}} {
			var err error
			if ws[i], err = newHotCold(mustCreate(b, b.TempDir(), o), blocks); err != nil {
				b.Fatal(err)
			}
			blocks = ws[i].blocks
		}
		b.ReportMetric(float64(blocks)*4096/float64(limit), "data/limit")
		s := ws[0].s
		for range int(limit/4096) * benchNumber("DELTAFS_BENCH_WARM", 0) {
			if err := ws[0].one(); err != nil {
				b.Fatal(err)
			}
		}
		u0, err := s.Usage()
		if err != nil {
			b.Fatal(err)
		}
		var took [2]latencies
		const turn = 4096
		turns := int(limit/4096) * times / turn
		for range turns {
			for i, w := range ws {
				if i == 1 && len(took[1]) > 40*turn {
					continue
				}
				began := time.Now()
				for k := range turn {
					if rate > 0 {
						time.Sleep(time.Until(began.Add(time.Duration(k) * time.Second / time.Duration(rate))))
					}
					t := time.Now()
					if err := w.one(); err != nil {
						vs := w.s.victims()
						slices.SortFunc(vs, func(a, b victim) int { return cmp.Compare(a.live, b.live) })
						f, _ := w.s.segs.free()
						l, sp, all := w.s.segs.counts()
						b.Log(len(took[0]), len(vs), vs[:min(5, len(vs))], f, l, sp, all, w.s.hotAhead(), w.s.deadSegments(), len(w.s.segs.ids()))
						b.Fatal(err)
					}
					took[i] = append(took[i], time.Since(t))
				}
			}
		}
		u, err := s.Usage()
		if err != nil {
			b.Fatal(err)
		}
		user := float64(turns * turn * 4096)
		part := func(now, then uint64) float64 { return float64(now-then) / user }
		b.ReportMetric(part(u.Appended, u0.Appended), "log/user")
		b.ReportMetric(part(u.Copied, u0.Copied), "copied/user")
		b.ReportMetric(part(u.Index, u0.Index), "index/user")
		b.ReportMetric(part(u.Appended+u.Copied+u.Index, u0.Appended+u0.Copied+u0.Index), "cost")
		for i, name := range []string{"cleaning", "idle"} {
			b.ReportMetric(float64(took[i].at(0.5).Microseconds()), "p50-us-"+name)
			b.ReportMetric(float64(took[i].at(0.99).Microseconds()), "p99-us-"+name)
			b.ReportMetric(float64(took[i].at(0.999).Microseconds()), "p99.9-us-"+name)
		}
	}
}

func benchNumber(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return otherwise
}

// BenchmarkRecover opens a store with 256 MiB of log that was not checkpointed.
func BenchmarkRecover(b *testing.B) {
	for _, block := range []int{4 << 10, 1 << 20} {
		b.Run(fmt.Sprint(block), func(b *testing.B) {
			dir := filepath.Join(b.TempDir(), "store")
			s := mustCreate(b, dir, Options{Manual: true})
			ino := s.NewIno()
			p := pattern(1, block)
			for i := 0; s.logBytes() < 256<<20; i++ {
				mustAppend(b, s, func(batch *Batch) {
					batch.Data(MainLayer, ino, int64(i%65536)*int64(block), p)
					batch.Inode(MainLayer, ino, &Inode{Mode: TypeRegular | 0o644, Nlink: 1, Size: 1 << 40})
				})
			}
			if err := s.Sync(s.LastLSN()); err != nil {
				b.Fatal(err)
			}
			image := b.TempDir()
			if err := os.CopyFS(image, os.DirFS(dir)); err != nil {
				b.Fatal(err)
			}
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
			b.ResetTimer()
			for i := range b.N {
				b.StopTimer()
				at := filepath.Join(b.TempDir(), fmt.Sprint(i))
				if err := os.CopyFS(at, os.DirFS(image)); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				s, err := Open(at, Options{Manual: true})
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				if s.LastLSN() < 2 {
					b.Fatal("nothing was recovered")
				}
				s.Close()
				os.RemoveAll(at)
				b.StartTimer()
			}
		})
	}
}

// BenchmarkCheckpoint checkpoints 100,000 inodes while others read.
func BenchmarkCheckpoint(b *testing.B) {
	s := mustCreate(b, filepath.Join(b.TempDir(), "store"), Options{Manual: true, SegmentSize: maxSegment})
	var worst time.Duration
	var reads int
	for range b.N {
		b.StopTimer()
		var first Ino
		for i := range 100_000 {
			mustAppend(b, s, func(batch *Batch) {
				ino := s.NewIno()
				if i == 0 {
					first = ino
				}
				batch.Inode(MainLayer, ino, &Inode{Mode: TypeRegular | 0o644, Nlink: 1})
			})
		}
		if err := s.Sync(s.LastLSN()); err != nil {
			b.Fatal(err)
		}
		var stop atomic.Bool
		var took latencies
		var reading sync.WaitGroup
		reading.Go(func() {
			rng := rand.New(rand.NewPCG(1, 1))
			for !stop.Load() {
				t := time.Now()
				if _, ok, err := s.Inode(MainLayer, first+Ino(rng.IntN(100_000))); err != nil || !ok {
					b.Error(ok, err)
					return
				}
				took = append(took, time.Since(t))
			}
		})
		b.StartTimer()
		if err := s.Checkpoint(); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		stop.Store(true)
		reading.Wait()
		worst, reads = max(worst, took.at(0.999)), reads+len(took)
		b.StartTimer()
	}
	b.ReportMetric(float64(worst.Microseconds()), "p99.9-us-read")
	b.ReportMetric(float64(reads)/float64(b.N), "reads")
}

// BenchmarkHeap: what a store of 1,000,000 inodes and 10,000,000 extents holds in memory, and how long it takes to open.
func BenchmarkHeap(b *testing.B) {
	inodes, each := benchNumber("DELTAFS_BENCH_INODES", 1_000_000), 10
	for range b.N {
		dir := filepath.Join(b.TempDir(), "store")
		s := mustCreate(b, dir, Options{})
		most := 0
		var batch Batch
		for i := range inodes {
			ino := s.NewIno()
			batch.Reset()
			batch.Inode(MainLayer, ino, &Inode{Mode: TypeRegular | 0o644, Nlink: 1, Size: uint64(each) * 8192})
			for k := range each {
				batch.Data(MainLayer, ino, int64(k)*8192, []byte("data")) // never adjacent
			}
			if _, err := s.Append(&batch); err != nil {
				b.Fatal(err)
			}
			if i%1000 == 0 {
				most = max(most, rssAnon(b))
			}
		}
		if err := s.Checkpoint(); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(most)/1024, "MiB-RssAnon-writing")
		b.ReportMetric(float64(rssAnon(b))/1024, "MiB-RssAnon-after")
		u, err := s.Usage()
		if err != nil {
			b.Fatal(err)
		}
		size, _ := s.x.size()
		b.ReportMetric(float64(size)/(1<<20), "MiB-index")
		b.ReportMetric(float64(u.Appended)/(1<<20), "MiB-log")
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		t := time.Now()
		if s, err = Open(dir, Options{}); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(time.Since(t).Seconds(), "s-open")
		b.ReportMetric(float64(rssAnon(b))/1024, "MiB-RssAnon-opened")
		s.Close()
	}
}

// rssAnon returns KiB of memory that belong to no file.
func rssAnon(b *testing.B) int {
	p, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Skip(err)
	}
	_, rest, ok := strings.Cut(string(p), "RssAnon:")
	n, err := strconv.Atoi(strings.Fields(rest)[0])
	if !ok || err != nil {
		b.Fatal("no RssAnon", err)
	}
	return n
}

// BenchmarkSerialSync sets one writer of 4 KiB, each write synced, beside a bare
// append and fdatasync to a file that was written before, in turns.
func BenchmarkSerialSync(b *testing.B) {
	s := benchStore(b)
	ino := s.NewIno()
	p := pattern(1, 4096)
	var batch Batch
	ours := func(i int) error {
		batch.Reset()
		batch.Data(MainLayer, ino, int64(i%4096)*4096, p)
		batch.Inode(MainLayer, ino, &Inode{Mode: TypeRegular | 0o644, Nlink: 1, Size: 1 << 30})
		lsn, err := s.Append(&batch)
		return errors.Join(err, s.Sync(lsn))
	}
	if err := makeSegment(s.o.FS, segName(1<<40), 64<<20, nil); err != nil {
		b.Fatal(err)
	}
	bare, err := s.o.FS.Open(segName(1<<40), true)
	if err != nil {
		b.Fatal(err)
	}
	defer bare.Close()
	raw := func(i int) error {
		_, err := bare.WriteAt(p, int64(i%16384)*4096)
		return errors.Join(err, bare.Sync())
	}
	var took [2]latencies
	const turn = 64
	for n := range b.N {
		for k, f := range []func(int) error{ours, raw} {
			for i := range turn {
				t := time.Now()
				if err := f(n*turn + i); err != nil {
					b.Fatal(err)
				}
				took[k] = append(took[k], time.Since(t))
			}
		}
	}
	mean := func(l latencies) (sum time.Duration) {
		for _, d := range l {
			sum += d
		}
		return sum / time.Duration(len(l))
	}
	b.ReportMetric(float64(took[0].at(0.5).Nanoseconds())/1000, "p50-us")
	b.ReportMetric(float64(took[1].at(0.5).Nanoseconds())/1000, "p50-us-bare")
	b.ReportMetric(float64(took[0].at(0.5))/float64(took[1].at(0.5)), "ratio-p50")
	b.ReportMetric(float64(mean(took[0]))/float64(mean(took[1])), "ratio-mean")
}

// BenchmarkGroupCommit lets writers sync each batch: operations per fdatasync.
func BenchmarkGroupCommit(b *testing.B) {
	for _, writers := range []int{1, 16, 64} {
		b.Run(fmt.Sprint(writers), func(b *testing.B) {
			s := benchStore(b)
			u0, _ := s.Usage()
			var left atomic.Int64
			left.Store(int64(b.N))
			var wg sync.WaitGroup
			for range writers {
				ino := s.NewIno()
				wg.Go(func() {
					var batch Batch
					p := pattern(1, 4096)
					for left.Add(-1) >= 0 {
						batch.Reset()
						batch.Data(MainLayer, ino, 0, p)
						batch.Inode(MainLayer, ino, &Inode{Mode: TypeRegular | 0o644, Nlink: 1, Size: 4096})
						lsn, err := s.Append(&batch)
						if err := errors.Join(err, s.Sync(lsn)); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			u, _ := s.Usage()
			b.ReportMetric(float64(b.N)/float64(u.Syncs-u0.Syncs), "ops/fdatasync")
		})
	}
}
