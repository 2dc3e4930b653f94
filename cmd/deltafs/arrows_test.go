package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// root is the directory of the module.
const root = "../.."

// layers are the packages from the top to the bottom, by directory. A package
// belongs to the longest directory that it lies below, and imports nothing
// that its layer must not know: see ARCHITECTURE.md.
var layers = []struct {
	dir    string
	banned []string // import paths, and all below them
	tests  []string // of these, what tests may import to build what they test
}{
	{"cmd/deltafs", []string{"go.etcd.io", "deltafs/nfsserver/wire/oracle"}, nil},
	{"cmd/deltafs/internal/demo", []string{"deltafs/cmd", "deltafs/nfsserver/gonfs", "deltafs/nfsserver/handle", "deltafs/billyfs", "deltafs/deltalog", "go.etcd.io"}, nil},
	{"nfsserver", []string{"deltafs/cmd", "deltafs/deltalog", "deltafs/nfsserver/wire/oracle", "go.etcd.io"}, []string{"deltafs/deltalog", "deltafs/nfsserver/wire/oracle"}},
	{"nfsserver/wire", []string{"deltafs", "github.com"}, []string{"deltafs/nfsserver/wire/oracle"}},
	{"nfsserver/wire/oracle", []string{"deltafs"}, nil},
	{"nfsserver/rpc", []string{"deltafs", "github.com"}, nil},
	{"nfsserver/peer", []string{"deltafs", "github.com"}, nil},
	{"billyfs", []string{"deltafs/cmd", "deltafs/nfsserver", "github.com/willscott", "go.etcd.io"}, nil},
	{"billyfs/rootfs", []string{"deltafs", "github.com/willscott", "go.etcd.io"}, []string{"deltafs/billyfs/rootfs"}},
	{"deltalog", []string{"deltafs/cmd", "deltafs/nfsserver", "deltafs/billyfs", "github.com/willscott", "github.com/go-git"}, nil},
	{"deltalog/disk", []string{"deltafs/cmd", "deltafs/nfsserver", "deltafs/billyfs", "github.com/willscott", "github.com/go-git", "go.etcd.io"}, nil},
}

// topLevel is all that may lie at the top of the repository.
var topLevel = []string{"cmd", "nfsserver", "billyfs", "deltalog", "testdata", "docs", "bin",
	"README.md", "ARCHITECTURE.md", "LICENSE", "Makefile", "go.mod", "go.sum"}

// TestArrows holds every import against the layers.
func TestArrows(t *testing.T) {
	files := goFiles(t)
	if len(files) < 20 {
		t.Fatalf("only %d Go files found: this test looks in the wrong place", len(files))
	}
	for _, file := range files {
		dir := filepath.ToSlash(filepath.Dir(file))
		at := slices.Index(dirsOf(), owner(dir))
		if at < 0 {
			t.Errorf("%s: package outside of the layers", file)
			continue
		}
		for _, imp := range importsOf(t, filepath.Join(root, file)) {
			allowed := strings.HasSuffix(file, "_test.go") && under(imp, layers[at].tests)
			if under(imp, layers[at].banned) && !allowed {
				t.Errorf("%s imports %s, which %s must not know", file, imp, layers[at].dir)
			}
		}
	}
}

// TestTopLevel keeps the top of the repository as small as it is.
func TestTopLevel(t *testing.T) {
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") && !slices.Contains(topLevel, e.Name()) {
			t.Errorf("%s: nothing is added at the top; if it must be, add it to this test and to ARCHITECTURE.md", e.Name())
		}
	}
}

// TestArrowsSee makes sure that the rules can fail.
func TestArrowsSee(t *testing.T) {
	for _, c := range []struct {
		dir, imp string
		banned   bool
	}{
		{"nfsserver/gonfs", "deltafs/deltalog", true},
		{"nfsserver/gonfs", "deltafs/billyfs", false},
		{"nfsserver/gonfs", "github.com/willscott/go-nfs", false},
		{"billyfs", "github.com/willscott/go-nfs", true},
		{"billyfs", "go.etcd.io/bbolt", true},
		{"billyfs", "deltafs/deltalog", false},
		{"billyfs/rootfs", "deltafs/deltalog", true},
		{"deltalog", "deltafs/billyfs", true},
		{"deltalog", "github.com/go-git/go-billy/v5", true},
		{"deltalog/simdisk", "deltafs/billyfs/rootfs", true},
		{"cmd/deltafs", "deltafs/nfsserver/gonfs", false},
		{"cmd/deltafs", "go.etcd.io/bbolt", true},
	} {
		l := layers[slices.Index(dirsOf(), owner(c.dir))]
		if got := under(c.imp, l.banned); got != c.banned {
			t.Errorf("%s importing %s: banned is %v, want %v", c.dir, c.imp, got, c.banned)
		}
	}
}

func dirsOf() (dirs []string) {
	for _, l := range layers {
		dirs = append(dirs, l.dir)
	}
	return dirs
}

// owner is the longest directory of a layer that dir lies in.
func owner(dir string) (found string) {
	for _, l := range dirsOf() {
		if (dir == l || strings.HasPrefix(dir, l+"/")) && len(l) > len(found) {
			found = l
		}
	}
	return found
}

// under tells whether an import path is one of those given, or lies below one.
func under(imp string, paths []string) bool {
	return slices.ContainsFunc(paths, func(p string) bool { return imp == p || strings.HasPrefix(imp, p+"/") })
}

// goFiles are all Go files of the module, relative to its root.
func goFiles(t *testing.T) (files []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if strings.HasSuffix(path, ".go") {
			rel, err := filepath.Rel(root, path)
			files = append(files, rel)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func importsOf(t *testing.T, file string) (imports []string) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range f.Imports {
		path, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		imports = append(imports, path)
	}
	return imports
}

// TestDocs: a stranger can learn each package from its doc.go, or from the file
// that has the package's name.
func TestDocs(t *testing.T) {
	dirs := map[string]bool{}
	for _, f := range goFiles(t) {
		if !strings.HasSuffix(f, "_test.go") {
			dirs[filepath.Dir(f)] = true
		}
	}
	for dir := range dirs {
		documented := false
		for _, f := range goFiles(t) {
			if filepath.Dir(f) != dir || strings.HasSuffix(f, "_test.go") {
				continue
			}
			p, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, f), nil, parser.ParseComments|parser.PackageClauseOnly)
			if err != nil {
				t.Fatal(err)
			}
			documented = documented || p.Doc != nil
		}
		if !documented {
			t.Errorf("%s says nowhere what it is", dir)
		}
	}
	for _, dir := range []string{"nfsserver", "billyfs", "deltalog"} {
		if _, err := os.Stat(filepath.Join(root, dir, "doc.go")); err != nil {
			t.Error(err)
		}
	}
}
