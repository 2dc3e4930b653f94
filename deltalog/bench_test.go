package deltalog

import (
	"fmt"
	"testing"
)

func benchStore(b *testing.B) *Store {
	o := Options{SegmentSize: 64 << 20}
	return mustCreate(b, b.TempDir(), o)
}

// metadata fills a batch as the creation of a file does.
func metadata(b *Batch, s *Store, n uint64) {
	ino := s.NewIno()
	b.Inode(MainLayer, ino, &Inode{Mode: TypeRegular | 0o644, Nlink: 1})
	b.Inode(MainLayer, 1, &Inode{Mode: TypeDir | 0o755, Nlink: 2})
	b.Entry(MainLayer, 1, n, "file-name", Entry{Ino: ino, Type: TypeRegular})
}

func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{0, 4 << 10, 64 << 10, 1 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			s := benchStore(b)
			p := pattern(1, size)
			var batch Batch
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for i := range b.N {
				batch.Reset()
				if size == 0 {
					metadata(&batch, s, uint64(i))
				} else {
					batch.Data(MainLayer, 9, int64(i%256)*int64(size), p)
				}
				if _, err := s.Append(&batch); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkReadAt(b *testing.B) {
	s := benchStore(b)
	const size = 16 << 20
	for off := int64(0); off < size; off += MaxData {
		mustAppend(b, s, func(batch *Batch) { batch.Data(MainLayer, 9, off, pattern(int(off), MaxData)) })
	}
	for _, n := range []int{4 << 10, 1 << 20} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			p := make([]byte, n)
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for i := range b.N {
				if err := s.ReadAt(MainLayer, 9, p, int64(i*n)%size, noLower); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
