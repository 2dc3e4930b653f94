package dial

import (
	"errors"
	"net"
	"testing"
)

// portTaken is the error of binding to a port that another socket has.
func portTaken(t *testing.T) error {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	d := net.Dialer{LocalAddr: l.Addr()}
	c, err := d.Dial("tcp", l.Addr().String())
	if err == nil {
		c.Close()
		t.Skip("this system binds a port twice")
	}
	return err
}

func TestTakenPorts(t *testing.T) {
	taken := portTaken(t)
	for _, c := range []struct {
		name         string
		fails, calls int
		ok           bool
	}{{"free", 0, 1, true}, {"twice taken", 2, 3, true}, {"all taken", tries, tries, false}} {
		n := 0
		got, err := fromFreePort(func() (int, error) {
			if n++; n <= c.fails {
				return 0, taken
			}
			return 7, nil
		})
		if n != c.calls || (err == nil) != c.ok || c.ok && got != 7 {
			t.Errorf("%s: %d calls, %d, %v", c.name, n, got, err)
		}
	}
}

func TestOtherErrorsEndAtOnce(t *testing.T) {
	n, refused := 0, errors.New("refused")
	_, err := fromFreePort(func() (int, error) { n++; return 0, refused })
	if n != 1 || !errors.Is(err, refused) {
		t.Errorf("%d calls, %v", n, err)
	}
}

func TestConnects(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c, err := TCP(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	l.Close()
	if c, err := TCP(l.Addr().String()); err == nil {
		c.Close()
		t.Error("connected to nobody")
	}
}
