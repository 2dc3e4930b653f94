package billyfs

import (
	"cmp"
	"slices"
	"strings"
)

// Cookies of the two names that every directory has.
const (
	cookieDot    = 1
	cookieDotDot = 2
)

// cookieOf is where a name stands in every listing: a keyed hash of 62 bits,
// never 0 (the start), 1 (".") or 2 (".."). It depends on the name alone, so a
// listing that is resumed after any change shows each name that stayed exactly
// once.
func cookieOf(secret [32]byte, name string) uint64 {
	_, key := keysOf(secret)
	c := key.sum(tagCookie, 0, 0, name) >> 2
	if c <= cookieDotDot {
		c += cookieDotDot + 1
	}
	return c
}

// compareEntries orders a listing: by cookie, and by name where those are equal.
func compareEntries(a, b DirEntry) int {
	if c := cmp.Compare(a.Cookie, b.Cookie); c != 0 {
		return c
	}
	return strings.Compare(a.Name, b.Name)
}

func sortEntries(list []DirEntry) { slices.SortFunc(list, compareEntries) }
