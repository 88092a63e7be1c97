// Signals that preempt: goroutines that never yield share one thread; a profile by SIGPROF; panics,
// recovery and stacks out of a fault; a signal that is asked for.
package main

import (
	"bytes"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

var sink atomic.Uint64

func spin(stop *atomic.Bool, count *atomic.Uint64) {
	x := uint64(1)
	for !stop.Load() {
		for i := 0; i < 1<<20; i++ { // nothing here yields by itself
			x = x*6364136223846793005 + 1442695040888963407
		}
		count.Add(1)
	}
	sink.Add(x)
}

func processor() time.Duration {
	var usage syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func fault() (text string) {
	defer func() { text = fmt.Sprint(recover()) }()
	var p *int
	return fmt.Sprint(*p)
}

func main() {
	runtime.GOMAXPROCS(1)
	var stop atomic.Bool
	var counts [4]atomic.Uint64
	var wait sync.WaitGroup
	for i := range counts {
		wait.Add(1)
		go func(i int) { defer wait.Done(); spin(&stop, &counts[i]) }(i)
	}
	turns := 0
	for end := time.Now().Add(30 * time.Second); turns < 4 && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond) // which ends only if they are preempted
		turns = 0
		for i := range counts {
			if counts[i].Load() > 0 {
				turns++
			}
		}
	}
	runtime.GC() // which stops them all
	stop.Store(true)
	wait.Wait()
	fmt.Println("goroutines that had a turn:", turns)

	runtime.GOMAXPROCS(2)
	var profile bytes.Buffer
	if err := pprof.StartCPUProfile(&profile); err != nil {
		fmt.Println(err)
	}
	stop.Store(false)
	wait.Add(1)
	go func() { defer wait.Done(); spin(&stop, &counts[0]) }()
	for begin := processor(); processor()-begin < 500*time.Millisecond; {
		time.Sleep(10 * time.Millisecond)
	}
	stop.Store(true)
	wait.Wait()
	pprof.StopCPUProfile()
	fmt.Println("a profile:", profile.Len() > 300)

	fmt.Println("recovered:", fault())
	fmt.Println("a stack:", strings.Contains(string(debug.Stack()), "main.main"))
	heard := make(chan os.Signal, 1)
	signal.Notify(heard, syscall.SIGUSR1)
	syscall.Kill(syscall.Getpid(), syscall.SIGUSR1)
	select {
	case s := <-heard:
		fmt.Println("heard:", s)
	case <-time.After(5 * time.Second):
		fmt.Println("heard nothing")
	}
	timer, fired := time.NewTicker(time.Millisecond), 0
	for range timer.C {
		if fired++; fired == 50 {
			break
		}
	}
	fmt.Println("ticks:", fired)
}
