package main

import "testing"

// TestThresholds: a level is reached at its threshold, and left only clearly
// below it.
func TestThresholds(t *testing.T) {
	th := thresholds{warn: 0.8, critical: 0.95}
	now := levelOK
	for i, step := range []struct {
		used float64
		want level
	}{
		{0, levelOK}, {0.79, levelOK}, {0.8, levelWarn}, {0.79, levelWarn}, {0.76, levelWarn}, {0.74, levelOK},
		{0.96, levelCritical}, {0.93, levelCritical}, {0.89, levelWarn}, {0.95, levelCritical}, {0.1, levelOK}, {1, levelCritical},
	} {
		if now = th.next(now, step.used); now != step.want {
			t.Fatalf("step %d: at %v the level is %v, want %v", i, step.used, now, step.want)
		}
	}
}

func TestThresholdFlags(t *testing.T) {
	for _, c := range []struct {
		warn, critical string
		ok             bool
	}{
		{"80%", "95%", true}, {"80", "95", true}, {"50.5%", "50.5%", true}, {"90%", "80%", false},
		{"0%", "95%", false}, {"80%", "101%", false}, {"x", "95%", false}, {"80%", "", false}, {"NaN", "95%", false},
	} {
		_, err := serveFlags{warn: c.warn, critical: c.critical}.thresholds()
		if (err == nil) != c.ok {
			t.Errorf("--warn %s --critical %s: %v", c.warn, c.critical, err)
		}
	}
}
